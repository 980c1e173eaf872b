//! What a handshake shows of who asks: the origin of a page, the token of a user.

use crate::auth::bearer;
use std::borrow::Cow;

/// The subprotocol by which a page can show a token, since a script can set no other header
/// of a handshake: `millgate.token, TOKEN`. The answer selects this name and never repeats the token.
pub const TOKEN_PROTOCOL: &str = "millgate.token";

/// What was shown, as it stands in the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credentials<'h> {
    /// `Origin`, which browsers always send; empty, and so in no list, where it was sent twice.
    pub origin: Option<&'h [u8]>,
    bearer: Option<&'h [u8]>,
    protocol: Option<&'h [u8]>,
    query: &'h str,
    /// The last entry of the list of subprotocols announced that a token follows.
    token_follows: bool,
}

impl<'h> Credentials<'h> {
    /// The token, if one was shown: in `Authorization`, behind [`TOKEN_PROTOCOL`], or as `token` in the
    /// query; the first of these counts. What is no text is a token that cannot be good.
    #[must_use]
    pub fn token(&self) -> Option<Cow<'h, str>> {
        match self.bearer.or(self.protocol) {
            Some(shown) => Some(Cow::Borrowed(std::str::from_utf8(shown).unwrap_or("?"))),
            // Escaped or not, a letter is the same (RFC 3986 §2.3).
            None => form_urlencoded::parse(self.query.as_bytes())
                .find(|(name, token)| name == "token" && !token.is_empty())
                .map(|(_, token)| token),
        }
    }

    /// Whether [`TOKEN_PROTOCOL`] was offered with one.
    #[must_use]
    pub fn has_token_protocol(&self) -> bool {
        self.protocol.is_some()
    }

    /// Takes a header line in, if it is one of those that say who asks.
    pub(super) fn see(&mut self, name: &str, value: &'h [u8]) {
        if name.eq_ignore_ascii_case("origin") {
            self.origin = Some(if self.origin.is_some() { b"" } else { value });
        } else if name.eq_ignore_ascii_case("authorization") {
            self.bearer = self.bearer.or_else(|| bearer(value));
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            // Several lines are one list.
            let entries = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            // Empty elements of a list are ignored (RFC 9110 §5.6.1.2).
            for entry in entries.filter(|entry| !entry.is_empty()) {
                if std::mem::take(&mut self.token_follows) {
                    self.protocol = self.protocol.or(Some(entry));
                } else {
                    self.token_follows = entry == TOKEN_PROTOCOL.as_bytes();
                }
            }
        }
    }

    /// Takes the query of the request in.
    pub(super) fn see_target(&mut self, target: &'h str) {
        self.query = target.split_once('?').map_or("", |(_, query)| query);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of<'h>(target: &'h str, lines: &[(&str, &'h str)]) -> Option<Cow<'h, str>> {
        let mut credentials = Credentials::default();
        credentials.see_target(target);
        for (name, value) in lines {
            credentials.see(name, value.as_bytes());
        }
        credentials.token()
    }

    #[test]
    fn a_token_is_found_in_each_place() {
        let protocol = "Sec-WebSocket-Protocol";
        for (target, lines, expected) in [
            ("/acc", &[][..], None),
            ("/acc?token=a.b.c", &[], Some("a.b.c")),
            ("/acc?x=1&token=a.b.c&token=d", &[], Some("a.b.c")),
            ("/acc?token=", &[], None),
            ("/acc?mytoken=a", &[], None),
            ("/acc?token=&token=a.b.c", &[], Some("a.b.c")),
            ("/acc?x=1&token=a%2Eb%2ec%2D%5f", &[], Some("a.b.c-_")),
            ("/acc?%74oken=%61.b.c&", &[], Some("a.b.c")),
            ("/acc?token=a.b.c%", &[], Some("a.b.c%")),
            ("/acc?token=%FF", &[], Some("\u{fffd}")),
            ("/acc", &[(protocol, "millgate.token, ,a.b.c")], Some("a.b.c")),
            ("/acc", &[(protocol, "millgate.token,"), (protocol, ",a.b.c")], Some("a.b.c")),
            ("/acc", &[("authorization", "bEARER  a.b.c ")], Some("a.b.c")),
            ("/acc", &[("Authorization", "Basic dTpw")], None),
            ("/acc", &[("Authorization", "Bearer")], None),
            ("/acc", &[(protocol, "millgate.token, a.b.c")], Some("a.b.c")),
            ("/acc", &[(protocol, "chat,millgate.token ,a.b.c,more")], Some("a.b.c")),
            ("/acc", &[(protocol, "millgate.token"), (protocol, "a.b.c")], Some("a.b.c")),
            ("/acc", &[(protocol, "millgate.token")], None),
            ("/acc", &[(protocol, "chat, a.b.c")], None),
            (
                "/acc?token=q",
                &[(protocol, "millgate.token, p"), ("Authorization", "Bearer b")],
                Some("b"),
            ),
            ("/acc?token=q", &[(protocol, "millgate.token, p")], Some("p")),
        ] {
            assert_eq!(token_of(target, lines).as_deref(), expected, "{target} {lines:?}");
        }
    }

    #[test]
    fn two_origins_are_none_of_the_listed() {
        let mut credentials = Credentials::default();
        assert_eq!(credentials.origin, None);
        credentials.see("ORIGIN", b"https://a");
        assert_eq!(credentials.origin, Some(&b"https://a"[..]));
        credentials.see("origin", b"https://a");
        assert_eq!(credentials.origin, Some(&b""[..]));
    }
}
