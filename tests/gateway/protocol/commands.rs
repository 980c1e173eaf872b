//! Commands over a socket. All shapes of requests are tried in the tests of
//! the command room; here is what the wire adds.

use crate::support::{Client, Message, Node};
use serde_json::{Value, json};

const BARE: &str = "数据不合法";

/// Sends `request` as text and as binary; both are answered with one text frame.
fn reply_to(client: &mut Client, request: &str) -> Value {
    client.send_text(request);
    let reply = client.recv_json();
    client.send_frame(0x82, request.as_bytes());
    assert_eq!(client.recv_json(), reply, "{request} as binary");
    client.expect_silence();
    reply
}

fn reply(seq: &str, cmd: &str, code: u32, text: &str, data: &Value) -> Value {
    json!({"seq": seq, "cmd": cmd, "response": {"code": code, "codeMsg": text, "data": data}})
}

#[test]
fn every_code_has_its_number_and_text() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    let none = Value::Null;
    for (request, expected) in [
        (
            r#"{"seq":"1","cmd":"heartbeat","data":{}}"#,
            reply("1", "heartbeat", 1000, "未登录", &none),
        ),
        (r#"{"seq":"2","cmd":"login","data":[]}"#, reply("2", "login", 1001, "参数不合法", &none)),
        (
            r#"{"seq":"3","cmd":"login","data":{"userID":"12345678901234567890","appID":101}}"#,
            reply("3", "login", 1002, "非法的用户ID", &none),
        ),
        (
            r#"{"seq":"4","cmd":"login","data":{"userID":"ua","appID":105}}"#,
            reply("4", "login", 1003, "未授权", &none),
        ),
        (r#"{"seq":"5","cmd":"none"}"#, reply("5", "none", 1010, "路由不存在", &none)),
        ("{}", reply("", "", 1010, "路由不存在", &none)),
        ("null", reply("", "", 1010, "路由不存在", &none)),
        (r#"{"SEQ":"6","Cmd":"ping"}"#, reply("6", "ping", 200, "Success", &json!("pong"))),
    ] {
        assert_eq!(reply_to(&mut client, request), expected);
    }
    let login = json!({"userID": "1234567890123456789", "appID": 101.0});
    assert_eq!(
        client.request_reply("login", login.clone()),
        reply("s-1", "login", 200, "Success", &none)
    );
    assert_eq!(
        reply_to(&mut client, r#"{"seq":"7","cmd":"heartbeat"}"#),
        reply("7", "heartbeat", 200, "Success", &none)
    );
    assert_eq!(
        client.request_reply("login", login),
        reply("s-1", "login", 1009, "操作失败", &none)
    );
    assert_eq!(
        reply_to(&mut client, r#"{"seq":"8","cmd":"heartbeat","data":{"userID":8}}"#),
        reply("8", "heartbeat", 1001, "参数不合法", &none)
    );
}

#[test]
fn what_is_no_request_gets_bare_text_and_the_connection_stays() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    for message in ["", "hello", "[]", "{} {}", r#"{"seq":true,"cmd":"ping"}"#] {
        for first in [0x81, 0x82] {
            client.send_frame(first, message.as_bytes());
            assert_eq!(client.recv(), Message::Text(BARE.into()), "{message}");
        }
    }
    client.send_frame(0x82, b"\xff\xfe");
    assert_eq!(client.recv(), Message::Text(BARE.into()));
    assert_eq!(client.request_reply("ping", json!(null))["response"]["data"], "pong");
}

/// A binary message is not checked to be UTF-8; Go's JSON puts U+FFFD in.
#[test]
fn a_binary_request_may_have_bad_bytes_in_a_string() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    client.send_frame(0x82, b"{\"seq\":\"a\xffb\",\"cmd\":\"ping\"}");
    assert_eq!(client.recv_json()["seq"], "a\u{fffd}b");
}

#[test]
fn replies_are_one_frame_whatever_their_size() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    for length in [0, 40, 41, 60, 125, 126, 1_000, 65_000] {
        let seq = "s".repeat(length);
        client.send_text(&json!({"seq": seq, "cmd": "ping"}).to_string());
        // The client fails on a frame that is not final.
        assert_eq!(client.recv_json()["seq"], seq);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    let mut bytes = Vec::new();
    for n in 0..2_000 {
        let request = json!({"seq": n.to_string(), "cmd": "ping"}).to_string();
        bytes.extend(crate::support::client_frame(0x81, request.as_bytes()));
    }
    for piece_bytes in [usize::MAX, 1_009] {
        client.send_in_pieces(&bytes, piece_bytes);
        for n in 0..2_000 {
            assert_eq!(client.recv_json()["seq"], n.to_string());
        }
    }
    client.expect_silence();
}

#[test]
fn limits_come_from_the_configuration() {
    let node = Node::with(|config| {
        config.apps.ids = vec![9, 7];
        config.limits.user_id_bytes = 3;
    });
    for (app, user, code) in [(7, "abc", 200), (9, "abc", 200), (7, "abcd", 1002), (101, "a", 1003)]
    {
        let mut client = Client::connect(&node);
        let reply = client.request_reply("login", json!({"userID": user, "appID": app}));
        assert_eq!(reply["response"]["code"], code, "{app} {user}");
    }
}
