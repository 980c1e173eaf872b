//! Clients over TLS, and those who only pretend.

use super::{clients, ended};
use crate::support::{Certificate, Client, Message, Node, client_frame};
use millgate::config::Config;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A node with this certificate, which speaks nothing but TLS.
fn node(certificate: &Certificate) -> Node {
    node_with(certificate, |_| {})
}

fn node_with(certificate: &Certificate, change: impl FnOnce(&mut Config)) -> Node {
    Node::with(|config| {
        config.listen.websocket = "127.0.0.1:0 tls".parse().expect("a listener");
        config.listen.tls_cert = certificate.file("cert.pem");
        config.listen.tls_key = certificate.file("key.pem");
        change(config);
    })
}

fn connect(node: &Node, config: &Arc<ClientConfig>) -> Client {
    let mut client = Client::tcp(node.websocket()).with_tls(Arc::clone(config));
    client.upgrade("/acc");
    client
}

#[test]
fn messages_go_to_and_fro_over_both_versions() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    for version in [&TLS13, &TLS12] {
        let config = certificate.trusting(&[version], &["h2", "http/1.1"]);
        let mut ua = connect(&node, &config);
        assert_eq!(ua.tls().alpn_protocol(), Some(&b"http/1.1"[..]));
        ua.log_in(101, "ua");
        let mut ub = connect(&node, &config);
        ub.log_in(101, "ub");
        assert_eq!(ua.recv_push("enter")["from"], "ub");
        let fields = [("appID", "101"), ("userID", "ub"), ("msgID", ""), ("message", "hi")];
        assert_eq!(node.post_data("/user/sendMessage", &fields), json!({"sendResults": true}));
        assert_eq!(ub.recv_push("msg")["msg"], "hi");
        // The end of TLS is said before that of TCP, or reading would fail.
        ub.close();
        assert_eq!(ua.recv_push("exit")["from"], "ub");
        ua.close();
    }
    assert_eq!(node.metric("millgate_tls_handshakes_total"), 4.0);
    assert_eq!(node.metric("millgate_outbox_bytes"), 0.0);
}

#[test]
fn large_messages_are_many_records() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let mut client = Client::tcp(node.websocket()).with_tls(certificate.trusting(&[&TLS13], &[]));
    client.upgrade("/echo");
    for len in [0, 1, 16_383, 16_384, 16_385, 65_536] {
        let message: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        client.send_frame(0x82, &message);
        assert_eq!(client.recv(), Message::Binary(message));
    }
    client.close();
}

/// Records in records, and both cut anywhere.
#[test]
fn tls_may_come_byte_by_byte() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let config = certificate.trusting(&[&TLS13], &[]);
    let mut client = Client::tcp(node.websocket()).with_tls(config);
    let mut raw = client.another_end();
    let mut hello = Vec::new();
    client.tls().write_tls(&mut hello).expect("memory");
    raw.send_in_pieces(&hello, 1);
    client.upgrade("/acc");
    let mut records = Vec::new();
    for cmd in ["ping", "ping"] {
        let frame = client_frame(0x81, json!({"cmd": cmd}).to_string().as_bytes());
        client.tls().writer().write_all(&frame).expect("memory");
        client.tls().write_tls(&mut records).expect("memory");
    }
    raw.send_in_pieces(&records, 1);
    for _ in 0..2 {
        assert_eq!(client.recv_json()["response"]["data"], "pong");
    }
    // Each letter of a message in a record of its own.
    client.send_in_pieces(&client_frame(0x81, b"{\"cmd\":\"ping\"}"), 1);
    assert_eq!(client.recv_json()["response"]["data"], "pong");
}

