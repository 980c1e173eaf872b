//! The shortest way through everything.

use crate::support::{Client, Message, Node};

#[test]
fn two_users_meet_and_part() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    let mut ub = Client::login(&node, 101, "ub");
    assert_eq!(ua.recv_push("enter")["from"], "ub");
    ub.expect_silence();
    drop(ub);
    assert_eq!(ua.recv_push("exit")["from"], "ub");
    let (status, body) = node.get("/healthz");
    assert_eq!((status, body.trim()), (200, "ok"));
    node.stop();
    ua.expect_close(1012);
}

#[test]
fn echo_returns_what_it_gets() {
    let node = Node::start();
    let mut client = Client::connect_to(node.websocket(), "/echo");
    client.send_text("hello");
    assert_eq!(client.recv(), Message::Text("hello".into()));
}
