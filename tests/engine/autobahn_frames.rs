//! The case list of the Autobahn test suite at the level of the engine, parts
//! 1 to 5 and 7: framing, pings, reserved bits and opcodes, fragments, closes.
//! Each case runs whole, byte by byte and cut at every point (`run`).

use crate::client::{
    BINARY, CLOSE, CONTINUATION, Event, FIN, LIMIT, PING, PONG, TEXT, frame, ping, receive, run,
    text,
};

const PROTOCOL: Event = Event::Violated(1002);

fn pong(payload: &[u8]) -> Event {
    Event::Pong(payload.to_vec())
}

/// What comes of these frames, each a first byte and a payload.
fn play(frames: &[(u8, &[u8])]) -> Vec<Event> {
    run(&frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect::<Vec<u8>>())
}

#[test]
fn case_1_messages_of_every_header_size() {
    for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let content = "*".repeat(length);
        assert_eq!(play(&[(FIN | TEXT, content.as_bytes())]), [text(&content)], "1.1, {length}");
        let content = vec![0xfe; length];
        assert_eq!(play(&[(FIN | BINARY, &content)]), [Event::Binary(content.clone())], "1.2");
    }
}

#[test]
fn case_1_8_a_long_message_in_chops_of_997() {
    for (opcode, event) in
        [(TEXT, text(&"*".repeat(65_536))), (BINARY, Event::Binary(vec![b'*'; 65_536]))]
    {
        let wire = frame(FIN | opcode, &[b'*'; 65_536]);
        assert_eq!(receive(wire.chunks(997), LIMIT), (vec![event], true));
    }
}

#[test]
fn case_2_pings_and_pongs() {
    let long: &[u8] = &[0xfe; 125];
    let binary: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
    for payload in [&b""[..], b"Hello, world!", binary, long] {
        assert_eq!(play(&[(FIN | PING, payload)]), [ping(payload)], "2.1 to 2.4, 2.6");
        assert_eq!(play(&[(FIN | PONG, payload)]), [pong(payload)], "2.7, 2.8");
    }
    assert_eq!(play(&[(FIN | PING, &[0xfe; 126])]), [PROTOCOL], "2.5");
    let unsolicited = play(&[(FIN | PONG, b"unsolicited"), (FIN | PING, b"ping")]);
    assert_eq!(unsolicited, [pong(b"unsolicited"), ping(b"ping")], "2.9");
    let payloads: Vec<Vec<u8>> = (0..10).map(|i| format!("payload-{i}").into_bytes()).collect();
    let frames: Vec<_> = payloads.iter().map(|payload| (FIN | PING, &payload[..])).collect();
    let expected: Vec<_> = payloads.iter().map(|payload| ping(payload)).collect();
    assert_eq!(play(&frames), expected, "2.10, 2.11");
}

#[test]
fn case_3_reserved_bits() {
    for reserved in 1..=7 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let events = play(&[
                (FIN | TEXT, b"before"),
                (FIN | reserved << 4 | opcode, b""),
                (FIN | PING, b"never seen"),
            ]);
            assert_eq!(events, [text("before"), PROTOCOL], "bits {reserved}, opcode {opcode}");
        }
    }
}

#[test]
fn case_4_reserved_opcodes() {
    for opcode in (3..=7).chain(11..=15) {
        for payload in [&b""[..], b"reserved opcode payload"] {
            let events = play(&[
                (FIN | TEXT, b"before"),
                (FIN | opcode, payload),
                (FIN | PING, b"never seen"),
            ]);
            assert_eq!(events, [text("before"), PROTOCOL], "opcode {opcode}");
        }
    }
}

#[test]
fn case_5_what_fragments_may_not_do() {
    type Case<'a> = (&'a str, &'a [(u8, &'a [u8])], &'a [Event]);
    let cases: [Case<'_>; 9] = [
        ("5.1", &[(PING, b"frag"), (FIN | CONTINUATION, b"ment")], &[PROTOCOL]),
        ("5.2", &[(PONG, b"frag"), (FIN | CONTINUATION, b"ment")], &[PROTOCOL]),
        ("fragmented close", &[(CLOSE, b"\x03\xe8")], &[PROTOCOL]),
        ("5.9", &[(FIN | CONTINUATION, b"stray"), (FIN | TEXT, b"x")], &[PROTOCOL]),
        ("5.11", &[(CONTINUATION, b"stray"), (FIN | TEXT, b"x")], &[PROTOCOL]),
        ("empty stray", &[(FIN | CONTINUATION, b"")], &[PROTOCOL]),
        ("5.18", &[(TEXT, b"first"), (FIN | TEXT, b"second")], &[PROTOCOL]),
        ("binary in text", &[(TEXT, b"first"), (BINARY, b"second")], &[PROTOCOL]),
        ("text in empty", &[(TEXT, b""), (FIN | TEXT, b"")], &[PROTOCOL]),
    ];
    for (name, frames, expected) in cases {
        assert_eq!(play(frames), expected, "{name}");
    }
    let closed_badly = play(&[(TEXT, b"half"), (FIN | CLOSE, b"\x03\xec")]);
    assert_eq!(closed_badly, [PROTOCOL], "an illegal close inside a message");
    // 5.12 to 5.14: the message before is whole, the continuation behind it is stray.
    for stray in [CONTINUATION, FIN | CONTINUATION] {
        let events = play(&[(TEXT, b"a"), (FIN | CONTINUATION, b"b"), (stray, b"c")]);
        assert_eq!(events, [text("ab"), PROTOCOL], "5.15 and its kin");
    }
}

