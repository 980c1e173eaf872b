//! What a reactor does with the bytes of one read: headers, unmasking, UTF-8.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

#[macro_use]
mod settings;

use criterion::{BenchmarkId, Criterion, Throughput};
use millgate::websocket::frame::{Header, Kind, append};
use millgate::websocket::message::{Incoming, Messages, Rules};
use std::hint::black_box;

const PAYLOAD_BYTES: [usize; 5] = [16, 125, 1_024, 16_384, 65_536];
/// A read brings as many frames as fit, at least one.
const READ_BYTES: usize = 65_536;

/// A text frame as clients send it. Mask and text have seven bits to the
/// byte, so that the text is UTF-8 with its mask on, too: unmasking works in
/// place, and every second iteration sees the frame already unmasked.
fn text_frame(payload_bytes: usize) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0x7a, 0x21, 0x3d];
    let mut frame = Vec::new();
    append(&mut frame, Kind::Text, &vec![b'a'; payload_bytes]);
    frame[1] |= 0x80;
    let payload = frame.split_off(frame.len() - payload_bytes);
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn header(c: &mut Criterion) {
    let frame = text_frame(1_024);
    c.bench_function("frame/header", |b| b.iter(|| Header::parse(black_box(&frame))));
}

fn messages(c: &mut Criterion) {
    let rules = Rules { message_bytes: READ_BYTES };
    let mut group = c.benchmark_group("frame/one read of text messages");
    for payload_bytes in PAYLOAD_BYTES {
        let frame = text_frame(payload_bytes);
        let frames = (READ_BYTES / frame.len()).max(1);
        let mut input = frame.repeat(frames);
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(payload_bytes), |b| {
            b.iter(|| {
                let mut messages = Messages::new(None, &mut input, &rules);
                while let Some(Incoming::Text(text)) = messages.next().unwrap() {
                    black_box(text);
                }
                assert_eq!(messages.frames() as usize, frames);
            });
        });
    }
    group.finish();
}

bench!(header, messages);
