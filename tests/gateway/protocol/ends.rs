//! How connections end when it is not the client who says so, and what must
//! not end with them.

use crate::support::{Client, Message, Node, client_frame};
use millgate::config::Limits;
use serde_json::json;
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_silent_client_is_reaped_and_a_live_one_is_not() {
    let node = Node::with(|config| {
        config.heartbeat.idle_timeout = Duration::from_secs(2);
        // The handshake may take longer than that; it must not count.
        config.limits.handshake_timeout = Duration::from_secs(60);
    });
    let mut silent = Client::login(&node, 101, "silent");
    let mut live = Client::login(&node, 101, "live");
    assert_eq!(silent.recv_push("enter")["from"], "live");
    // The end of the one is the clock of the other.
    live.live_until_spoken_to();
    assert_eq!(live.recv_push("exit")["from"], "silent");
    silent.expect_close(3012);
    live.expect_silence();
}

#[test]
fn a_handshake_has_its_time() {
    let node = Node::with(|config| config.limits.handshake_timeout = Duration::from_secs(1));
    let mut silent = Client::tcp(node.websocket());
    let mut begun = Client::tcp(node.websocket());
    begun.send_raw(b"GET /acc HTTP/1.1\r\n");
    let mut done = Client::connect(&node);
    assert_eq!(silent.read_to_end(), b"");
    assert_eq!(begun.read_to_end(), b"");
    done.expect_silence();
}

/// The last word is the server's: it does not wait for ever for a client to
/// end its side, nor to read what it is owed.
#[test]
fn a_closing_handshake_has_its_time() {
    let node = Node::with(|config| {
        // The clock of this test: a handshake that never comes, a little later.
        config.limits.handshake_timeout = Duration::from_secs(6);
    });
    let mut stubborn = Client::connect(&node);
    stubborn.send_frame(0x83, b"");
    stubborn.expect_close(1002);
    let mut deaf = Client::over(narrow(&node));
    deaf.send_raw(&Client::request("/echo"));
    assert!(deaf.read_head().starts_with("HTTP/1.1 101 "));
    let message = client_frame(0x82, &[7; 60_000]);
    let goodbye = client_frame(0x88, b"\x03\xe8");
    deaf.send_raw(&[message.clone(), message, goodbye].concat());
    let mut clock = Client::tcp(node.websocket());
    node.await_metric("millgate_connections", |connections| connections == 3.0);
    assert_eq!(clock.read_to_end(), b"");
    node.await_metric("millgate_connections", |connections| connections == 0.0);
    assert_eq!(node.metric("millgate_outbox_bytes"), 0.0);
    drop((stubborn, deaf));
}

#[test]
fn a_full_node_says_so() {
    let node = Node::with(|config| config.limits.connections = 2);
    let first = Client::connect(&node);
    let mut second = Client::connect(&node);
    for request in [Vec::new(), Client::request("/acc")] {
        let mut third = Client::tcp(node.websocket());
        // It may have been turned away before it could ask.
        third.try_send_raw(&request);
        let answer = String::from_utf8(third.read_to_end()).expect("ASCII");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nRetry-After: "), "{answer}");
    }
    second.expect_silence();
    // Whoever leaves makes room: it is there once the server has said goodbye.
    first.close();
    Client::connect(&node).expect_silence();
}

/// A reactor whose descriptors are used up closes its listener, so that clients
/// go to the others. It must not sleep over the moment when there is room again.
#[test]
fn a_full_reactor_listens_again_as_soon_as_there_is_room() {
    let mut node = Command::new("sh")
        .args(["-c", "ulimit -n 88 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_millgate"), "serve"])
        .args(["--websocket", "127.0.0.1:0", "--http", "127.0.0.1:0", "--threads", "1"])
        // Nothing else may wake it.
        .args(["--set", "limits.handshake_timeout=300s"])
        .env_clear()
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut log = BufReader::new(node.stderr.take().expect("piped")).lines();
    let listening = log.find_map(|line| {
        let line = line.expect("a line");
        let address = line.split_once("websocket=")?.1.split(' ').next()?;
        Some(address.parse().expect("an address"))
    });
    let address = listening.expect("it listens");
    let mut clients = Vec::new();
    while let Some(client) = try_connect(address) {
        clients.push(client);
    }
    assert!(clients.len() > 16, "{}", clients.len());
    // One is not a sixteenth of the room, two are.
    for client in clients.drain(..2) {
        client.close();
    }
    let again = (0..100_000).find_map(|_| try_connect(address));
    node.kill().expect("it runs");
    node.wait().expect("it ends");
    assert!(again.is_some(), "nobody can connect any more");
}

