//! Groups 1 to 5 and 7: lengths, pings, reserved bits, opcodes, parts, closes.

use super::*;

/// Payloads of 0 to 65,536 bytes on both sides of every size of header; whole
/// and in pieces of 997 octets.
#[test]
fn group_1_lengths() {
    let node = node();
    let mut client = echo_client(&node);
    for length in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let stars = "*".repeat(length);
        let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
        for piece_bytes in [usize::MAX, 997, 1] {
            client.send_in_pieces(&client_frame(TEXT, stars.as_bytes()), piece_bytes);
            assert_eq!(client.recv(), text(&stars), "1.1, {length} in {piece_bytes}");
            client.send_in_pieces(&client_frame(BINARY, &bytes), piece_bytes);
            assert_eq!(client.recv(), Message::Binary(bytes.clone()), "1.2, {length}");
        }
    }
    client.close();
}

#[test]
fn group_2_pings_and_pongs() {
    let pong = |payload: &[u8]| Message::Pong(payload.to_vec());
    let binary = [0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff];
    let numbers: Vec<Vec<u8>> = (0..10).map(|n| format!("payload-{n}").into_bytes()).collect();
    let ten_pings = numbers.iter().map(|payload| (PING, payload.as_slice())).collect();
    let ten_pongs = numbers.iter().map(|payload| pong(payload)).collect();
    run(&[
        ("2.1 empty", vec![(PING, b"")], vec![pong(b"")], Then::Open),
        ("2.2 text", vec![(PING, b"Hello, world!")], vec![pong(b"Hello, world!")], Then::Open),
        ("2.3 not UTF-8", vec![(PING, &binary)], vec![pong(&binary)], Then::Open),
        ("2.4 125", vec![(PING, &[0xfe; 125])], vec![pong(&[0xfe; 125])], Then::Open),
        ("2.5 126", vec![(PING, &[0xfe; 126])], vec![], Then::Closed(1002)),
        ("2.7 unasked", vec![(PONG, b"")], vec![], Then::Open),
        ("2.8 unasked, payload", vec![(PONG, b"unasked")], vec![], Then::Open),
        ("2.9", vec![(PONG, b"unasked"), (PING, b"p")], vec![pong(b"p")], Then::Open),
        ("2.10 ten pings", ten_pings, ten_pongs, Then::Open),
    ]);
}

#[test]
fn group_3_reserved_bits() {
    let hello = || vec![text("Hello")];
    let closed = Then::Closed(1002);
    run(&[
        ("3.1", vec![(0x90 | 0x01, b"Hello")], vec![], closed),
        ("3.2", vec![(TEXT, b"Hello"), (0xA1, b"Hello"), (PING, b"")], hello(), closed),
        ("3.3", vec![(TEXT, b"Hello"), (0xB1, b"Hello"), (PING, b"")], hello(), closed),
        ("3.4", vec![(TEXT, b"Hello"), (0xC1, b"Hello"), (PING, b"")], hello(), closed),
        ("3.5", vec![(0xD2, &[0xff; 8])], vec![], closed),
        ("3.6", vec![(0xE9, b"Hello")], vec![], closed),
        ("3.7", vec![(0xF8, b"")], vec![], closed),
    ]);
}

#[test]
fn group_4_opcodes() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15_u8] {
        let first = 0x80 | opcode;
        let closed = Then::Closed(1002);
        run(&[
            ("4.x.1 empty", vec![(first, b"")], vec![], closed),
            ("4.x.2 payload", vec![(first, b"reserved")], vec![], closed),
            ("4.x.2 in parts", vec![(opcode, b"reserved")], vec![], closed),
            (
                "4.x.3 after a message",
                vec![(TEXT, b"Hello"), (first, b""), (PING, b"")],
                vec![text("Hello")],
                closed,
            ),
            (
                "4.x.4 after two",
                vec![(TEXT, b"Hello"), (BINARY, b"\0"), (first, b"r"), (PING, b"")],
                vec![text("Hello"), Message::Binary(vec![0])],
                closed,
            ),
            (
                "4.x.5 inside a message",
                vec![(TEXT, b"Hello"), (TEXT_BEGINS, b"a"), (first, b"r"), (ENDS, b"b")],
                vec![text("Hello")],
                closed,
            ),
        ]);
    }
}

