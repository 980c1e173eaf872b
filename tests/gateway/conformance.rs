//! The cases of the Autobahn test suite, groups 1 to 7, 9 and 10, as bytes of
//! our own against the echo endpoint. The numbers in the names are the suite's.

mod framing;
mod performance;
mod utf8;

use crate::support::{Client, Message, Node, client_frame};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
/// First parts of messages, and what follows them.
const TEXT_BEGINS: u8 = 0x01;
const BINARY_BEGINS: u8 = 0x02;
const CONTINUES: u8 = 0x00;
const ENDS: u8 = 0x80;

fn node() -> Node {
    Node::with(|config| config.limits.message_bytes = 16 << 20)
}

fn echo_client(node: &Node) -> Client {
    Client::connect_to(node.websocket(), "/echo")
}

fn text(text: &str) -> Message {
    Message::Text(text.into())
}

/// How a case ends.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The connection is as good as new: it still closes in good order.
    Open,
    /// The server closes with this code.
    Closed(u16),
}

/// Frames to send, each with its first byte; what comes back; and the end.
type Case<'c> = (&'c str, Vec<(u8, &'c [u8])>, Vec<Message>, Then);

/// Runs each case as one write, frame by frame, and octet by octet.
fn run(cases: &[Case<'_>]) {
    let node = node();
    for (name, frames, expected, then) in cases {
        let frames: Vec<Vec<u8>> =
            frames.iter().map(|(first, payload)| client_frame(*first, payload)).collect();
        let bytes = frames.concat();
        let octets: Vec<&[u8]> = bytes.chunks(1).collect();
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        for (way, pieces) in
            [("at once", &vec![bytes.as_slice()]), ("by frames", &frames), ("by octets", &octets)]
        {
            let mut client = echo_client(&node);
            let sent = pieces.iter().all(|piece| client.try_send_raw(piece));
            // Whoever sends after its own close finds nobody there.
            assert!(sent || frames.iter().any(|frame| frame[0] == CLOSE), "{name}, {way}");
            for message in expected {
                assert_eq!(client.recv(), *message, "{name}, {way}");
            }
            expect_then(client, *then, &format!("{name}, {way}"));
        }
    }
}

fn expect_then(mut client: Client, then: Then, what: &str) {
    let code = match then {
        Then::Open => {
            client.send_frame(CLOSE, &1000_u16.to_be_bytes());
            1000
        }
        Then::Closed(code) => code,
    };
    match client.recv() {
        Message::Close(Some((received, _))) => assert_eq!(received, code, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    assert_eq!(client.recv(), Message::End, "{what}");
}