/// A WebSocket, unless the server does not listen or hangs up.
fn try_connect(address: SocketAddr) -> Option<Client> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.write_all(&Client::request("/acc")).ok()?;
    if socket.peek(&mut [0]).ok()? == 0 {
        return None;
    }
    let mut client = Client::over(socket);
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    Some(client)
}

#[test]
fn half_a_close_still_gets_its_replies() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    client.send_text(r#"{"cmd":"ping"}"#);
    client.end_sending();
    assert_eq!(client.recv_json()["response"]["data"], "pong");
    client.expect_end();
    // Also more of them than the kernel takes at once, and no bytes to wake the server again.
    let mut client = Client::connect_to(node.websocket(), "/echo");
    let message = vec![7; 60_000];
    let mut sender = client.socket().try_clone().expect("a descriptor");
    let frames = client_frame(0x82, &message).repeat(100);
    let writer = std::thread::spawn(move || {
        sender.write_all(&frames).expect("the server reads");
        sender.shutdown(Shutdown::Write).expect("connected");
    });
    for _ in 0..100 {
        assert_eq!(client.recv(), Message::Binary(message.clone()));
    }
    client.expect_end();
    writer.join().expect("all was sent");
}

#[test]
fn an_end_amid_a_message_or_a_handshake_is_an_end() {
    let node = Node::with(|config| config.reactor.threads = 1);
    let mut witness = Client::login(&node, 101, "witness");
    for bytes in [&[0x81][..], &[0x81, 0xFE, 0x10], &[0x02, 0x82, 1, 2, 3, 4, 5]] {
        let mut client = Client::login(&node, 101, "ua");
        assert_eq!(witness.recv_push("enter")["from"], "ua");
        client.send_raw(bytes);
        client.end_sending();
        client.expect_end();
        assert_eq!(witness.recv_push("exit")["from"], "ua");
    }
    let mut client = Client::tcp(node.websocket());
    client.send_raw(b"GET /acc HT");
    client.end_sending();
    assert_eq!(client.read_to_end(), b"");
    witness.expect_silence();
}

/// A client that sends and does not read is not read from: it blocks itself,
/// and nobody else. When it reads at last, nothing is missing.
#[test]
fn replies_wait_for_a_client_that_does_not_read() {
    const REQUESTS: usize = 40_000;
    let node = Node::with(|config| config.reactor.threads = 1);
    let mut client = Client::connect(&node);
    let mut sender = client.socket().try_clone().expect("a descriptor");
    let writer = std::thread::spawn(move || {
        let filler = "x".repeat(200);
        for n in 0..REQUESTS {
            let request = json!({"seq": format!("{n}-{filler}"), "cmd": "ping"}).to_string();
            let frame = client_frame(0x81, request.as_bytes());
            sender.write_all(&frame).expect("the server reads at last");
        }
    });
    let mut other = Client::connect(&node);
    other.expect_silence();
    for n in 0..REQUESTS {
        let seq = client.recv_json()["seq"].as_str().expect("a seq").to_owned();
        assert!(seq.starts_with(&format!("{n}-")), "{n}: {seq}");
    }
    writer.join().expect("all was sent");
    client.expect_silence();
}

/// The reference stops for everybody when one client stops reading.
#[test]
fn a_client_that_does_not_read_its_pushes_is_closed_alone() {
    slow_client_is_closed(|limits| limits.outbox_bytes = 4_096, "slow");
}

/// The bound for all is reached before its own.
#[test]
fn a_client_that_does_not_read_is_closed_for_the_sake_of_all() {
    slow_client_is_closed(|limits| limits.outbox_total_bytes = 16_384, "shed");
}