#[test]
fn case_5_what_fragments_may_do() {
    let two = play(&[(TEXT, b"frag"), (FIN | CONTINUATION, b"ment")]);
    assert_eq!(two, [text("fragment")], "5.3 to 5.5");
    let with_ping =
        play(&[(TEXT, b"frag"), (FIN | PING, b"ping payload"), (FIN | CONTINUATION, b"ment")]);
    assert_eq!(with_ping, [ping(b"ping payload"), text("fragment")], "5.6 to 5.8");
    let many = play(&[
        (TEXT, b"fragment1"),
        (CONTINUATION, b"fragment2"),
        (FIN | PING, b"one"),
        (CONTINUATION, b"fragment3"),
        (CONTINUATION, b"fragment4"),
        (FIN | PING, b"two"),
        (FIN | CONTINUATION, b"fragment5"),
    ]);
    let whole = text("fragment1fragment2fragment3fragment4fragment5");
    assert_eq!(many, [ping(b"one"), ping(b"two"), whole], "5.19, 5.20");
    let empty = play(&[(BINARY, b""), (CONTINUATION, b""), (FIN | CONTINUATION, b"")]);
    assert_eq!(empty, [Event::Binary(Vec::new())], "empty fragments");
    let closed = play(&[(TEXT, b"half"), (FIN | CLOSE, b"\x03\xe8")]);
    assert_eq!(closed, [Event::Close(Some((1000, String::new())))], "a close may cut a message");
}

#[test]
fn case_5_a_long_message_in_fragments() {
    let content = vec![7; 65_536];
    for size in [1_000, 16_384, 65_535] {
        let mut wire = Vec::new();
        for (i, part) in content.chunks(size).enumerate() {
            wire.extend(frame(if i == 0 { BINARY } else { CONTINUATION }, part));
        }
        wire.extend(frame(FIN | CONTINUATION, b""));
        assert_eq!(run(&wire), [Event::Binary(content.clone())]);
    }
}

#[test]
fn case_7_closes() {
    let close = |payload: &[u8]| play(&[(FIN | CLOSE, payload)]);
    let plain = |code: u16, reason: &str| [Event::Close(Some((code, reason.to_owned())))];
    assert_eq!(close(b""), [Event::Close(None)], "7.3.1");
    assert_eq!(close(b"a"), [PROTOCOL], "7.3.2");
    assert_eq!(close(b"\x03\xe8"), plain(1000, ""), "7.3.3");
    assert_eq!(close(b"\x03\xe8Hello World!"), plain(1000, "Hello World!"), "7.3.4");
    let longest = [b"\x03\xe8".to_vec(), vec![b'*'; 123]].concat();
    assert_eq!(close(&longest), plain(1000, &"*".repeat(123)), "7.3.5");
    assert_eq!(close(&[&longest[..], b"*"].concat()), [PROTOCOL], "7.3.6");
    let invalid = b"\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65";
    assert_eq!(close(invalid), [Event::Violated(1007)], "7.5.1");
}

#[test]
fn case_7_every_close_code() {
    let registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    for code in 0..=u16::MAX {
        let valid = registered.contains(&code) || (3000..5000).contains(&code);
        let wire = frame(FIN | CLOSE, &code.to_be_bytes());
        let expected = match valid {
            true => Event::Close(Some((code, String::new()))), // 7.7, 7.13
            false => PROTOCOL,                                 // 7.9
        };
        for size in [wire.len(), 3] {
            assert_eq!(receive(wire.chunks(size), LIMIT).0, vec![expected.clone()], "{code}");
        }
    }
}

#[test]
fn frames_without_a_mask_and_wasteful_lengths() {
    assert_eq!(run(&[FIN | TEXT, 1, b'a']), [PROTOCOL]);
    assert_eq!(run(&[FIN | PING, 0]), [PROTOCOL]);
    assert_eq!(run(&[FIN | TEXT, 0xfe, 0, 5, 0, 0, 0, 0]), [PROTOCOL]);
    assert_eq!(run(&[FIN | TEXT, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]), [PROTOCOL]);
    assert_eq!(run(&[FIN | TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), [PROTOCOL]);
}
