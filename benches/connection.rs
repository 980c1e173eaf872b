//! One connection without its socket: a read with one command, and a frame from others.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

#[macro_use]
mod settings;

use criterion::Criterion;
use millgate::connection::{Connection, Effect, Input, Output, Rules, Scratch};
use millgate::envelope::Frame;
use millgate::websocket::frame::{self, Kind};
use millgate::websocket::handshake::Endpoint;
use millgate::websocket::message;
use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};
use std::time::Duration;

/// A client frame with a `ping`, its mask zero.
const PING: &[u8] = b"\x81\xa4\0\0\0\0{\"seq\":\"1\",\"cmd\":\"ping\",\"data\":null}";

/// A socket that always has the same frame, and takes everything.
struct Socket;

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer[..PING.len()].copy_from_slice(PING);
        Ok(PING.len())
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| black_box(slice).len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn connection(c: &mut Criterion) {
    let rules = Rules {
        path: "/acc".into(),
        echo_path: String::new(),
        head_bytes_max: 8_192,
        message: message::Rules { message_bytes: 65_536 },
        flow: None,
        outbox_bytes_max: 262_144,
        frame_bytes_max: 262_144,
        idle_ticks: 360,
        handshake_ticks: 10,
        login_ticks: None,
        message_ticks: Some(60),
        tls: None,
    };
    let mut connection = Connection::new(None, 0);
    connection.open(Endpoint::Commands, 0);
    let (mut buffer, mut scratch) = (vec![0; 65_536], Scratch::default());
    let mut replies = Vec::new();
    let now = Duration::from_secs(1);
    c.bench_function("connection: a read with one command", |b| {
        b.iter(|| {
            let received = connection.receive(&mut Socket, &mut buffer, 65_536).unwrap();
            let mut out = Output::new(std::mem::take(&mut replies));
            let bytes = &mut buffer[..received.filled];
            let seen = received.seen;
            let mut input = Input::new(&mut connection, bytes, seen, &mut scratch, &rules, now);
            while let Some(effect) = connection.next(&mut input, &mut out, &rules, now) {
                if let Effect::Message { incoming, is_admitted } = effect {
                    black_box(connection.respond(incoming, is_admitted, &mut out, &rules));
                }
            }
            connection.finish(input, &mut out, &rules, 1);
            assert_eq!(out.messages_in, 1);
            replies = out.replies;
        });
    });
    let mut bytes = Vec::new();
    frame::append(&mut bytes, Kind::Text, &[b'a'; 100]);
    let frame = Frame::from_encoded(bytes);
    c.bench_function("connection: a frame from others", |b| {
        b.iter(|| connection.send_frames(&[black_box(&frame)], &rules, &mut Socket).unwrap());
    });
}

bench!(connection);
