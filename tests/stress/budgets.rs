//! Bounds that all connections share.

use crate::crowd::{eventually, narrow, send};
use crate::support::{Client, Message, Node, client_frame};
use serde_json::json;
use std::io::Write;

const SENT: &str = "millgate_messages_total{direction=\"out\"}";

/// Ten readers are stuck, on whatever reactors the kernel has put them.
#[test]
fn the_largest_backlog_of_the_process_goes_first() {
    let node = Node::with(|config| {
        config.reactor.threads = 4;
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
        config.limits.outbox_bytes = 4 << 20;
        config.limits.outbox_total_bytes = 4 << 20;
    });
    let text = "x".repeat(60_000);
    let names: Vec<String> = (0..10).map(|n| format!("user-{n}")).collect();
    let mut stuck: Vec<Client> = names.iter().map(|name| narrow(&node, 101, name)).collect();
    let before = node.metric(SENT);
    let mut sent = 0.0;
    let mut fill = |name: &str, messages: usize| {
        for _ in 0..messages {
            assert!(send(&node, name, &text));
            sent += 1.0;
        }
        eventually("they are queued", || node.metric(SENT) == before + sent);
    };
    for (name, messages) in names.iter().zip(1..) {
        fill(name, messages);
    }
    assert_eq!(node.metric("millgate_closes_total"), 0.0, "3.3 MB are within the bound");
    fill("user-5", 14);
    fill("user-8", 10);
    eventually("one is shed", || node.metric("millgate_closes_total{cause=\"shed\"}") == 1.0);
    assert_eq!(node.metric("millgate_closes_total"), 1.0);
    let received: Vec<_> = stuck.iter_mut().map(texts_and_close).collect();
    for (n, (texts, code)) in received.into_iter().enumerate() {
        match n {
            5 => assert!(texts < 20 && code == Some(3008), "{texts} {code:?}"),
            8 => assert_eq!((texts, code), (19, None)),
            _ => assert_eq!((texts, code), (n + 1, None)),
        }
    }
    drop(stuck);
    eventually("nothing waits", || node.metric("millgate_outbox_bytes") == 0.0);
}

/// Reads up to the answer to a ping, or to a close frame.
fn texts_and_close(client: &mut Client) -> (usize, Option<u16>) {
    let ping = client_frame(0x89, b"fence");
    // Fails if the server has ended the connection already.
    let _ended = client.socket().write_all(&ping);
    let mut texts = 0;
    loop {
        match client.recv() {
            Message::Text(_) => texts += 1,
            Message::Pong(_) => return (texts, None),
            Message::Close(reason) => return (texts, reason.map(|(code, _)| code)),
            other => panic!("{other:?}"),
        }
    }
}

/// Many messages of which the end does not come: so many bytes are held and no more. Those who
/// have held theirs longest make room for the others.
#[test]
fn half_sent_messages_are_bounded() {
    const BUDGET: usize = 1 << 20;
    const FRAGMENT: usize = 30_000;
    let node = Node::with(|config| config.limits.assembly_total_bytes = BUDGET);
    for round in 0..3 {
        let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(&node)).collect();
        for client in &mut clients {
            client.send_frame(0x01, &[b' '; FRAGMENT]);
            client.send_frame(0x89, b"taken");
            // The answer may go out together with the end.
            let answer = client.recv();
            assert!(matches!(answer, Message::Pong(_) | Message::Close(Some((1013, _)))));
        }
        let (mut holders, mut refused) = (Vec::new(), 0);
        for mut client in clients {
            // Fails if the server has ended the connection already.
            let _ended = client.socket().write_all(&client_frame(0x89, b"fence"));
            match client.recv() {
                Message::Pong(_) => holders.push(client),
                Message::Close(Some((1013, _))) | Message::End => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        let held = holders.len() * FRAGMENT;
        assert!(held <= BUDGET, "round {round}: {held} bytes are held");
        assert!(held + 3 * FRAGMENT > BUDGET / 2, "round {round}: only {held} bytes are held");
        assert!(refused > 0);
        let mut last = holders.pop().unwrap();
        last.send_frame(0x80, br#"{"cmd":"ping"}"#);
        assert_eq!(last.recv_json()["response"]["data"], json!("pong"));
        drop((holders, last));
        eventually("all are gone", || node.metric("millgate_connections") == 0.0);
    }
}

#[test]
fn one_connection_too_many_is_told_when_to_come_back() {
    let node = Node::with(|config| config.limits.connections = 10);
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(&node)).collect();
    for _ in 0..20 {
        let mut refused = Client::tcp(node.websocket());
        // The refusal may be there before the request.
        let _ended = refused.socket().write_all(&Client::request("/acc"));
        let head = refused.read_head();
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert!(head.contains("\r\nRetry-After: 10\r\n"), "{head}");
    }
    assert_eq!(node.metric("millgate_closes_total{cause=\"full\"}"), 20.0);
    clients.iter_mut().for_each(Client::expect_silence);
    clients.truncate(7);
    eventually("three are gone", || node.metric("millgate_connections") == 7.0);
    clients.extend((0..3).map(|_| Client::connect(&node)));
    clients.iter_mut().for_each(Client::expect_silence);
}