/// The gateway stops reading from a client that does not take its replies, in the middle of
/// a record. When the client has taken them, the record goes on where it was cut.
#[test]
fn a_record_cut_by_a_pause_goes_on_after_it() {
    let certificate = Certificate::new();
    let node = node_with(&certificate, |config| config.limits.outbox_bytes = 65_536);
    for version in [&TLS13, &TLS12] {
        let mut client =
            Client::tcp(node.websocket()).with_tls(certificate.trusting(&[version], &[]));
        client.upgrade("/echo");
        let mut raw = client.another_end();
        raw.socket().set_write_timeout(Some(Duration::from_millis(400))).expect("a deadline");
        let message = vec![b'm'; 15_000];
        let frame = client_frame(0x82, &message);
        let (mut whole, mut cut) = (0, Vec::new());
        while cut.is_empty() {
            client.tls().writer().write_all(&frame).expect("memory");
            let mut records = Vec::new();
            client.tls().write_tls(&mut records).expect("memory");
            cut = send_until_stuck(&mut raw, &records);
            whole += usize::from(cut.is_empty());
            assert!(whole < 10_000, "the gateway never stops reading");
        }
        raw.socket().set_write_timeout(Some(Duration::from_secs(20))).expect("a deadline");
        for _ in 0..whole {
            assert_eq!(client.recv(), Message::Binary(message.clone()));
        }
        raw.send_raw(&cut);
        assert_eq!(client.recv(), Message::Binary(message.clone()));
        client.close();
    }
}

/// Sends as much as the peer takes; returns the rest.
fn send_until_stuck(raw: &mut Client, bytes: &[u8]) -> Vec<u8> {
    let mut sent = 0;
    while sent < bytes.len() {
        match raw.socket_mut().write(&bytes[sent..]) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    bytes[sent..].to_vec()
}

/// Many clients shake hands at once, and each of their greetings comes in two pieces, the second
/// of them while the first one waits for its turn.
#[test]
fn greetings_cut_in_two_survive_a_storm_of_them() {
    let certificate = Certificate::new();
    let node = node_with(&certificate, |config| config.reactor.threads = 1);
    let config = certificate.trusting(&[&TLS13], &[]);
    let mut clients: Vec<(Client, Client, Vec<u8>)> = (0..120)
        .map(|_| {
            let mut client = Client::tcp(node.websocket()).with_tls(Arc::clone(&config));
            let raw = client.another_end();
            let mut hello = Vec::new();
            client.tls().write_tls(&mut hello).expect("memory");
            (client, raw, hello)
        })
        .collect();
    for half in 0..2 {
        for (_, raw, hello) in &mut clients {
            let (first, second) = hello.split_at(hello.len() / 2);
            raw.send_raw([first, second][half]);
        }
    }
    for (client, _, _) in &mut clients {
        client.upgrade("/acc");
    }
}

/// A client that says in TLS that nothing more will come is answered in kind, before TCP ends.
#[test]
fn the_end_of_tls_is_answered() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    for version in [&TLS13, &TLS12] {
        for path in [None, Some("/acc")] {
            let config = certificate.trusting(&[version], &[]);
            let mut client = Client::tcp(node.websocket()).with_tls(config);
            match path {
                Some(path) => client.upgrade(path),
                None => client.send_raw(b"GET "),
            }
            let mut raw = client.another_end();
            client.tls().send_close_notify();
            let mut records = Vec::new();
            client.tls().write_tls(&mut records).expect("memory");
            raw.send_raw(&records);
            // Reading would fail if TCP ended first.
            assert_eq!(client.read_to_end(), b"");
        }
    }
    assert_eq!(node.metric("millgate_closes_total{cause=\"eof\"}"), 4.0);
}

#[test]
fn sessions_are_resumed() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    for version in [&TLS13, &TLS12] {
        let config = certificate.trusting(&[version], &[]);
        let mut first = connect(&node, &config);
        assert_eq!(first.tls().handshake_kind(), Some(HandshakeKind::Full));
        // Its ticket has arrived when the answer has.
        first.expect_silence();
        first.close();
        let mut second = connect(&node, &config);
        assert_eq!(second.tls().handshake_kind(), Some(HandshakeKind::Resumed));
        second.close();
    }
}

#[test]
fn another_inner_protocol_is_refused() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let config = certificate.trusting(&[&TLS12], &["h2"]);
    let mut client = Client::tcp(node.websocket()).with_tls(config);
    let mut socket = client.another_end();
    let mut hello = Vec::new();
    client.tls().write_tls(&mut hello).expect("memory");
    socket.send_raw(&hello);
    // An alert, in this version in the clear: fatal, no application protocol.
    assert_eq!(socket.read_to_end(), [0x15, 3, 3, 0, 2, 2, 120]);
    assert_eq!(ended(&node, "tls"), 1.0);
}

#[test]
fn a_plain_request_gets_a_plain_answer() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let mut client = Client::tcp(node.websocket());
    client.send_raw(&Client::request("/acc"));
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    let body = String::from_utf8(client.read_to_end()).expect("ASCII");
    assert_eq!(body, "TLS required: a plain request came to a port of wss\n");
    assert_eq!(ended(&node, "handshake_refused"), 1.0);
}

