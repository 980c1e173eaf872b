//! However a stream is cut, the same comes out, and it is what the twin says.

use crate::client::{
    BINARY, CLOSE, CONTINUATION, Connection, Event, FIN, LIMIT, PING, PONG, TEXT, frame, masked,
    receive,
};
use crate::twin::{self, Utf8, utf8};
use millgate::websocket::message::{Incoming, Messages, Rules};
use proptest::prelude::*;

/// Opcode and payload of a frame.
type Plain = (u8, Vec<u8>);

/// A message as its sender means it: parts, each with the control frames that follow it.
#[derive(Clone, Debug)]
struct Message {
    text: bool,
    parts: Vec<(Vec<u8>, Vec<Plain>)>,
}

impl Message {
    fn frames(&self) -> Vec<Plain> {
        let last = self.parts.len() - 1;
        let mut frames = Vec::new();
        for (i, (part, controls)) in self.parts.iter().enumerate() {
            let opcode = match (i, self.text) {
                (0, true) => TEXT,
                (0, false) => BINARY,
                _ => CONTINUATION,
            };
            let fin = if i == last { FIN } else { 0 };
            frames.push((fin | opcode, part.clone()));
            frames.extend(controls.iter().map(|(opcode, bytes)| (FIN | opcode, bytes.clone())));
        }
        frames
    }

    fn events(&self) -> Vec<Event> {
        let controls = |(opcode, bytes): &Plain| match *opcode {
            PING => Event::Ping(bytes.clone()),
            _ => Event::Pong(bytes.clone()),
        };
        let (last, before) = self.parts.split_last().unwrap();
        let whole: Vec<u8> = self.parts.iter().flat_map(|(part, _)| part.clone()).collect();
        let mut events: Vec<_> = before.iter().flat_map(|(_, c)| c.iter().map(controls)).collect();
        events.push(match self.text {
            true => Event::Text(String::from_utf8(whole).unwrap()),
            false => Event::Binary(whole),
        });
        events.extend(last.1.iter().map(controls));
        events
    }
}

fn controls() -> impl Strategy<Value = Vec<Plain>> {
    let payload = prop::collection::vec(any::<u8>(), 0..=125);
    prop::collection::vec((prop_oneof![Just(PING), Just(PONG)], payload), 0..3)
}

fn message() -> impl Strategy<Value = Message> {
    let content = prop_oneof![
        ".{0,60}".prop_map(|text| (true, text.into_bytes())),
        "[a-zß\u{800}-\u{900}\u{1f600}-\u{1f64f}]{0,300}"
            .prop_map(|text| (true, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| (false, bytes)),
    ];
    (content, prop::collection::vec((any::<prop::sample::Index>(), controls()), 0..5), controls())
        .prop_map(|((text, bytes), cuts, after)| {
            // Cuts fall anywhere, also inside characters and on each other.
            let mut cuts: Vec<_> = cuts
                .into_iter()
                .map(|(at, controls)| (at.index(bytes.len() + 1), controls))
                .collect();
            cuts.sort_by_key(|(at, _)| *at);
            let mut from = 0;
            let mut parts = Vec::new();
            for (to, controls) in cuts {
                parts.push((bytes[from..to].to_vec(), controls));
                from = to;
            }
            parts.push((bytes[from..].to_vec(), after));
            Message { text, parts }
        })
}

/// Frames that need not make sense: any first byte, any length form, any content.
fn wild_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x01, 0x81, 0x82, 0x00, 0x80, 0x88, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..140),
        "\\PC{0,30}".prop_map(String::into_bytes),
        prop::sample::select(vec![1000_u16, 1004, 1006, 1014, 1015, 2999, 3000, 4999, 5000])
            .prop_map(|code| code.to_be_bytes().to_vec()),
    ];
    let length = prop_oneof![20 => Just(None), 1 => any::<[u8; 10]>().prop_map(Some)];
    (first, payload, any::<[u8; 4]>(), length).prop_map(|(first, payload, key, length)| {
        let mut wire = masked(first, &payload, key);
        if let Some([form, junk @ ..]) = length {
            wire.splice(1..2, [0x80 | (form | 0x7e)].into_iter().chain(junk));
        }
        wire
    })
}

