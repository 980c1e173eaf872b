//! One line of `auth.keys`: what a caller of the API may do, and by what it is known.

use std::fmt;

/// What a caller may do. They do not imply each other, but whoever may read may see the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// Ask who is online, and how the node is.
    Read = 1,
    /// Send messages.
    Send = 2,
    /// Drain, kick, reload, trace: everything below `/admin`.
    Admin = 4,
    /// `/metrics`.
    Metrics = 8,
}

impl Scope {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Read, "read"),
        (Self::Send, "send"),
        (Self::Admin, "admin"),
        (Self::Metrics, "metrics"),
    ];
}

/// Some of the scopes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Reads `read+send`; `None` if a name is none, or there is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bit = |name: &str| {
            Scope::ALL.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope as u8)
        };
        text.split('+').try_fold(0, |bits, name| Some(bits | bit(name)?)).map(Self)
    }

    /// Whether this may be done.
    #[must_use]
    pub fn allow(self, scope: Scope) -> bool {
        let also = if scope == Scope::Metrics { Scope::Read as u8 } else { 0 };
        self.0 & (scope as u8 | also) != 0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |scope: &Scope| self.0 & *scope as u8 != 0;
        let names: Vec<&str> =
            Scope::ALL.iter().filter(|(scope, _)| has(scope)).map(|(_, name)| *name).collect();
        f.write_str(&names.join("+"))
    }
}

/// A key as the configuration knows it: its hash alone.
///
/// A fast hash (SHA-256) is right here and would be wrong for passwords: a key is 256 random
/// bits, so nobody finds one by trying, however fast; a slow hash would only make each request
/// slow, and so give strangers a way to spend this node's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Who uses it, for people.
    pub name: String,
    /// What it opens.
    pub scopes: Scopes,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
}

impl ApiKey {
    /// Reads `NAME:SCOPES:HASH`.
    ///
    /// # Errors
    /// What is wrong, without a word of the text itself: it may be a key that was put there by mistake.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = text.split(':');
        let (Some(name), Some(scopes), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("must be NAME:SCOPES:HASH as `millgate gen-key NAME` prints it");
        };
        if !is_key_name(name) {
            return Err(
                "must have a name of 1 to 64 letters, digits, dots, hyphens and underscores",
            );
        }
        let scopes = Scopes::parse(scopes)
            .ok_or("must have scopes such as read+send, of read, send, admin and metrics")?;
        let hash = from_hex(hash)
            .ok_or("must have a hash of 64 hexadecimal digits, not the key itself")?;
        Ok(Self { name: name.to_owned(), scopes, hash })
    }
}

impl fmt::Display for ApiKey {
    /// The line of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.name, self.scopes)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a key may be called so.
#[must_use]
pub fn is_key_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let is_hash = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate().filter(|_| is_hash) {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    is_hash.then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00ff00000000000000000000000000000000000000000000000000000000cafe";

    #[test]
    fn a_line_goes_round() {
        for scopes in ["read", "read+send", "read+send+admin+metrics"] {
            let line = format!("back-end.1:{scopes}:{HASH}");
            let key = ApiKey::parse(&line).unwrap();
            assert_eq!(key.to_string(), line);
            assert_eq!((key.hash[1], key.hash[31]), (0xff, 0xfe));
        }
    }

    #[test]
    fn a_scope_allows_itself() {
        let may = |scopes: &str| {
            let scopes = Scopes::parse(scopes).unwrap();
            Scope::ALL.map(|(scope, _)| scopes.allow(scope))
        };
        assert_eq!(may("read"), [true, false, false, true], "who may read may see the metrics");
        assert_eq!(may("send"), [false, true, false, false]);
        assert_eq!(may("admin"), [false, false, true, false]);
        assert_eq!(may("metrics"), [false, false, false, true]);
    }

    #[test]
    fn what_is_no_line_is_refused_without_being_repeated() {
        for (line, said) in [
            (HASH.to_owned(), "NAME:SCOPES:HASH"),
            (format!("a:read:{HASH}:"), "NAME:SCOPES:HASH"),
            (format!(":read:{HASH}"), "a name"),
            (format!("a b:read:{HASH}"), "a name"),
            (format!("a::{HASH}"), "scopes"),
            (format!("a:read+write:{HASH}"), "scopes"),
            (format!("a:Read:{HASH}"), "scopes"),
            ("a:read:mg_secret".to_owned(), "64 hexadecimal"),
            (format!("a:read:{}", &HASH[1..]), "64 hexadecimal"),
            (format!("a:read:{}ä", &HASH[2..]), "64 hexadecimal"),
        ] {
            let complaint = ApiKey::parse(&line).unwrap_err();
            assert!(complaint.contains(said), "{line}: {complaint}");
            assert!(!complaint.contains("secret"));
        }
    }
}