#[test]
fn garbage_is_closed_and_counted() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let mut witness = connect(&node, &certificate.trusting(&[&TLS13], &[]));
    let garbage: [&[u8]; 5] = [
        b"\0\0\0\0\0\0\0\0",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        b"\x15\x03\x03\x00\x02\x02\x28",
        &[0xFF; 70_000],
    ];
    for (index, bytes) in garbage.iter().enumerate() {
        let mut client = Client::tcp(node.websocket());
        client.try_send_raw(bytes);
        client.read_to_end();
        assert_eq!(ended(&node, "tls"), index as f64 + 1.0, "{:?}", &bytes[..6]);
    }
    witness.expect_silence();
}

/// In the midst of a session that was in order.
#[test]
fn a_forged_record_ends_the_connection() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let client = connect(&node, &certificate.trusting(&[&TLS13], &[]));
    let mut raw = client.another_end();
    raw.send_raw(&[b"\x17\x03\x03\x00\x40", &[7; 0x40][..]].concat());
    // An alert, which only the keys can read, and the end.
    assert!(!raw.read_to_end().is_empty());
    assert_eq!(ended(&node, "tls"), 1.0);
}

#[test]
fn a_handshake_has_its_time() {
    let certificate = Certificate::new();
    let node = node_with(&certificate, |config| {
        config.limits.handshake_timeout = Duration::from_secs(1);
    });
    let mut silent = Client::tcp(node.websocket());
    let mut half = Client::tcp(node.websocket());
    let mut hello = Vec::new();
    let mut tls = Client::tcp(node.websocket()).with_tls(certificate.trusting(&[&TLS13], &[]));
    tls.tls().write_tls(&mut hello).expect("memory");
    half.send_raw(&hello[..hello.len() / 2]);
    // TLS alone is no handshake of a WebSocket.
    let mut idle = tls.another_end();
    idle.send_raw(&hello);
    assert_eq!(silent.read_to_end(), b"");
    assert_eq!(half.read_to_end(), b"");
    assert!(!idle.read_to_end().is_empty());
    assert_eq!(ended(&node, "handshake_timeout"), 3.0);
}

/// All come at once: some have to wait for their turn, nobody is forgotten, and who
/// is connected is answered meanwhile.
#[test]
fn a_storm_of_handshakes_is_taken_in_turns() {
    let certificate = Certificate::new();
    let node = node_with(&certificate, |config| config.reactor.threads = 1);
    let config = certificate.trusting(&[&TLS13], &[]);
    let mut member = connect(&node, &config);
    let mut storm: Vec<Client> =
        (0..200).map(|_| Client::tcp(node.websocket()).with_tls(Arc::clone(&config))).collect();
    for client in &mut storm {
        let mut hello = Vec::new();
        client.tls().write_tls(&mut hello).expect("memory");
        client.another_end().send_raw(&hello);
    }
    member.expect_silence();
    for client in &mut storm {
        client.upgrade("/acc");
    }
    member.expect_silence();
    assert_eq!(node.metric("millgate_tls_handshakes_total"), 201.0);
}

/// What is encrypted cannot be taken back, what waits can: the last that a slow
/// client reads is still in order, and says why.
#[test]
fn a_client_that_does_not_read_is_closed_in_order() {
    let certificate = Certificate::new();
    let node = node_with(&certificate, |config| {
        config.reactor.threads = 1;
        config.limits.outbox_bytes = 65_536;
    });
    let config = certificate.trusting(&[&TLS13], &[]);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2_048).expect("a small buffer");
    socket.connect(&node.websocket().into()).expect("connects");
    let mut slow = Client::over(socket.into()).with_tls(config);
    slow.upgrade("/acc");
    slow.log_in(101, "slow");
    let message = "x".repeat(10_000);
    let fields = [("appID", "101"), ("userID", "slow"), ("msgID", ""), ("message", &message)];
    let mut sent = 0;
    while ended(&node, "slow") < 1.0 {
        node.post("/user/sendMessage", &fields);
        sent += 1;
        assert!(sent < 10_000, "the slow one is never closed");
    }
    let mut received = 0;
    loop {
        match slow.recv() {
            Message::Text(_) => received += 1,
            Message::Close(Some((code, _))) => break assert_eq!(code, 3008),
            other => panic!("{other:?}"),
        }
    }
    assert!(received > 0 && received < sent);
    slow.expect_end();
    node.await_metric("millgate_outbox_bytes", |bytes| bytes == 0.0);
}

