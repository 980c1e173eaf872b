//! `send`: messages from client to client over their WebSockets.

use crate::support::{Client, Node};
use crate::tokens::{login, node, token, token_for};
use millgate::config::Config;
use serde_json::{Value, json};

/// Nobody is told who comes and goes.
fn quiet(config: &mut Config) {
    config.announce.exact_up_to = 0;
    config.announce.digests_per_second = 0;
}

fn enter(node: &Node, user: &str) -> Client {
    let mut client = Client::connect(node);
    assert_eq!(login(&mut client, user, &token(user)), 200);
    client
}

fn send(client: &mut Client, data: Value) -> Value {
    client.request_reply("send", data)["response"].clone()
}

fn push(msg: &str, from: &str, target: &str) -> Value {
    json!({"target": target, "type": "text", "msg": msg, "from": from})
}

#[test]
fn two_clients_talk() {
    let node = node(quiet);
    let (mut ann, mut bob) = (enter(&node, "ann"), enter(&node, "bob"));
    let sent = json!({"code": 200, "codeMsg": "Success", "data": {"sendResults": true}});
    assert_eq!(send(&mut ann, json!({"message": "hello all"})), sent);
    assert_eq!(bob.recv_push("msg"), push("hello all", "ann", ""));
    assert_eq!(send(&mut bob, json!({"userID": "ann", "message": "just you"})), sent);
    assert_eq!(ann.recv_push("msg"), push("just you", "bob", "ann"));
    ann.expect_silence();
    bob.expect_silence();
    let nobody = send(&mut ann, json!({"userID": "cat", "message": "?"}));
    assert_eq!((&nobody["code"], &nobody["data"]), (&json!(200), &json!({"sendResults": false})));
    assert_eq!(node.metric("millgate_client_sends_total"), 3.0);
}

#[test]
fn nobody_writes_under_another_name_or_into_another_room() {
    let node = node(quiet);
    let mut ann = enter(&node, "ann");
    let mut cat = Client::connect(&node);
    let data = json!({"userID": "cat", "appID": 102, "serviceToken": token_for("cat", &[102], 60)});
    assert_eq!(cat.request_reply("login", data)["response"]["code"], 200);
    let other = send(&mut ann, json!({"appID": 102, "userID": "cat", "message": "hi"}));
    assert_eq!(other["code"], 1003);
    // A `from` is no field of it; the room is one's own.
    let sent = send(&mut ann, json!({"userID": "cat", "from": "bob", "message": "hi"}));
    assert_eq!(sent["data"], json!({"sendResults": false}));
    cat.expect_silence();
    let mut stranger = Client::connect(&node);
    assert_eq!(send(&mut stranger, json!({"message": "hi"}))["code"], 1000);
}

#[test]
fn messages_of_one_sender_keep_their_order() {
    let node = node(quiet);
    let (mut ann, mut bob) = (enter(&node, "ann"), enter(&node, "bob"));
    for number in 0..200 {
        let message = json!({"seq": number.to_string(), "cmd": "send", "data": {"userID": "bob", "message": number.to_string()}});
        ann.send_text(&message.to_string());
    }
    for number in 0..200 {
        assert_eq!(bob.recv_push("msg")["msg"], number.to_string());
        assert_eq!(ann.recv_json()["seq"], number.to_string());
    }
}

#[test]
fn what_is_too_large_is_said() {
    let node = node(|config| {
        quiet(config);
        config.limits.outbox_bytes = 4_096;
        config.limits.http_body_bytes = 4_096;
    });
    let (mut ann, mut bob) = (enter(&node, "ann"), enter(&node, "bob"));
    let sent = send(&mut ann, json!({"userID": "bob", "message": "x".repeat(5_000)}));
    assert_eq!(sent["data"]["sendResultsErr"], "the message is larger than limits.http_body_bytes");
    bob.expect_silence();
}

/// Without tokens it has to be asked for, and then anybody is who he says he is.
#[test]
fn without_tokens_it_is_off_unless_asked_for() {
    let node = Node::start();
    let mut ann = Client::login(&node, 101, "ann");
    assert_eq!(send(&mut ann, json!({"message": "hi"}))["code"], 1010);
    let node = Node::with(|config| config.auth.send_without_token = true);
    let mut ann = Client::login(&node, 101, "ann");
    let mut bob = Client::login(&node, 101, "bob");
    ann.recv_push("enter");
    assert_eq!(send(&mut bob, json!({"message": "hi"}))["code"], 200);
    assert_eq!(ann.recv_push("msg"), push("hi", "bob", ""));
}

/// More than may wait: some are told to try again, and none is lost in silence.
#[test]
fn every_message_has_its_reply() {
    let node = node(quiet);
    let mut ann = enter(&node, "ann");
    let frame = |number: u32| {
        let message = json!({"seq": number.to_string(), "cmd": "send", "data": {"userID": "nobody", "message": "x"}});
        crate::support::client_frame(0x81, message.to_string().as_bytes())
    };
    let frames: Vec<u8> = (0..2_000).flat_map(frame).collect();
    ann.send_raw(&frames);
    let mut answered = vec![false; 2_000];
    for _ in 0..2_000 {
        let reply = ann.recv_json();
        let number: usize = reply["seq"].as_str().expect("text").parse().expect("a number");
        let code = reply["response"]["code"].as_u64().expect("a code");
        assert!(matches!(code, 200 | 1004), "{reply}");
        assert!(!std::mem::replace(&mut answered[number], true), "{number} twice");
    }
}