/// The stream in pieces that end where `cuts` say.
fn cut<'w>(wire: &'w [u8], cuts: &[prop::sample::Index]) -> Vec<&'w [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
    ends.push(wire.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter().map(|to| &wire[std::mem::replace(&mut from, to)..to]).collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn messages_arrive_as_they_were_meant(
        messages in prop::collection::vec(message(), 0..4),
        keys in prop::collection::vec(any::<[u8; 4]>(), 1..6),
        cuts in cuts(),
    ) {
        let frames = messages.iter().flat_map(Message::frames);
        let wire: Vec<u8> = frames
            .zip(keys.iter().cycle())
            .flat_map(|((first, payload), key)| masked(first, &payload, *key))
            .collect();
        let expected: Vec<Event> = messages.iter().flat_map(Message::events).collect();
        prop_assert_eq!(twin::decode(&wire, LIMIT), (expected.clone(), true));
        prop_assert_eq!(receive([&wire[..]], LIMIT), (expected.clone(), true));
        prop_assert_eq!(receive(wire.chunks(1), LIMIT), (expected.clone(), true));
        prop_assert_eq!(receive(cut(&wire, &cuts), LIMIT), (expected, true));
    }

    #[test]
    fn a_spoilt_stream_is_judged_as_the_twin_judges_it(
        messages in prop::collection::vec(message(), 1..3),
        at in any::<prop::sample::Index>(),
        with in 1..=u8::MAX,
        limit in 0..600_usize,
        cuts in cuts(),
    ) {
        let frames = messages.iter().flat_map(Message::frames);
        let mut wire: Vec<u8> = frames.flat_map(|(first, payload)| frame(first, &payload)).collect();
        let at = at.index(wire.len());
        wire[at] ^= with;
        let expected = twin::decode(&wire, limit);
        prop_assert_eq!(&receive([&wire[..]], limit), &expected);
        prop_assert_eq!(&receive(wire.chunks(1), limit), &expected);
        prop_assert_eq!(&receive(cut(&wire, &cuts), limit), &expected);
    }

    #[test]
    fn wild_frames_are_judged_as_the_twin_judges_them(
        frames in prop::collection::vec(wild_frame(), 0..6),
        end in any::<prop::sample::Index>(),
        cuts in cuts(),
    ) {
        let mut wire = frames.concat();
        wire.truncate(end.index(2 * wire.len() + 1)); // mostly whole, sometimes cut short
        let expected = twin::decode(&wire, 300);
        prop_assert_eq!(&receive([&wire[..]], 300), &expected);
        prop_assert_eq!(&receive(wire.chunks(1), 300), &expected);
        prop_assert_eq!(&receive(cut(&wire, &cuts), 300), &expected);
    }

    #[test]
    fn text_is_accepted_where_std_accepts_it(
        bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(b"\xc3\xe2\xed\xf0\xf4\x80\x9f\xa0\xbf".to_vec())],
            0..12,
        ),
    ) {
        let expected = match std::str::from_utf8(&bytes) {
            Ok(text) => Event::Text(text.to_owned()),
            Err(_) => Event::Violated(1007),
        };
        let wire = frame(FIN | TEXT, &bytes);
        prop_assert_eq!(receive([&wire[..]], LIMIT).0, [expected.clone()]);
        prop_assert_eq!(receive(wire.chunks(1), LIMIT).0, [expected]);
        prop_assert_eq!(utf8(&bytes) == Utf8::Whole, std::str::from_utf8(&bytes).is_ok());
    }
}

