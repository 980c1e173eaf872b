//! Close frames, written and read (RFC 6455 §5.5.1).

use super::frame::{self, Kind};
use super::violation::Violation;

pub use super::code::*;

/// Bytes of a reason: a control frame carries 125, the code takes two (§5.5).
pub const REASON_BYTES_MAX: usize = frame::CONTROL_BYTES_MAX - 2;

/// Appends a close frame: with `None` an empty one, otherwise with this code
/// and as much of the reason as fits, cut between characters.
pub fn append(out: &mut Vec<u8>, code_and_reason: Option<(u16, &str)>) {
    frame::append_with(out, Kind::Close, |payload| {
        if let Some((code, reason)) = code_and_reason {
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(cut(reason).as_bytes());
        }
    });
}

/// Reads the payload of a client's close frame; `None` for an empty one.
///
/// # Errors
/// [`Violation::Protocol`] for one byte or a code that is not [`legal`],
/// [`Violation::Utf8`] for a reason that is not text.
pub fn parse(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    let Some((&code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Violation::Protocol("a close code has two bytes")),
        };
    };
    let code = u16::from_be_bytes(code);
    if !legal(code) {
        return Err(Violation::Protocol("illegal close code"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok(Some((code, reason)))
}

/// As much of a reason as fits, in whole characters.
pub fn cut(reason: &str) -> &str {
    let ends = (0..=REASON_BYTES_MAX.min(reason.len())).rev();
    ends.into_iter().find_map(|end| reason.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_empty_or_carry_code_and_reason() {
        let mut out = Vec::new();
        append(&mut out, None);
        assert_eq!(out, [0x88, 0]);
        out.clear();
        append(&mut out, Some((KICKED, "bye")));
        assert_eq!(out, [0x88, 5, 0x0d, 0xaf, b'b', b'y', b'e']);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut out = Vec::new();
        append(&mut out, Some((NORMAL, &"x".repeat(124))));
        assert_eq!(out.len(), 2 + 125);
        out.clear();
        // 123 is no multiple of 2: half an ü would have to go along.
        append(&mut out, Some((NORMAL, &"ü".repeat(62))));
        assert_eq!(out.len(), 2 + 2 + 122);
        assert_eq!(parse(&out[2..]), Ok(Some((NORMAL, "ü".repeat(61).as_str()))));
    }

    #[test]
    fn payloads_of_clients() {
        assert_eq!(parse(b""), Ok(None));
        assert!(matches!(parse(b"\x03"), Err(Violation::Protocol(_))));
        assert_eq!(parse(b"\x03\xe8"), Ok(Some((1000, ""))));
        assert_eq!(parse(b"\x13\x87end"), Ok(Some((4999, "end"))));
        assert!(matches!(parse(b"\x03\xed"), Err(Violation::Protocol(_))));
        assert!(matches!(parse(b"\x13\x88"), Err(Violation::Protocol(_))));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::Utf8));
        assert_eq!(parse(b"\x03\xe8\xc3"), Err(Violation::Utf8));
    }
}
