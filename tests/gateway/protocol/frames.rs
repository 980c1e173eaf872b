//! RFC 6455 on the path of the commands: what is answered, and what is not forgiven.

use crate::support::{Client, Message, Node, client_frame};
use serde_json::json;

fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    client_frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

#[test]
fn a_ping_comes_back_with_its_payload() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    for length in [0, 1, 124, 125] {
        let payload: Vec<u8> = (0..length).map(|n| (n * 7) as u8).collect();
        client.send_frame(0x89, &payload);
        assert_eq!(client.recv(), Message::Pong(payload));
    }
    client.send_frame(0x8A, b"unasked");
    client.expect_silence();
}

#[test]
fn a_close_comes_back_with_its_code() {
    let node = Node::start();
    let legal = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    for code in legal.into_iter().chain([3000, 3008, 3999, 4000, 4999]) {
        for reason in [&b""[..], b"bye", "再见".as_bytes(), &[b'r'; 123]] {
            let mut client = Client::connect(&node);
            client.send_raw(&close_frame(code, reason));
            client.expect_close(code);
        }
    }
    let mut client = Client::connect(&node);
    client.send_frame(0x88, b"");
    assert_eq!(client.recv(), Message::Close(None));
    client.expect_end();
}

#[test]
fn nothing_is_answered_after_a_close() {
    let node = Node::start();
    for after in [client_frame(0x89, b"ping"), client_frame(0x81, b"{}"), close_frame(1001, b"")] {
        let mut client = Client::connect(&node);
        client.send_raw(&[client_frame(0x81, b"{}"), close_frame(1000, b""), after].concat());
        assert_eq!(client.recv_json()["response"]["code"], 1010);
        client.expect_close(1000);
    }
}

/// Each of these ends the connection, and only that one.
#[test]
fn violations_are_closed_with_their_code() {
    let node = Node::with(|config| config.limits.message_bytes = 1_000);
    let mut bystander = Client::connect(&node);
    let long = [b'a'; 1_001];
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", vec![0x81, 0x02, b'{', b'}'], 1002),
        ("an unmasked ping", vec![0x89, 0x00], 1002),
        ("an unmasked close", vec![0x88, 0x02, 0x03, 0xE8], 1002),
        ("RSV1", client_frame(0xC1, b"{}"), 1002),
        ("RSV2", client_frame(0xA1, b"{}"), 1002),
        ("RSV3", client_frame(0x91, b"{}"), 1002),
        ("RSV1 in a ping", client_frame(0xC9, b""), 1002),
        ("opcode 3", client_frame(0x83, b""), 1002),
        ("opcode 7", client_frame(0x87, b""), 1002),
        ("opcode 11", client_frame(0x8B, b""), 1002),
        ("opcode 15", client_frame(0x8F, b""), 1002),
        ("a ping of 126", client_frame(0x89, &[0; 126]), 1002),
        ("a pong of 126", client_frame(0x8A, &[0; 126]), 1002),
        ("a close of 126", close_frame(1000, &[b'r'; 124]), 1002),
        ("a ping in parts", client_frame(0x09, b"a"), 1002),
        ("a close in parts", client_frame(0x08, b""), 1002),
        ("a stray continuation", client_frame(0x80, b"{}"), 1002),
        ("a stray continuation that goes on", client_frame(0x00, b"{}"), 1002),
        ("text inside text", [client_frame(0x01, b"{"), client_frame(0x81, b"}")].concat(), 1002),
        ("binary inside text", [client_frame(0x01, b"{"), client_frame(0x02, b"}")].concat(), 1002),
        ("16 bits for a short length", vec![0x81, 0xFE, 0, 125, 1, 2, 3, 4], 1002),
        ("64 bits for a short length", vec![0x81, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255], 1002),
        ("a length of 64 bits", vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002),
        ("a close of one byte", client_frame(0x88, b"\x03"), 1002),
        ("a reason of bad UTF-8", close_frame(1000, b"\xff"), 1007),
        ("text of bad UTF-8", client_frame(0x81, b"{\xff"), 1007),
        ("text cut short", client_frame(0x81, b"\xe8\xb7"), 1007),
        (
            "text bad across its parts",
            [client_frame(0x01, b"\xe8"), client_frame(0x80, b"(")].concat(),
            1007,
        ),
        ("one byte too many", client_frame(0x82, &long), 1009),
        (
            "one byte too many in parts",
            [client_frame(0x02, &long[..1_000]), client_frame(0x80, b"a")].concat(),
            1009,
        ),
        ("announced only", [&[0x82, 0xFF, 0x7F][..], &[0xFF; 11]].concat(), 1009),
    ];
    for (what, bytes, code) in &cases {
        for piece_bytes in [usize::MAX, 1] {
            let mut client = Client::connect(&node);
            client.send_raw(&client_frame(0x81, b"{\"cmd\":\"ping\"}"));
            client.send_in_pieces(bytes, piece_bytes.min(bytes.len()));
            assert_eq!(client.recv_json()["response"]["data"], "pong", "{what}");
            match client.recv() {
                Message::Close(Some((received, _))) => assert_eq!(received, *code, "{what}"),
                other => panic!("{what}: {other:?}"),
            }
            // The server has ended its side, and waits for ours.
            client.expect_end();
        }
    }
    bystander.expect_silence();
}

#[test]
fn bad_close_codes() {
    let node = Node::start();
    let bad = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    for code in bad {
        let mut client = Client::connect(&node);
        client.send_raw(&close_frame(code, b""));
        client.expect_close(1002);
    }
}

#[test]
fn the_message_limit_is_exact() {
    let node = Node::with(|config| config.limits.message_bytes = 1_000);
    let filler = "x".repeat(1_000 - r#"{"cmd":"ping","data":""}"#.len());
    let message = json!({"cmd": "ping", "data": filler}).to_string();
    assert_eq!(message.len(), 1_000);
    let mut client = Client::connect(&node);
    client.send_text(&message);
    assert_eq!(client.recv_json()["response"]["data"], "pong");
    // A control frame in between does not count, nor do empty parts.
    let (left, right) = message.as_bytes().split_at(600);
    for bytes in [
        client_frame(0x01, left),
        client_frame(0x89, &[7; 125]),
        client_frame(0x00, b""),
        client_frame(0x80, right),
    ] {
        client.send_raw(&bytes);
    }
    assert_eq!(client.recv(), Message::Pong(vec![7; 125]));
    assert_eq!(client.recv_json()["response"]["data"], "pong");
}
