//! Handshakes that drip, swell, or never come.

use crate::crowd::{alone, eventually};
use crate::support::{Client, Node};
use millgate::clock::Clock;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

const BEAT: Duration = Duration::from_millis(50);

#[test]
fn dripping_handshakes_are_closed_in_time() {
    let _alone = alone();
    let node = Node::with(|config| config.limits.handshake_timeout = Duration::from_secs(1));
    let mut living = Client::login(&node, 101, "ua");
    let clock = Clock::start();
    let mut drips: Vec<Client> = (0..500).map(|_| Client::tcp(node.websocket())).collect();
    let request = Client::request("/acc");
    let mut sent = 0;
    while !drips.is_empty() {
        let lived = clock.now();
        assert!(lived < Duration::from_secs(10), "{} still live", drips.len());
        let byte = request.get(sent).copied().unwrap_or(b'x');
        sent += 1;
        drips.retain(|client| drip(client, byte));
        assert!(drips.len() == 500 || clock.now() >= Duration::from_secs(1), "closed too early");
        // The beat: nothing comes for the living, who is served meanwhile.
        living.expect_silence();
        living.socket().set_read_timeout(Some(BEAT)).unwrap();
        assert_eq!(living.socket().peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        living.socket().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    let closed = node.metric("millgate_closes_total{cause=\"handshake_timeout\"}");
    assert_eq!(closed, 500.0);
    eventually("they are gone", || node.metric("millgate_connections") == 1.0);
}

/// Sends one byte; false once the server has ended.
fn drip(client: &Client, byte: u8) -> bool {
    let mut socket = client.socket();
    if socket.write_all(&[byte]).is_err() {
        return false;
    }
    socket.set_nonblocking(true).unwrap();
    let read = socket.read(&mut [0]);
    socket.set_nonblocking(false).unwrap();
    match read {
        Err(error) => error.kind() == ErrorKind::WouldBlock,
        Ok(n) => {
            assert_eq!(n, 0, "nothing is owed to half a request");
            false
        }
    }
}

#[test]
fn a_head_above_the_limit_is_answered_431() {
    let node = Node::with(|config| config.limits.handshake_bytes = 1_024);
    let head = Client::request("/acc");
    let with_field = |bytes: usize| {
        let mut request = head[..head.len() - 2].to_vec();
        request.extend_from_slice(b"X: ");
        request.resize(bytes - 4, b'x');
        request.extend_from_slice(b"\r\n\r\n");
        request
    };
    for (bytes, pieces, status) in
        [(1_024, 1, 101), (1_025, 1, 431), (1_024, 7, 101), (3_000, 7, 431)]
    {
        let mut client = Client::tcp(node.websocket());
        for piece in with_field(bytes).chunks(bytes.div_ceil(pieces)) {
            if client.socket().write_all(piece).is_err() {
                break;
            }
        }
        let answer = client.read_head();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes}: {answer}");
    }
}

#[test]
fn half_sent_heads_count_against_the_budget() {
    let node = Node::with(|config| {
        config.limits.assembly_total_bytes = 100_000;
        config.limits.handshake_timeout = Duration::from_secs(60);
    });
    let clients: Vec<Client> = (0..30)
        .map(|_| {
            let mut client = Client::tcp(node.websocket());
            let mut head = b"GET /acc HTTP/1.1\r\nX: ".to_vec();
            head.resize(8_000, b'x');
            client.send_raw(&head);
            client
        })
        .collect();
    let refused = || node.metric("millgate_closes_total{cause=\"assembly_budget\"}");
    eventually("some are refused", || refused() >= 10.0);
    assert!(refused() < 25.0, "the budget is used");
    drop(clients);
    eventually("all are gone", || node.metric("millgate_connections") == 0.0);
    let mut client = Client::connect(&node);
    client.expect_silence();
}