#[test]
fn group_5_parts_and_what_may_come_between() {
    let ab = || vec![text("fragment1fragment2")];
    let (a, b): (&[u8], &[u8]) = (b"fragment1", b"fragment2");
    let pong = || Message::Pong(b"ping".to_vec());
    let with_pong = || vec![pong(), text("fragment1fragment2")];
    let closed = Then::Closed(1002);
    run(&[
        ("5.1 a ping in parts", vec![(0x09, a), (ENDS, b)], vec![], closed),
        ("5.2 a pong in parts", vec![(0x0A, a), (ENDS, b)], vec![], closed),
        ("5.3", vec![(TEXT_BEGINS, a), (ENDS, b)], ab(), Then::Open),
        ("5.6", vec![(TEXT_BEGINS, a), (PING, b"ping"), (ENDS, b)], with_pong(), Then::Open),
        ("5.6 pong", vec![(TEXT_BEGINS, a), (PONG, b"x"), (ENDS, b)], ab(), Then::Open),
        ("5.9 stray, whole", vec![(ENDS, a), (TEXT, b"Hello")], vec![], closed),
        ("5.10 stray, at the end", vec![(TEXT, b"Hello"), (ENDS, a)], vec![text("Hello")], closed),
        ("5.12 stray, goes on", vec![(CONTINUES, a), (TEXT, b"Hello")], vec![], closed),
        (
            "5.15 stray after a message",
            vec![(TEXT_BEGINS, a), (ENDS, b), (CONTINUES, b"3"), (TEXT_BEGINS, b"4"), (ENDS, b"5")],
            ab(),
            closed,
        ),
        (
            "5.16 strays all the way",
            vec![(CONTINUES, a), (TEXT_BEGINS, a), (ENDS, b), (CONTINUES, a)],
            vec![],
            closed,
        ),
        ("5.18 a new message inside", vec![(TEXT_BEGINS, a), (TEXT, b)], vec![], closed),
        (
            "5.19 five parts, two pings",
            vec![
                (TEXT_BEGINS, b"1"),
                (CONTINUES, b"2"),
                (PING, b"ping"),
                (CONTINUES, b"3"),
                (CONTINUES, b"4"),
                (PING, b"ping"),
                (ENDS, b"5"),
            ],
            vec![pong(), pong(), text("12345")],
            Then::Open,
        ),
        (
            "5.20 empty parts",
            vec![(BINARY_BEGINS, b""), (CONTINUES, b""), (PING, b"ping"), (ENDS, b"")],
            vec![pong(), Message::Binary(Vec::new())],
            Then::Open,
        ),
        (
            "two messages in parts",
            vec![(TEXT_BEGINS, a), (ENDS, b), (BINARY_BEGINS, b"\xff"), (ENDS, b"\xfe")],
            vec![text("fragment1fragment2"), Message::Binary(vec![0xff, 0xfe])],
            Then::Open,
        ),
        (
            "a close inside a message",
            vec![(TEXT_BEGINS, a), (CLOSE, b"\x03\xe9"), (ENDS, b)],
            vec![],
            Then::Closed(1001),
        ),
    ]);
}

#[test]
fn group_7_closes() {
    let normal: &[u8] = b"\x03\xe8";
    let ok = Then::Closed(1000);
    let bad = Then::Closed(1002);
    let long = [b"\x03\xe8".as_slice(), &[b'*'; 123]].concat();
    let too_long = [b"\x03\xe8".as_slice(), &[b'*'; 124]].concat();
    let big = vec![b'*'; 256 * 1024];
    let echo = || vec![text("Hello")];
    run(&[
        ("7.1.1", vec![(TEXT, b"Hello"), (CLOSE, normal)], echo(), ok),
        ("7.1.2 two closes", vec![(CLOSE, normal), (CLOSE, normal)], vec![], ok),
        ("7.1.3 a ping after", vec![(CLOSE, normal), (PING, b"")], vec![], ok),
        ("7.1.4 a text after", vec![(CLOSE, normal), (TEXT, b"Hello")], vec![], ok),
        (
            "7.1.5 inside a message",
            vec![(TEXT_BEGINS, b"1"), (CLOSE, normal), (ENDS, b"2")],
            vec![],
            ok,
        ),
        ("7.3.2 one byte", vec![(CLOSE, b"a")], vec![], bad),
        ("7.3.3 code", vec![(CLOSE, normal)], vec![], ok),
        ("7.3.4 reason", vec![(CLOSE, b"\x03\xe8Hello World!")], vec![], ok),
        ("7.3.5 the longest reason", vec![(CLOSE, &long)], vec![], ok),
        ("7.3.6 one longer", vec![(CLOSE, &too_long)], vec![], bad),
        (
            "7.5.1 a bad reason",
            vec![(CLOSE, b"\x03\xe8\xce\xba\xed\xa0\x80")],
            vec![],
            Then::Closed(1007),
        ),
    ]);
    let node = node();
    let mut client = echo_client(&node);
    client.send_raw(
        &[client_frame(TEXT, &big), client_frame(CLOSE, normal), client_frame(PING, b"")].concat(),
    );
    assert!(client.recv() == Message::Text(String::from_utf8(big).expect("ASCII")), "7.1.6");
    client.expect_close(1000);
    let mut client = echo_client(&node);
    client.send_frame(CLOSE, b"");
    assert_eq!(client.recv(), Message::Close(None), "7.3.1");
    client.expect_end();
}

#[test]
fn group_7_close_codes() {
    let legal = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    let illegal = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535];
    let node = node();
    for (code, answered) in legal
        .into_iter()
        .map(|code| (code, code))
        .chain(illegal.into_iter().map(|code| (code, 1002_u16)))
    {
        for reason in ["", "reason"] {
            let mut client = echo_client(&node);
            let payload = [&u16::to_be_bytes(code), reason.as_bytes()].concat();
            client.send_frame(CLOSE, &payload);
            client.expect_close(answered);
        }
    }
}
