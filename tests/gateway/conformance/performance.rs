//! Groups 9 and 10: messages that are large, in many parts, or many. The
//! backlog of a connection has its usual bound: an echo may be above it.

use super::*;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Something that shows every byte that is lost or moved.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|n| b'a' + (n % 23) as u8).collect()
}

fn expect_echo(client: &mut Client, first: u8, sent: &[u8], what: &str) {
    let echoed = match client.recv() {
        Message::Text(text) if first & 0x0F == TEXT_BEGINS => text.into_bytes(),
        Message::Binary(bytes) if first & 0x0F == BINARY_BEGINS => bytes,
        Message::Text(_) | Message::Binary(_) => panic!("{what}: of the wrong kind"),
        other => panic!("{what}: {other:?}"),
    };
    assert!(echoed == sent, "{what}: {} bytes became {}", sent.len(), echoed.len());
}

/// A message in parts of this many bytes, all in one buffer.
fn in_parts(first: u8, payload: &[u8], part_bytes: usize) -> Vec<u8> {
    let last = payload.len().div_ceil(part_bytes) - 1;
    let mut bytes = Vec::with_capacity(payload.len() * 2);
    for (index, part) in payload.chunks(part_bytes).enumerate() {
        let begins = if index == 0 { first & 0x0F } else { CONTINUES };
        let ends = if index == last { 0x80 } else { 0 };
        bytes.extend(client_frame(begins | ends, part));
    }
    bytes
}

#[test]
fn group_9_1_and_2_large_messages() {
    let node = node();
    let mut client = echo_client(&node);
    for length in [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB] {
        let payload = payload(length);
        for first in [TEXT, BINARY] {
            client.send_frame(first, &payload);
            expect_echo(&mut client, first, &payload, &format!("9.1/2, {length}"));
        }
    }
    client.close();
    let mut client = echo_client(&node);
    // Not a byte of the payload is needed to refuse it.
    client.send_raw(&[0x82, 0xFF, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]);
    client.expect_close(1009);
}

#[test]
fn group_9_3_and_4_many_parts() {
    let node = node();
    let mut client = echo_client(&node);
    let payload = payload(4 * MIB);
    for part_bytes in [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB] {
        for first in [TEXT, BINARY] {
            client.send_raw(&in_parts(first, &payload, part_bytes));
            expect_echo(&mut client, first, &payload, &format!("9.3/4, {part_bytes}"));
        }
    }
    client.close();
}

#[test]
fn group_9_5_and_6_chopped_sends() {
    let node = node();
    let mut client = echo_client(&node);
    let payload = payload(MIB);
    for first in [TEXT, BINARY] {
        let frame = client_frame(first, &payload);
        for piece_bytes in [64, 128, 256, 512, 997, 1_024, 2_048, 65_521] {
            client.send_in_pieces(&frame, piece_bytes);
            expect_echo(&mut client, first, &payload, &format!("9.5/6, {piece_bytes}"));
        }
    }
    client.close();
}

#[test]
fn group_9_7_and_8_a_thousand_round_trips() {
    let node = node();
    let mut client = echo_client(&node);
    for length in [0, 16, 64, 256, KIB, 4 * KIB] {
        let payload = payload(length);
        for first in [TEXT, BINARY] {
            for n in 0..1_000 {
                client.send_frame(first, &payload);
                expect_echo(&mut client, first, &payload, &format!("9.7/8, {length}, {n}"));
            }
        }
    }
    client.close();
}

#[test]
fn group_10_1_parts_of_1300() {
    let node = node();
    let mut client = echo_client(&node);
    let payload = payload(64 * KIB);
    for first in [TEXT, BINARY] {
        client.send_raw(&in_parts(first, &payload, 1_300));
        expect_echo(&mut client, first, &payload, "10.1.1");
    }
    client.close();
}

/// Not of the suite: many large messages in a row from a client that reads
/// none of the echoes before it has sent all. The server stops reading and has
/// to go on by itself when the echoes are taken.
#[test]
fn echoes_that_are_not_taken_stop_the_reading_and_are_all_there_in_the_end() {
    let node = node();
    let mut client = echo_client(&node);
    let mut sender = client.socket().try_clone().expect("a descriptor");
    let sizes = [MIB, 1, 3 * MIB, 70_000, 0, 200_000, 2 * MIB, 65_536, 17];
    let writer = std::thread::spawn(move || {
        for _ in 0..4 {
            for size in sizes {
                let frame = client_frame(BINARY, &payload(size));
                std::io::Write::write_all(&mut sender, &frame).expect("the server reads on");
            }
        }
    });
    for round in 0..4 {
        for size in sizes {
            expect_echo(&mut client, BINARY, &payload(size), &format!("{size}, round {round}"));
        }
    }
    writer.join().expect("all was sent");
    client.close();
}