fn slow_client_is_closed(change: impl FnOnce(&mut Limits), cause: &str) {
    let node = Node::with(|config| {
        config.reactor.threads = 1;
        change(&mut config.limits);
    });
    let mut watcher = Client::login(&node, 101, "watcher");
    let mut slow = Client::over(narrow(&node));
    slow.send_raw(&Client::request("/acc"));
    assert!(slow.read_head().starts_with("HTTP/1.1 101 "));
    slow.request_reply("login", json!({"userID": "slow", "appID": 101}));
    assert_eq!(watcher.recv_push("enter")["from"], "slow");
    // Comings and goings, until the slow one's going is among them.
    let mut gone = false;
    for _ in 0..2_000 {
        pass_by(&node);
        gone |= expect_passer_by(&mut watcher);
        if gone {
            break;
        }
    }
    assert!(gone, "the slow one is never closed");
    watcher.expect_silence();
    assert_eq!(watcher.request_reply("heartbeat", json!({}))["response"]["code"], 200);
    // What it had begun to receive is whole, and the last it hears is why.
    let mut received = 0;
    loop {
        match slow.recv() {
            Message::Text(_) => received += 1,
            Message::Close(Some((code, _))) => break assert_eq!(code, 3008),
            other => panic!("{other:?}"),
        }
    }
    assert!(received > 0);
    slow.expect_end();
    let closes = node.metric(&format!("millgate_closes_total{{cause=\"{cause}\"}}"));
    assert_eq!(closes, 1.0, "{cause}");
}

/// Comes and goes; on the way it may hear that the slow one has gone.
fn pass_by(node: &Node) {
    let mut client = Client::login(node, 101, "passer-by");
    client.send_frame(0x88, &1000_u16.to_be_bytes());
    loop {
        match client.recv() {
            Message::Text(_) => {}
            Message::Close(Some((1000, _))) => break client.expect_end(),
            other => panic!("{other:?}"),
        }
    }
}

/// Reads that the passer-by came and went; true if the slow one's exit is before that.
fn expect_passer_by(watcher: &mut Client) -> bool {
    let mut gone = false;
    for expected in ["enter", "exit"] {
        let mut push = watcher.recv_json();
        if push["response"]["data"]["from"] == "slow" {
            assert_eq!(push["cmd"], "exit");
            gone = true;
            push = watcher.recv_json();
        }
        assert_eq!(push["cmd"], expected);
        assert_eq!(push["response"]["data"]["from"], "passer-by");
    }
    gone
}

/// A socket that takes next to nothing while it is not read from.
fn narrow(node: &Node) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(2_048).expect("a small buffer");
    socket.connect(&node.websocket().into()).expect("connects");
    socket.into()
}

#[test]
fn a_client_that_floods_does_not_keep_others_waiting() {
    let node = Node::with(|config| config.reactor.threads = 1);
    let flooder = Client::connect(&node);
    let mut other = Client::connect(&node);
    let mut sender = flooder.socket().try_clone().expect("a descriptor");
    let writer = std::thread::spawn(move || {
        // Pongs are never answered, so nothing slows the flood but the reading of it.
        let burst = client_frame(0x8A, &[7; 125]).repeat(1_000);
        for _ in 0..400 {
            sender.write_all(&burst).expect("the server reads");
        }
    });
    let mut answered = 0;
    while !writer.is_finished() {
        other.expect_silence();
        answered += 1;
    }
    writer.join().expect("all was sent");
    assert!(answered > 0);
    let mut flooder = flooder;
    flooder.expect_silence();
}

#[test]
fn a_stopping_node_closes_everybody_with_1012_and_announces_nothing() {
    let node = Node::with(|config| config.stop.timeout = Duration::from_secs(10));
    let mut clients: Vec<Client> = Vec::new();
    for n in 0..20 {
        let newcomer = Client::login(&node, 101, &format!("u{n}"));
        for client in &mut clients {
            client.recv_push("enter");
        }
        clients.push(newcomer);
    }
    let mut in_handshake = Client::tcp(node.websocket());
    in_handshake.send_raw(b"GET /acc");
    let mut unread = Client::connect(&node);
    unread.send_frame(0x01, b"{\"cmd\":");
    unread.expect_silence();
    let stopping = std::thread::spawn(move || node.stop());
    for client in &mut clients {
        client.expect_close(1012);
    }
    unread.expect_close(1012);
    assert_eq!(in_handshake.read_to_end(), b"");
    drop((clients, unread));
    stopping.join().expect("it stops as soon as all have gone");
}
