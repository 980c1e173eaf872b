//! The echo servers of other libraries: handshake, messages small and large.

use super::server::Server;
use tungstenite::Message;

const TUNGSTENITE: &str = env!("CARGO_BIN_EXE_tokio-tungstenite-echo");
const FASTWEBSOCKETS: &str = env!("CARGO_BIN_EXE_fastwebsockets-echo");

fn echoes(program: &str, arguments: &[&str]) {
    let mut server = Server::start(program, arguments);
    let mut first = server.client();
    let mut second = server.client();
    let large = "ä".repeat(100_000);
    let messages =
        [Message::text("one"), Message::text("two"), Message::text(large), Message::binary("x")];
    for message in messages {
        first.send(message.clone()).unwrap();
        second.send(Message::text("beside it")).unwrap();
        assert_eq!(first.read().unwrap(), message);
        assert_eq!(second.read().unwrap(), Message::text("beside it"));
    }

    // Whoever goes without a word, with an answer unread, harms nobody.
    first.send(Message::text("unread")).unwrap();
    drop(first);
    // Nor does a stranger who does not speak the protocol.
    drop(server.connect());
    second.send(Message::text("still here")).unwrap();
    assert_eq!(second.read().unwrap(), Message::text("still here"));
    server.client();
    assert!(server.is_alive());
}

#[test]
fn tokio_tungstenite_echoes() {
    echoes(TUNGSTENITE, &["--threads", "2"]);
}

#[test]
fn tokio_tungstenite_echoes_with_a_small_buffer() {
    echoes(TUNGSTENITE, &["--threads", "1", "--read-buffer", "4096"]);
}

#[test]
fn fastwebsockets_echoes() {
    echoes(FASTWEBSOCKETS, &["--listen", "127.0.0.1:0", "--threads", "2"]);
}
