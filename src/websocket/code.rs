//! Close codes: what they mean, and which of them may be on the wire (RFC 6455 §7.4).

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
/// The peer sends more than it may: reconnect, and send less.
pub const TOO_FAST: u16 = 3013;
/// The token is not valid: do not reconnect with it.
pub const BAD_TOKEN: u16 = 3500;
/// No login came in time: do not reconnect without one.
pub const NO_LOGIN: u16 = 3502;
/// The user has logged in on too many other connections: do not reconnect by yourself.
pub const TOO_MANY: u16 = 3504;
/// Closed by order: do not reconnect.
pub const KICKED: u16 = 3503;

/// Whether a peer may send this code in a close frame (§7.4).
///
/// 1004 has no meaning, 1005, 1006 and 1015 must never be on the wire,
/// 1012–1014 were registered with IANA after the RFC, 3000–3999 are for
/// registration by libraries, 4000–4999 for private use.
#[must_use]
pub fn legal(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
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
}
