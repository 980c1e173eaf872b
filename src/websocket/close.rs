//! Why a connection ends: close codes, close frames, violations (RFC 6455 §5.5.1 and §7.4).

use super::frame::{self, Kind};
use std::fmt;

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// An end goes away: a page that is left, a server that stops.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL: u16 = 1002;
/// Data of a kind that this end does not take.
pub const UNSUPPORTED: u16 = 1003;
/// Text that is not UTF-8.
pub const INVALID_DATA: u16 = 1007;
/// A policy was broken and no other code says it better.
pub const POLICY: u16 = 1008;
/// A message above the size limit.
pub const TOO_BIG: u16 = 1009;
/// This end met a condition that it cannot serve under.
pub const INTERNAL: u16 = 1011;
/// The server restarts: come back after a random delay of 5 to 30 seconds.
pub const RESTART: u16 = 1012;
/// The server is overloaded: try another one, or later.
pub const TRY_AGAIN: u16 = 1013;
// By the convention of Centrifugo, whose clients are many, 3000–3499 bid a
// client reconnect and 3500–3999 bid it stop.
/// The node shuts down: reconnect.
pub const SHUTDOWN: u16 = 3001;
/// The session has expired: reconnect with a fresh token.
pub const EXPIRED: u16 = 3005;
/// The peer reads more slowly than it is written to: reconnect.
pub const SLOW: u16 = 3008;
/// No heartbeat came in time: reconnect.
pub const NO_HEARTBEAT: u16 = 3012;
/// The token is not valid: do not reconnect with it.
pub const BAD_TOKEN: u16 = 3500;
/// Closed by order: do not reconnect.
pub const KICKED: u16 = 3503;

/// Bytes of a reason: a control frame carries 125, the code takes two (§5.5).
pub const REASON_BYTES_MAX: usize = frame::CONTROL_BYTES_MAX - 2;

/// Whether a peer may send this code in a close frame (§7.4).
///
/// 1004 has no meaning, 1005, 1006 and 1015 must never be on the wire,
/// 1012–1014 were registered with IANA after the RFC, 3000–3999 are for
/// registration by libraries, 4000–4999 for private use.
#[must_use]
pub fn legal(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

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

/// What a client did that ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// It broke the rules of RFC 6455; which one.
    Protocol(&'static str),
    /// Text or a close reason is not UTF-8 (§8.1).
    Utf8,
    /// A message is, or says that it will be, above the size limit.
    TooBig,
}

impl Violation {
    /// The code to close with: 1002, 1007 or 1009.
    #[must_use]
    pub fn close_code(&self) -> u16 {
        match self {
            Self::Protocol(_) => PROTOCOL,
            Self::Utf8 => INVALID_DATA,
            Self::TooBig => TOO_BIG,
        }
    }

    /// The reason to close with, which fits a close frame.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Protocol(reason) => reason,
            Self::Utf8 => "text is not UTF-8",
            Self::TooBig => "message too big",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Violation {}

/// As much of a reason as fits, in whole characters.
fn cut(reason: &str) -> &str {
    let ends = (0..=REASON_BYTES_MAX.min(reason.len())).rev();
    ends.into_iter().find_map(|end| reason.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::frame::coding::CloseCode;

    #[test]
    fn every_code_is_judged_as_tungstenite_judges_it_but_1014() {
        for code in 0..=u16::MAX {
            let expected = match code {
                1014 => true, // registered as "bad gateway"
                _ => CloseCode::from(code).is_allowed(),
            };
            assert_eq!(legal(code), expected, "{code}");
        }
    }

    #[test]
    fn all_codes_of_the_gateway_are_legal() {
        let used = [
            NORMAL,
            GOING_AWAY,
            PROTOCOL,
            UNSUPPORTED,
            INVALID_DATA,
            POLICY,
            TOO_BIG,
            INTERNAL,
            RESTART,
            TRY_AGAIN,
            SHUTDOWN,
            EXPIRED,
            SLOW,
            NO_HEARTBEAT,
            BAD_TOKEN,
            KICKED,
        ];
        assert!(used.into_iter().all(legal));
    }

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
