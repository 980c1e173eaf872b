//! The bare loops over real sockets.

use super::server::{NONCE, Server};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use tungstenite::{Error, Message};

const BARE: &str = env!("CARGO_BIN_EXE_bare");

fn head() -> String {
    format!("GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: {NONCE}\r\n\r\n")
}

/// Reads the answer to a head and not a byte more.
fn switched(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
}

fn returns(stream: &mut TcpStream, bytes: &[u8]) {
    let mut returned = vec![0; bytes.len()];
    stream.read_exact(&mut returned).unwrap();
    assert!(returned == bytes);
}

#[test]
fn echo_returns_the_bytes() {
    let server = Server::start(BARE, &["echo", "--threads", "2"]);
    let mut clients: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.write_all(head().as_bytes()).unwrap();
        switched(client);
    }
    let large: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    for bytes in [&b"one"[..], b"two", &large, b"GET / is not a head any more\r\n\r\n"] {
        for client in &mut clients {
            client.write_all(bytes).unwrap();
            returns(client, bytes);
        }
    }
}

#[test]
fn a_head_may_come_in_pieces_and_with_more_behind_it() {
    let server = Server::start(BARE, &["echo", "--threads", "1"]);
    let mut client = server.connect();
    client.set_nodelay(true).unwrap();
    let (one, two) = (head(), "the first bytes");
    let (start, end) = one.split_at(one.len() - 3);
    // Another client's answer shows that the start has been read.
    client.write_all(start.as_bytes()).unwrap();
    server.client();
    client.write_all(format!("{end}{two}").as_bytes()).unwrap();
    switched(&mut client);
    returns(&mut client, two.as_bytes());
}

#[test]
fn frames_are_answered_with_as_much_text() {
    let server = Server::start(BARE, &["echo", "--websocket", "--threads", "1"]);
    let mut client = server.client();
    for len in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
        // Two at once, so that one read brings more than a frame.
        client.write(Message::binary(vec![7; len])).unwrap();
        client.write(Message::binary(vec![7; len])).unwrap();
        client.flush().unwrap();
        for _ in 0..2 {
            assert_eq!(client.read().unwrap(), Message::text("x".repeat(len)), "{len}");
        }
    }
    client.close(None).unwrap();
    assert!(matches!(client.read(), Err(Error::Protocol(_) | Error::Io(_))), "cut at goodbye");
}

#[test]
fn pings_are_answered_with_their_seq() {
    let server = Server::start(BARE, &["ping", "--threads", "1"]);
    let mut client = server.client();
    for seq in ["1", "1773000000-42"] {
        let request = format!(r#"{{"seq":"{seq}","cmd":"ping","data":{{}}}}"#);
        client.send(Message::text(request)).unwrap();
        let response = r#"{"code":200,"codeMsg":"Success","data":"pong"}"#;
        let reply = format!(r#"{{"seq":"{seq}","cmd":"ping","response":{response}}}"#);
        assert_eq!(client.read().unwrap(), Message::text(reply));
    }
}

#[test]
fn accept_answers_the_head_and_nothing_else() {
    let server = Server::start(BARE, &["accept", "--threads", "2"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(Message::text("nobody reads this")).unwrap();
    }
    // The same thread has read what came before this client.
    let mut silent = clients.pop().unwrap();
    server.client();
    silent.get_ref().set_nonblocking(true).unwrap();
    assert!(matches!(silent.read(), Err(Error::Io(_))));
}

#[test]
fn orders_reach_every_socket() {
    let mut server = Server::start(BARE, &["send", "--threads", "3"]);
    let mut clients: Vec<_> = (0..12).map(|_| server.client()).collect();
    // Who has not shaken hands gets nothing.
    let _silent = server.connect();
    for (order, text) in [("send 10", "xxxxxxxxxx"), ("text hello, all", "hello, all")] {
        server.order(order);
        let line = server.says();
        let (count, seconds) =
            line.strip_prefix("sent ").and_then(|line| line.split_once(" in ")).unwrap();
        assert_eq!(count, "12");
        assert!(seconds.parse::<f64>().unwrap() >= 0.0);
        for client in &mut clients {
            assert_eq!(client.read().unwrap(), Message::text(text));
        }
    }
    server.order("dance");
    assert_eq!(
        server.complains(),
        "bare: an order is `send BYTES` or `text WORDS`, of 1 to 4096 bytes"
    );
    server.order("send 1");
    assert!(server.says().starts_with("sent 12 in "));
}

/// One after the other they need many times the descriptors that there are.
#[test]
fn sockets_of_the_gone_are_free_again() {
    let limit = ["--nofile=64:64", BARE, "echo", "--threads", "1"];
    let mut server = Server::start("prlimit", &limit);
    for round in 0..300 {
        let mut client = server.connect();
        client.write_all(head().as_bytes()).unwrap();
        if round % 3 == 0 {
            // Unread bytes make it a reset.
            continue;
        }
        switched(&mut client);
        client.write_all(b"here").unwrap();
        returns(&mut client, b"here");
    }
    assert!(server.is_alive());
}

#[test]
fn a_full_descriptor_table_is_said_aloud() {
    let mut server =
        Server::start("prlimit", &["--nofile=32:32", BARE, "accept", "--threads", "1"]);
    // The first who is refused has come after the end.
    let clients: Vec<TcpStream> =
        (0..32).map_while(|_| TcpStream::connect(server.address).ok()).collect();
    assert_eq!(
        server.complains(),
        "bare: a thread's descriptor table is full: start more --threads"
    );
    drop(clients);
}

#[test]
fn a_taken_port_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let out = Command::new(BARE).args(["accept", "--listen", &address]).output().unwrap();
    assert!(!out.status.success());
    assert!(String::from_utf8(out.stderr).unwrap().contains("Address already in use"));
}

#[test]
fn a_port_shared_with_another_bare_loop_is_refused() {
    let other = Server::start(BARE, &["accept", "--threads", "1"]);
    let address = other.address.to_string();
    let out = Command::new(BARE).args(["accept", "--listen", &address]).output().unwrap();
    assert!(!out.status.success());
}
