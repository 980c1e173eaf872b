//! The case list of the Autobahn test suite at the level of the engine, part
//! 6: UTF-8, after the stress test of Markus Kuhn.

use crate::client::{
    BINARY, CONTINUATION, Event, FIN, LIMIT, TEXT, frame, ping, receive, run, text,
};

const INVALID: Event = Event::Violated(1007);

/// `payload` as one frame, as two fragments cut at every byte, and as
/// fragments of one byte each must come to `expected`.
fn in_every_shape(payload: &[u8], expected: &Event) {
    let expected = [expected.clone()];
    assert_eq!(run(&frame(FIN | TEXT, payload)), expected, "{payload:x?}");
    for at in 0..=payload.len() {
        let (left, right) = payload.split_at(at);
        let wire = [frame(TEXT, left), frame(FIN | CONTINUATION, right)].concat();
        assert_eq!(run(&wire), expected, "{payload:x?} cut at {at}");
    }
    let mut wire = frame(TEXT, b"");
    wire.extend(payload.iter().flat_map(|byte| frame(CONTINUATION, &[*byte])));
    wire.extend(frame(FIN | CONTINUATION, b""));
    assert_eq!(run(&wire), expected, "{payload:x?} in fragments of one byte");
}

#[test]
fn case_6_1_and_6_2_and_the_valid_ones() {
    let valid = [
        "",
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        // 6.6, 6.9, 6.11: first and last character of each length.
        "\0",
        "\u{80}",
        "\u{800}",
        "\u{10000}",
        "\u{7f}",
        "\u{7ff}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{fffd}",
        // 6.22: noncharacters are characters to UTF-8.
        "\u{fffe}",
        "\u{1fffe}\u{1ffff}",
        "\u{fdd0}",
        "\u{10fffe}",
        "\u{feff}mark",
    ];
    for sample in valid {
        in_every_shape(sample.as_bytes(), &text(sample));
    }
}

#[test]
fn case_6_3_to_6_21_the_invalid_ones() {
    let invalid: [&[u8]; 36] = [
        // 6.3: a surrogate in the middle.
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        // 6.6, 6.8: characters that lack their last bytes.
        b"\xc2",
        b"\xe0\xa0",
        b"\xf0\x90\x80",
        b"\xce\xba\xe1\xbd\xb9\xcf",
        b"\xdf",
        b"\xef\xbf",
        // 6.7, 6.9: five and six bytes, beyond U+10FFFF.
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xfb\xbf\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        // 6.12: continuation bytes alone.
        b"\x80",
        b"\xbf",
        b"\x80\xbf",
        b"\x80\xbf\x80\xbf\x80\xbf",
        b"a\x80",
        // 6.13, 6.14: starts alone, starts before a space.
        b"\xc0 \xc1 ",
        b"\xe0 ",
        b"\xf0 ",
        b"\xc2 ",
        b"\xe1\x80 ",
        b"\xf1\x80\x80 ",
        // 6.16: impossible bytes.
        b"\xfe",
        b"\xff",
        b"\xfe\xfe\xff\xff",
        // 6.17, 6.18: overlong.
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        // 6.20, 6.21: surrogates, single and paired.
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
    ];
    for sample in invalid {
        in_every_shape(sample, &INVALID);
        let wire = frame(FIN | BINARY, sample);
        assert_eq!(run(&wire), [Event::Binary(sample.to_vec())], "nobody checks binary");
    }
}

/// The byte that spoils the text is the last to arrive, and a message of that
/// size is far from complete: it must fail now.
fn fails_at_its_last_byte(wire: &[u8]) {
    let (before, _) = receive([&wire[..wire.len() - 1]], LIMIT);
    assert_eq!(before, [], "too early");
    assert_eq!(receive([wire], LIMIT).0, [INVALID], "whole");
    assert_eq!(receive(wire.chunks(1), LIMIT).0, [INVALID], "byte by byte");
}

#[test]
fn case_6_4_a_bad_byte_fails_when_it_arrives() {
    let bad: [&[u8]; 6] = [
        "κόσμε\u{10ffff}".as_bytes().get(..11).unwrap(),
        "κόσμε".as_bytes(),
        b"",
        b"\xf4",
        b"\xed",
        b"\xe2\x82",
    ];
    let last = [0xff, 0x80, 0x80, 0x90, 0xa0, 0x20];
    for (good, last) in bad.into_iter().zip(last) {
        let spoilt = [good, &[last]].concat();
        let padded = [&spoilt[..], &[b'a'; 200]].concat();
        // In one frame of which the rest is still to come.
        let wire = frame(FIN | TEXT, &padded);
        fails_at_its_last_byte(&wire[..wire.len() - 200]);
        // In a fragment after one that ends anywhere in the text.
        for at in 0..=good.len() {
            let (left, right) = padded.split_at(at);
            let wire = [frame(TEXT, left), frame(CONTINUATION, right)].concat();
            fails_at_its_last_byte(&wire[..wire.len() - 200]);
        }
    }
}

#[test]
fn a_control_frame_inside_a_character_does_no_harm() {
    let wire = [
        frame(TEXT, b"\xf0\x9f"),
        frame(FIN | 0x9, b"\xff\xff"),
        frame(CONTINUATION, b"\x98"),
        frame(FIN | CONTINUATION, b"\x80"),
    ];
    assert_eq!(run(&wire.concat()), [ping(b"\xff\xff"), text("\u{1f600}")]);
}

#[test]
fn long_text_cut_inside_characters() {
    let content = "数据不合法".repeat(5_000);
    let wire = frame(FIN | TEXT, content.as_bytes());
    for size in [1_000, 4_096, 65_536] {
        assert_eq!(receive(wire.chunks(size), LIMIT), (vec![text(&content)], true));
    }
}
