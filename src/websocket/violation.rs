//! What a client must not do.

use super::code::{INVALID_DATA, PROTOCOL, TOO_BIG};
use std::fmt;

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