#[test]
fn every_split_point_of_a_busy_stream() {
    let wire = [
        frame(TEXT, "grü".as_bytes()),
        frame(FIN | PING, b"between"),
        frame(CONTINUATION, b"\xc3"),
        frame(FIN | PONG, b""),
        frame(FIN | CONTINUATION, b"\x9f gott"),
        frame(FIN | BINARY, &[0xee; 130]),
        frame(FIN | CLOSE, b"\x03\xe8bye"),
    ]
    .concat();
    let expected = receive([&wire[..]], LIMIT);
    assert_eq!(expected.0.len(), 5);
    assert_eq!(expected, twin::decode(&wire, LIMIT));
    for first in 0..=wire.len() {
        for second in first..=wire.len() {
            let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
            assert_eq!(receive(pieces, LIMIT), expected, "cut at {first} and {second}");
        }
    }
}

/// Whether the one message in the last of these pieces is handed out from the
/// very bytes that were received.
fn in_place(pieces: &[&[u8]]) -> bool {
    let mut assembly = None;
    let rules = Rules { message_bytes: LIMIT };
    for piece in pieces {
        let mut piece = piece.to_vec();
        let received = piece.as_ptr_range();
        let mut messages = Messages::new(assembly.take(), &mut piece, &rules);
        while let Some(incoming) = messages.next().unwrap() {
            match incoming {
                Incoming::Binary(bytes) => return received.contains(&bytes.as_ptr()),
                Incoming::Text(text) => return received.contains(&text.as_ptr()),
                _ => {}
            }
        }
        assembly = messages.into_assembly();
    }
    panic!("no message in {pieces:x?}");
}

#[test]
fn a_message_whose_payload_comes_at_once_is_never_copied() {
    for opcode in [TEXT, BINARY] {
        let wire = frame(FIN | opcode, &[b'a'; 300]);
        assert!(in_place(&[&wire]), "whole");
        for at in 1..=8 {
            let (header, rest) = wire.split_at(at);
            assert!(in_place(&[header, rest]), "header cut at {at}");
        }
        let (left, right) = wire.split_at(9);
        assert!(!in_place(&[left, right]), "one byte of the payload came earlier");
        let fragments = [frame(opcode, b"a"), frame(FIN | CONTINUATION, b"b")].concat();
        assert!(!in_place(&[&fragments]), "fragments lie apart");
    }
}

#[test]
fn nothing_is_allocated_for_a_length_that_is_only_claimed() {
    let mut connection = Connection::new(1 << 30);
    let mut wire = vec![FIN | BINARY, 0xff];
    wire.extend((1_u64 << 30).to_be_bytes());
    wire.extend([0; 4]);
    wire.extend([7; 1_000]);
    connection.receive(&wire);
    let held = connection.assembly.unwrap().held_bytes();
    assert!((1_000..1_200).contains(&held), "{held} bytes held for 1,000 received");
}

#[test]
fn a_message_is_too_big_when_its_header_says_so() {
    let claim = |first: u8, length: u16| {
        let [high, low] = length.to_be_bytes();
        [first, 0xfe, high, low, 0, 0, 0, 0]
    };
    assert_eq!(receive([&claim(FIN | TEXT, 1_000)[..]], 1_000), (vec![], false));
    assert_eq!(receive([&claim(FIN | TEXT, 1_001)[..]], 1_000).0, [Event::Violated(1009)]);
    let mut wire = frame(BINARY, &[0; 600]);
    wire.extend(claim(CONTINUATION, 400));
    assert_eq!(receive([&wire[..]], 1_000).0, []);
    let at = wire.len() - 5;
    wire[at] += 1;
    assert_eq!(receive([&wire[..]], 1_000).0, [Event::Violated(1009)]);
}

#[test]
fn control_frames_do_not_count_towards_the_limit() {
    let wire = [frame(TEXT, b"12"), frame(FIN | PING, &[0; 125]), frame(FIN | CONTINUATION, b"34")];
    let (events, clean) = receive([&wire.concat()[..]], 4);
    assert_eq!(events, [Event::Ping(vec![0; 125]), Event::Text("1234".into())]);
    assert!(clean);
}
