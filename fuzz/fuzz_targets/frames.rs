//! Any bytes, cut anywhere, come to the same messages as when they arrive
//! whole, and never hold more memory than the limit allows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millgate::websocket::message::{Assembly, Incoming, Messages, Rules, Violation};

const RULES: Rules = Rules {
    message_bytes: 1_000,
};

/// What the pieces come to, in a form that can be compared.
fn receive<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<String>, Option<Violation>, bool) {
    let mut assembly: Option<Box<Assembly>> = None;
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut messages = Messages::new(assembly.take(), &mut piece, &RULES);
        loop {
            match messages.next() {
                Ok(Some(incoming)) => {
                    check(&incoming);
                    events.push(format!("{incoming:?}"));
                }
                Ok(None) => break,
                Err(violation) => {
                    let is_idle = messages.into_assembly().is_none();
                    return (events, Some(violation), is_idle);
                }
            }
        }
        assembly = messages.into_assembly();
        let held = assembly
            .as_ref()
            .map_or(0, |assembly| assembly.held_bytes());
        assert!(held <= 512 + RULES.message_bytes);
    }
    (events, None, assembly.is_none())
}

fn check(incoming: &Incoming<'_>) {
    match incoming {
        Incoming::Text(text) => assert!(text.len() <= RULES.message_bytes),
        Incoming::Binary(bytes) => assert!(bytes.len() <= RULES.message_bytes),
        Incoming::Ping(bytes) | Incoming::Pong(bytes) => assert!(bytes.len() <= 125),
        Incoming::Close(None) => {}
        Incoming::Close(Some((code, reason))) => {
            assert!((1000..5000).contains(code) && reason.len() <= 123);
        }
    }
}

// The first byte says how long the pieces are, the others are the stream.
fuzz_target!(|data: &[u8]| {
    let Some((&size, wire)) = data.split_first() else {
        return;
    };
    let whole = receive(std::iter::once(wire));
    assert_eq!(whole, receive(wire.chunks(usize::from(size).max(1))));
    assert_eq!(whole, receive(wire.chunks(1)));
});
