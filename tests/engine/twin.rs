//! The same decoder once more, as plainly as can be: it has the whole stream
//! at once, copies everything and shares no code with the engine or with std's
//! UTF-8. Slow, and easy to compare with the RFC.

use crate::client::{BINARY, CLOSE, CONTINUATION, Event, PING, PONG, TEXT};

/// What `wire` comes to, and whether it ends with nothing under way.
pub(crate) fn decode(wire: &[u8], limit: usize) -> (Vec<Event>, bool) {
    let mut events = Vec::new();
    let mut message: Option<(u8, Vec<u8>)> = None;
    let mut at = 0;
    loop {
        match one_frame(&wire[at..], &mut message, limit) {
            Ok(Some((used, event))) => {
                events.extend(event);
                at += used;
            }
            Ok(None) => return (events, at == wire.len() && message.is_none()),
            Err(code) => {
                events.push(Event::Violated(code));
                return (events, true);
            }
        }
    }
}

/// One frame from the beginning of `wire`: its size, and the message that it
/// completes. `None` when `wire` ends first, an error is a close code.
fn one_frame(
    wire: &[u8],
    message: &mut Option<(u8, Vec<u8>)>,
    limit: usize,
) -> Result<Option<(usize, Option<Event>)>, u16> {
    let Some(first) = wire.first() else {
        return Ok(None);
    };
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let control = opcode & 0x08 != 0;
    let known = [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].contains(&opcode);
    if first & 0x70 != 0 || !known || (control && !fin) {
        return Err(1002);
    }
    let Some(second) = wire.get(1) else {
        return Ok(None);
    };
    let (masked, short) = (second & 0x80 != 0, second & 0x7f);
    if !masked || (control && short > 125) {
        return Err(1002);
    }
    let extra = if short == 126 {
        2
    } else if short == 127 {
        8
    } else {
        0
    };
    if wire.len() < 2 + extra {
        return Ok(None);
    }
    let mut length = u128::from(short);
    if extra > 0 {
        length = wire[2..2 + extra].iter().fold(0, |sum, byte| sum * 256 + u128::from(*byte));
        let fewest = if extra == 2 { 126 } else { 65_536 };
        if length < fewest || length >= 1 << 63 {
            return Err(1002);
        }
    }
    let start = 2 + extra + 4;
    if wire.len() < start {
        return Ok(None);
    }
    if !control {
        if (opcode == CONTINUATION) != message.is_some() {
            return Err(1002);
        }
        let before = message.as_ref().map_or(0, |(_, bytes)| bytes.len());
        if before as u128 + length > limit as u128 {
            return Err(1009);
        }
    }

    let end = (start as u128 + length).min(wire.len() as u128) as usize;
    let complete = (end - start) as u128 == length;
    let key = &wire[start - 4..start];
    let payload: Vec<u8> = (start..end).map(|i| wire[i] ^ key[(i - start) % 4]).collect();
    if control {
        return if complete {
            control_event(opcode, payload).map(|e| Some((end, Some(e))))
        } else {
            Ok(None)
        };
    }
    data_event(opcode, fin && complete, payload, message, complete)
        .map(|event| complete.then_some((end, event)))
}

fn control_event(opcode: u8, payload: Vec<u8>) -> Result<Event, u16> {
    match opcode {
        PING => return Ok(Event::Ping(payload)),
        PONG => return Ok(Event::Pong(payload)),
        _ => {}
    }
    if payload.is_empty() {
        return Ok(Event::Close(None));
    }
    if payload.len() == 1 {
        return Err(1002);
    }
    let code = u16::from(payload[0]) * 256 + u16::from(payload[1]);
    let never = [1004, 1005, 1006, 1015];
    if !(1000..5000).contains(&code) || (1015..3000).contains(&code) || never.contains(&code) {
        return Err(1002);
    }
    let reason = payload[2..].to_vec();
    if utf8(&reason) != Utf8::Whole {
        return Err(1007);
    }
    Ok(Event::Close(Some((code, String::from_utf8(reason).unwrap()))))
}

fn data_event(
    opcode: u8,
    last: bool,
    payload: Vec<u8>,
    message: &mut Option<(u8, Vec<u8>)>,
    complete: bool,
) -> Result<Option<Event>, u16> {
    let mut whole = message.clone().unwrap_or((opcode, Vec::new()));
    whole.1.extend(payload);
    if whole.0 == TEXT {
        match utf8(&whole.1) {
            Utf8::Never => return Err(1007),
            Utf8::Begun if last => return Err(1007),
            Utf8::Begun | Utf8::Whole => {}
        }
    }
    if last {
        *message = None;
        return Ok(Some(match whole {
            (TEXT, bytes) => Event::Text(String::from_utf8(bytes).unwrap()),
            (_, bytes) => Event::Binary(bytes),
        }));
    }
    if complete {
        *message = Some(whole);
    }
    Ok(None)
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Utf8 {
    /// Well-formed.
    Whole,
    /// Well-formed but for a last character that is incomplete.
    Begun,
    /// Nothing that follows can make it well-formed.
    Never,
}

/// The syntax of RFC 3629 §4, one alternative a line.
pub(crate) fn utf8(mut bytes: &[u8]) -> Utf8 {
    const TAIL: (u8, u8) = (0x80, 0xbf);
    while let Some(first) = bytes.first() {
        let tails: &[(u8, u8)] = match first {
            0x00..=0x7f => &[],
            0xc2..=0xdf => &[TAIL],
            0xe0 => &[(0xa0, 0xbf), TAIL],
            0xe1..=0xec | 0xee..=0xef => &[TAIL, TAIL],
            0xed => &[(0x80, 0x9f), TAIL],
            0xf0 => &[(0x90, 0xbf), TAIL, TAIL],
            0xf1..=0xf3 => &[TAIL, TAIL, TAIL],
            0xf4 => &[(0x80, 0x8f), TAIL, TAIL],
            _ => return Utf8::Never,
        };
        let present = &bytes[1..];
        if present.iter().zip(tails).any(|(byte, (low, high))| byte < low || byte > high) {
            return Utf8::Never;
        }
        if present.len() < tails.len() {
            return Utf8::Begun;
        }
        bytes = &present[tails.len()..];
    }
    Utf8::Whole
}
