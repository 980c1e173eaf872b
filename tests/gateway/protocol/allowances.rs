//! What a client may take of a node: messages and bytes a second, time before
//! it logs in, and no place while memory is short.

use crate::support::{Client, Message, Node, client_frame};
use millgate::config::Excess;
use serde_json::json;
use std::time::Duration;

fn ping() -> Vec<u8> {
    client_frame(0x81, br#"{"seq":"1","cmd":"ping","data":{}}"#)
}

#[test]
fn who_sends_too_much_is_closed_and_nobody_else() {
    let node = Node::with(|config| config.limits.messages_per_second = 20);
    let mut greedy = Client::connect(&node);
    let mut modest = Client::connect(&node);
    greedy.send_raw(&ping().repeat(60));
    for _ in 0..20 {
        assert!(matches!(greedy.recv(), Message::Text(_)));
    }
    let mut closed = None;
    while closed.is_none() {
        // What the time in between allows is answered too.
        match greedy.recv() {
            Message::Close(Some((code, _))) => closed = Some(code),
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(closed, Some(3013));
    assert_eq!(modest.request_reply("ping", json!({}))["response"]["data"], "pong");
    assert_eq!(node.metric("millgate_closes_total{cause=\"too_fast\"}"), 1.0);
}

#[test]
fn or_its_messages_are_thrown_away() {
    let node = Node::with(|config| {
        config.limits.messages_per_second = 20;
        config.limits.excess = Excess::Drop;
    });
    let mut client = Client::connect(&node);
    client.send_raw(&ping().repeat(1_000));
    let answered = "millgate_messages_total{direction=\"in\"}";
    let dropped = "millgate_client_messages_dropped_total";
    node.await_metric(dropped, |count| count + node.metric(answered) == 1_000.0);
    let answers = 1_000 - node.metric(dropped) as usize;
    assert!((20..900).contains(&answers), "a burst is answered, and little more: {answers}");
    for _ in 0..answers {
        assert!(matches!(client.recv(), Message::Text(_)));
    }
    client.expect_nothing_for(Duration::from_millis(200));
    assert_eq!(client.request_reply("ping", json!({}))["response"]["code"], 200);
}

#[test]
fn fragments_and_control_frames_count_too() {
    let node = Node::with(|config| config.limits.messages_per_second = 50);
    let mut endless = Client::connect(&node);
    endless.send_frame(0x01, b"");
    endless.try_send_raw(&client_frame(0x00, b"").repeat(100));
    endless.expect_close(3013);
    let mut flood = Client::connect(&node);
    flood.try_send_raw(&client_frame(0x89, b"").repeat(100));
    for _ in 0..50 {
        assert_eq!(flood.recv(), Message::Pong(Vec::new()));
    }
    flood.read_to_end();
    assert_eq!(node.metric("millgate_closes_total{cause=\"too_fast\"}"), 2.0);
}

#[test]
fn bytes_are_bounded_and_the_largest_message_passes() {
    let node = Node::with(|config| {
        config.limits.message_bytes = 50_000;
        config.limits.bytes_per_second = 1_000;
    });
    let mut client = Client::connect_to(node.websocket(), "/echo");
    client.send_frame(0x82, &[7; 50_000]);
    assert_eq!(client.recv(), Message::Binary(vec![7; 50_000]));
    client.send_frame(0x82, &[7; 50_000]);
    client.expect_close(3013);
}

#[test]
fn a_login_has_its_time_whatever_else_is_sent() {
    let node = Node::with(|config| {
        config.limits.login_timeout = Duration::from_secs(2);
        config.limits.handshake_timeout = Duration::from_secs(60);
    });
    let mut chatty = Client::connect(&node);
    let mut user = Client::login(&node, 101, "ann");
    let mut echo = Client::connect_to(node.websocket(), "/echo");
    let socket = chatty.socket().try_clone().expect("a descriptor");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
    let mut signs = 0;
    while socket.peek(&mut [0]).is_err() {
        chatty.send_frame(0x8A, b"a sign of life");
        signs += 1;
        assert!(signs < 75, "it is still there after 15 seconds");
    }
    chatty.expect_close(3502);
    user.expect_silence();
    echo.expect_silence();
    assert_eq!(node.metric("millgate_closes_total{cause=\"login_timeout\"}"), 1.0);
}

#[test]
fn nobody_new_comes_while_memory_is_short() {
    let node = Node::with(|config| {
        // More than any host has.
        config.limits.memory_reserve_bytes = 1 << 50;
    });
    node.await_metric("millgate_admission_closed", |shut| shut == 1.0);
    let mut client = Client::tcp(node.websocket());
    client.send_raw(&Client::request("/acc"));
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("Retry-After: "), "{head}");
    assert_eq!(node.metric("millgate_closes_total{cause=\"memory\"}"), 1.0);
    assert_eq!(node.get("/readyz").0, 200, "those who are here are served");
}
