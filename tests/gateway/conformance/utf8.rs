//! Group 6: text is UTF-8, and what is not fails as soon as that is certain.

use super::*;

const KOSME: &str = "κόσμε";

#[test]
fn group_6_1_and_2_text_in_parts() {
    let hello = "Hello-µ@ßöäüàá-UTF-8!!";
    let (left, right) = hello.as_bytes().split_at(8);
    run(&[
        ("6.1.1 empty", vec![(TEXT, b"")], vec![text("")], Then::Open),
        (
            "6.1.2 empty parts",
            vec![(TEXT_BEGINS, b""), (CONTINUES, b""), (ENDS, b"")],
            vec![text("")],
            Then::Open,
        ),
        (
            "6.1.3 one part is not empty",
            vec![(TEXT_BEGINS, b""), (CONTINUES, b"middle"), (ENDS, b"")],
            vec![text("middle")],
            Then::Open,
        ),
        ("6.2.1", vec![(TEXT, hello.as_bytes())], vec![text(hello)], Then::Open),
        ("6.2.2", vec![(TEXT_BEGINS, left), (ENDS, right)], vec![text(hello)], Then::Open),
    ]);
    // 6.2.3 and 6.2.4: a part for each octet.
    let node = node();
    let mut client = echo_client(&node);
    for sample in [hello, KOSME, "\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}"] {
        send_octets_as_parts(&mut client, sample.as_bytes());
        assert_eq!(client.recv(), text(sample));
    }
    client.close();
}

fn send_octets_as_parts(client: &mut Client, octets: &[u8]) {
    let mut first = TEXT_BEGINS;
    for octet in octets {
        client.send_frame(first, &[*octet]);
        first = CONTINUES;
    }
    client.send_frame(ENDS, b"");
}

/// Each is wrong at some octet, or at its end.
const INVALID: [&[u8]; 32] = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80\x65",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\xbf",
    b"\x80\xbf",
    b"\x80\xbf\x80\xbf\x80\xbf",
    b"\xc0 \xc1 \xc2 ",
    b"\xe0 \xe1 ",
    b"\xf0 \xf1 ",
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    // Cut short at the very end.
    b"ok\xc3",
    b"ok\xe2\x82",
    b"ok\xf0\x9f\x98",
];

/// 6.5 to 6.22: every kind of text, whole, in two parts cut anywhere, and as octets.
#[test]
fn group_6_valid_and_invalid_sequences() {
    let node = node();
    let valid = [
        KOSME,
        "\u{0}",
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
        "\u{fffe}",
        "\u{1fffe}",
        "\u{10fffe}",
        "\u{fffd}\u{1ffff}é",
    ];
    let mut client = echo_client(&node);
    for sample in valid {
        for cut in 0..=sample.len() {
            let (left, right) = sample.as_bytes().split_at(cut);
            client.send_frame(TEXT_BEGINS, left);
            client.send_frame(ENDS, right);
            assert_eq!(client.recv(), text(sample), "{sample:?} cut at {cut}");
        }
    }
    client.close();
    for sample in INVALID {
        for cut in [0, sample.len() / 2, sample.len()] {
            let (left, right) = sample.split_at(cut);
            let mut client = echo_client(&node);
            client.send_raw(&[client_frame(TEXT_BEGINS, left), client_frame(ENDS, right)].concat());
            expect_then(client, Then::Closed(1007), &format!("{sample:x?} cut at {cut}"));
        }
        let mut client = echo_client(&node);
        client.send_raw(&client_frame(TEXT, sample));
        expect_then(client, Then::Closed(1007), &format!("{sample:x?}"));
        // Binary messages may be anything.
        let mut client = echo_client(&node);
        client.send_frame(BINARY, sample);
        assert_eq!(client.recv(), Message::Binary(sample.to_vec()));
    }
}

/// 6.4: the rest of the message is never sent, and still the server closes.
#[test]
fn group_6_4_bad_text_fails_at_once() {
    let node = node();
    let start = "κόσμε".as_bytes();
    for bad in [&b"\xf4\x90"[..], b"\xed\xa0", b"\xe0\x80", b"\xf0\x80", b"\xc0", b"\xff", b"\x80"]
    {
        // 6.4.1: in a part of its own, with the last one missing.
        let mut client = echo_client(&node);
        client.send_frame(TEXT_BEGINS, start);
        client.send_frame(CONTINUES, bad);
        expect_then(client, Then::Closed(1007), &format!("6.4.1, {bad:x?}"));
        // 6.4.2: the octet that gives it away comes alone.
        let mut client = echo_client(&node);
        client.send_frame(TEXT_BEGINS, &[start, &bad[..bad.len() - 1]].concat());
        client.expect_silence();
        client.send_frame(CONTINUES, &bad[bad.len() - 1..]);
        expect_then(client, Then::Closed(1007), &format!("6.4.2, {bad:x?}"));
        // 6.4.3 and 6.4.4: in the middle of one frame, whole up to there or octet by octet.
        for piece_bytes in [usize::MAX, 1] {
            let frame = client_frame(TEXT, &[start, bad, &[b'x'; 200]].concat());
            // Two bytes of a head, two of a length, four of a mask.
            let sent = &frame[..8 + start.len() + bad.len()];
            let mut client = echo_client(&node);
            client.send_in_pieces(sent, piece_bytes);
            expect_then(client, Then::Closed(1007), &format!("6.4.3, {bad:x?}"));
        }
    }
}
