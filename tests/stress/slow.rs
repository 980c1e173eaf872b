//! Peers that do not read, and those who must not notice.

use crate::crowd::{eventually, narrow, send, send_to_all};
use crate::support::{Client, Message, Node};
use millgate::clock::Clock;
use std::time::Duration;

/// What nobody may have to wait for on a machine that is busy with tests.
const PROMPT: Duration = Duration::from_secs(2);

#[test]
fn a_stuck_reader_harms_nobody_else() {
    let node = Node::start();
    let mut others = [Client::login(&node, 102, "ua"), Client::login(&node, 103, "ub")];
    let mut stuck = narrow(&node, 101, "stuck");
    let text = "x".repeat(65_000);
    let clock = Clock::start();
    let mut sent = 0;
    while send(&node, "stuck", &text) {
        sent += 1;
        assert!(sent < 100, "it is never closed");
        for client in &mut others {
            client.request_reply("ping", serde_json::json!({}));
        }
        assert!(clock.now() < PROMPT * (sent + 1), "somebody waited");
    }
    assert!(sent >= 4, "256 KiB may wait: {sent}");
    assert_eq!(node.metric("millgate_closes_total{cause=\"slow\"}"), 1.0);
    assert_eq!(node.metric("millgate_closes_total"), 1.0);
    assert!(node.metric("millgate_outbox_bytes") > 0.0, "the frame that was begun");
    let mut read = 0;
    let code = loop {
        match stuck.recv() {
            Message::Text(frame) => assert!(frame.len() > text.len()),
            Message::Close(reason) => break reason.unwrap().0,
            other => panic!("{other:?}"),
        }
        read += 1;
    };
    assert_eq!((code, stuck.recv()), (3008, Message::End));
    assert!((1..sent).contains(&read), "begun frames and no others: {read} of {sent}");
    drop(stuck);
    eventually("the stuck one is gone", || node.metric("millgate_connections") == 2.0);
    assert_eq!(node.metric("millgate_outbox_bytes"), 0.0);
    assert_eq!(node.metric("millgate_outbox_connections"), 0.0);
    others.iter_mut().for_each(Client::expect_silence);
}

/// It is given some seconds to read its last bytes, and then cut off.
#[test]
fn a_reader_that_stays_stuck_is_cut_off() {
    let node = Node::start();
    let mut stuck = narrow(&node, 101, "stuck");
    let text = "x".repeat(65_000);
    while send(&node, "stuck", &text) {}
    eventually("it is cut off", || node.metric("millgate_connections") == 0.0);
    assert_eq!(node.metric("millgate_outbox_bytes"), 0.0);
    assert_eq!(node.metric("millgate_users"), 0.0);
    let rest = stuck.read_to_end();
    assert!(!rest.ends_with(b"slow consumer"), "the close frame had been taken after all");
}

#[test]
fn a_broadcast_passes_by_a_stuck_member() {
    let node = Node::with(|config| {
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
    });
    let mut members: Vec<Client> =
        (0..20).map(|n| Client::login(&node, 101, &format!("user-{n}"))).collect();
    let _stuck = narrow(&node, 101, "stuck");
    let text = "x".repeat(65_000);
    for round in 0..20 {
        send_to_all(&node, "user-0", &text);
        for member in &mut members[1..] {
            let push = member.recv_push("msg");
            assert_eq!(push["msg"].as_str().map(str::len), Some(text.len()), "round {round}");
        }
    }
    members[0].expect_silence();
    assert_eq!(node.metric("millgate_closes_total{cause=\"slow\"}"), 1.0);
    assert_eq!(node.metric("millgate_closes_total"), 1.0);
}

/// A client that sends and never takes its replies is not read from; it loses
/// nothing when it reads after all.
#[test]
fn who_does_not_take_replies_is_not_read_from() {
    let node = Node::start();
    let mut client = Client::connect_to(node.websocket(), "/echo");
    let text = "x".repeat(60_000);
    let count = 400;
    let mut writer = Client::over(client.socket().try_clone().unwrap());
    let message = text.clone();
    let writing = std::thread::spawn(move || (0..count).for_each(|_| writer.send_text(&message)));
    let waits = || node.metric("millgate_outbox_bytes");
    eventually("a backlog", || waits() > 131_072.0);
    for _ in 0..50 {
        assert!(waits() < 2.0 * 262_144.0, "{}", waits());
    }
    for _ in 0..count {
        assert_eq!(client.recv(), Message::Text(text.clone()));
    }
    writing.join().unwrap();
    client.expect_silence();
    assert_eq!(waits(), 0.0);
}

#[test]
fn a_half_closed_client_gets_its_replies() {
    let node = Node::start();
    let mut small = Client::connect(&node);
    small.send_text(r#"{"seq":"1","cmd":"ping"}"#);
    small.socket().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(small.recv_json()["response"]["data"], "pong");
    assert_eq!(small.recv(), Message::End);

    let mut large = Client::connect_to(node.websocket(), "/echo");
    let text = "x".repeat(65_000);
    for _ in 0..3 {
        large.send_text(&text);
    }
    large.socket().shutdown(std::net::Shutdown::Write).unwrap();
    for _ in 0..3 {
        assert_eq!(large.recv(), Message::Text(text.clone()));
    }
    assert_eq!(large.recv(), Message::End);
    eventually("both are gone", || node.metric("millgate_connections") == 0.0);
}