#[test]
fn a_proxy_may_come_before_tls() {
    let certificate = Certificate::new();
    let node = node_with(&certificate, |config| {
        config.listen.websocket = "127.0.0.1:0 tls proxy".parse().expect("a listener");
    });
    let config = certificate.trusting(&[&TLS13], &[]);
    let mut plain = Client::tcp(node.websocket());
    plain.send_raw(b"PROXY TCP4 203.0.113.7 127.0.0.1 24442 8089\r\n");
    let mut client = plain.with_tls(config);
    client.upgrade("/acc");
    assert_eq!(clients(&node), ["203.0.113.7:24442"]);
    client.close();
}

#[test]
fn files_that_are_of_no_use_are_named() {
    let certificate = Certificate::new();
    let start = |cert: &str, key: &str| {
        let mut config = Config::default();
        config.listen.websocket = "127.0.0.1:0 tls".parse().expect("a listener");
        config.listen.tls_cert = certificate.file(cert);
        config.listen.tls_key = certificate.file(key);
        millgate::gateway::Gateway::start(config, Default::default()).unwrap_err().to_string()
    };
    let missing = start("missing.pem", "key.pem");
    assert!(
        missing.starts_with("listen.tls_cert: ") && missing.contains("missing.pem: No such"),
        "{missing}"
    );
    let swapped = start("key.pem", "cert.pem");
    assert!(swapped.contains("key.pem: there is no certificate in it"), "{swapped}");
    let other = Certificate::new();
    fs::copy(other.file("key.pem"), certificate.file("other.pem")).expect("a file");
    let mixed = start("cert.pem", "other.pem");
    assert!(mixed.contains("other.pem: is not the private key of the certificate"), "{mixed}");
}

/// Whether a client that trusts this certificate alone is let in.
fn is_let_in(node: &Node, config: &Arc<ClientConfig>) -> bool {
    let mut client = Client::tcp(node.websocket()).with_tls(Arc::clone(config));
    let mut socket = client.another_end();
    client.tls().complete_io(socket.socket_mut()).is_ok()
}

#[test]
fn who_comes_after_a_reload_is_shown_the_new_certificate() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let old = certificate.trusting(&[&TLS13], &[]);
    let mut member = connect(&node, &old);
    certificate.renew();
    node.reload(|_| {});
    let new = certificate.trusting(&[&TLS13], &[]);
    // Reactors look when they take their mail.
    assert!((0..1_000).any(|_| is_let_in(&node, &new)));
    assert!((0..1_000).any(|_| !is_let_in(&node, &old)));
    member.expect_silence();
    // A bad file leaves all as it was.
    fs::write(certificate.file("cert.pem"), "no certificate").expect("a file");
    let (status, problems) = node.try_reload(|_| {});
    assert_eq!(status, 400, "{problems}");
    assert!(problems.contains("cert.pem: there is no certificate in it"), "{problems}");
    let taken_away = |config: &mut Config| {
        config.listen.tls_cert = "".into();
        config.listen.tls_key = "".into();
        config.listen.websocket = "127.0.0.1:0".parse().expect("a listener");
    };
    let (status, problems) = node.try_reload(taken_away);
    assert_eq!(status, 400, "{problems}");
    assert!(problems.contains("which needs listen.tls_cert"), "{problems}");
    assert!(is_let_in(&node, &new));
    member.close();
}

/// A client that shares nothing with the server, not even the library.
#[test]
fn openssl_opens_a_websocket() {
    let certificate = Certificate::new();
    let node = node(&certificate);
    let mut openssl = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-verify_hostname", "localhost"])
        .args(["-connect", &node.websocket().to_string(), "-CAfile"])
        .arg(certificate.file("cert.pem"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let goodbye = client_frame(0x88, &1000_u16.to_be_bytes());
    let words = [Client::request("/acc"), client_frame(0x81, b"{\"cmd\":\"ping\"}"), goodbye];
    openssl.stdin.take().expect("piped").write_all(&words.concat()).expect("it reads");
    let output = openssl.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{said}");
    assert!(said.contains("\"pong\""), "{said}");
}
