//! Connections that are closed by order.

use super::trace::Trace;
use crate::support::{Client, Message, Node};
use serde_json::json;

fn expect_kick(client: &mut Client, reason: &str) {
    loop {
        match client.recv() {
            // Others may have left before.
            Message::Text(_) => {}
            other => {
                assert_eq!(other, Message::Close(Some((3503, reason.to_owned()))));
                break client.expect_end();
            }
        }
    }
}

fn kicked(node: &Node) -> f64 {
    node.metric("millgate_closes_total{cause=\"kicked\"}")
}

#[test]
fn a_user_is_kicked_on_one_app_or_on_all() {
    let node = Node::start();
    let mut here = Client::login(&node, 101, "ann");
    let mut there = Client::login(&node, 102, "ann");
    let mut other = Client::login(&node, 102, "anna");
    assert_eq!(there.recv_push("enter")["from"], "anna");
    let fields = [("userID", "ann"), ("appID", "101"), ("reason", "go <away>")];
    let data = node.post_data("/admin/kick", &fields);
    assert_eq!(data, json!({"orders": 2, "refused": 0, "here": true, "elsewhere": []}));
    expect_kick(&mut here, "go <away>");
    there.expect_silence();
    node.post_data("/admin/kick?userID=ann", &[]);
    expect_kick(&mut there, "closed by an operator");
    assert_eq!(other.recv_push("exit")["from"], "ann");
    other.expect_silence();
    assert_eq!(kicked(&node), 2.0);
    let nobody = node.post_data("/admin/kick?userID=ann", &[]);
    assert_eq!(nobody["here"], false);
}

/// A newer login has taken over; the older connection is the same person's.
#[test]
fn a_displaced_connection_of_the_user_goes_as_well() {
    let node = Node::start();
    let mut older = Client::login(&node, 101, "ann");
    let mut newer = Client::login(&node, 101, "ann");
    node.post_data("/admin/kick", &[("userID", "ann"), ("appID", "101")]);
    expect_kick(&mut older, "closed by an operator");
    expect_kick(&mut newer, "closed by an operator");
}

#[test]
fn all_of_an_app_go_and_nobody_else() {
    let node = Node::with(|config| {
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
    });
    let mut members: Vec<Client> =
        (0..1_500).map(|n| Client::login(&node, 103, &format!("u{n}"))).collect();
    let mut other = Client::login(&node, 104, "u1");
    let mut nobody = Client::connect(&node);
    node.post_data("/admin/kick", &[("appID", "103"), ("reason", "closing time")]);
    for client in &mut members {
        expect_kick(client, "closing time");
    }
    other.expect_silence();
    nobody.expect_silence();
    assert_eq!(kicked(&node), 1_500.0);
}

#[test]
fn a_network_goes_with_those_who_have_not_even_shaken_hands() {
    let node = Node::start();
    let mut user = Client::login(&node, 101, "ann");
    let mut begun = Client::tcp(node.websocket());
    begun.send_raw(b"GET /acc HTTP/1.1\r\n");
    user.expect_silence();
    node.await_metric("millgate_connections", |connections| connections == 2.0);
    node.post_data("/admin/kick", &[("address", "192.0.2.0/24")]);
    user.expect_silence();
    node.post_data("/admin/kick", &[("address", "127.0.0.0/8")]);
    expect_kick(&mut user, "closed by an operator");
    assert_eq!(begun.read_to_end(), b"");
}

#[test]
fn a_connection_is_kicked_by_the_name_that_logs_give_it() {
    let node = Node::start();
    let mut clients = ["ann", "bob"].map(|name| Client::login(&node, 101, name));
    let mut trace = Trace::begin(&node, &[("userID", "bob")]);
    let conn = trace.line("begin")["conn"].as_str().expect("a name").to_owned();
    let data = node.post_data("/admin/kick", &[("conn", &conn)]);
    assert_eq!(data, json!({"orders": 1, "refused": 0}));
    expect_kick(&mut clients[1], "closed by an operator");
    assert_eq!(trace.line("out")["kind"], "close");
    assert_eq!(trace.line("close")["cause"], "kicked");
    // The slot may be somebody else's by now.
    let again = Client::login(&node, 101, "carl");
    node.post_data("/admin/kick", &[("conn", &conn)]);
    let mut again = again;
    again.expect_silence();
    assert_eq!(kicked(&node), 1.0);
}

#[test]
fn an_order_says_exactly_whom_it_means() {
    let node = Node::start();
    for fields in [
        &[][..],
        &[("reason", "x")],
        &[("userID", "")],
        &[("userID", "ann"), ("address", "127.0.0.1")],
        &[("conn", "0.1.2"), ("appID", "101")],
        &[("conn", "0.1")],
        &[("address", "localhost")],
        &[("address", "10.0.0.0/33")],
        &[("appID", "-1")],
        &[("appID", "101"), ("reason", &"x".repeat(124))],
    ] {
        let (status, text) = node.post("/admin/kick", fields);
        assert_eq!(status, 400, "{fields:?}: {text}");
    }
}
