//! Why somebody is not let in.

use std::fmt;

/// What is wrong with the token of a user; one cause each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TokenFault {
    /// There is none.
    Missing,
    /// It is no JSON Web Token, or a claim is of the wrong type.
    Malformed,
    /// It is signed with an algorithm that is not accepted.
    Algorithm,
    /// It is signed with a key that is not known here (`kid`).
    Key,
    /// Its signature is not that of the key.
    Signature,
    /// It says no end (`exp`), or that is not in the future.
    Expired,
    /// It is not good yet (`nbf`).
    NotYet,
    /// It is by somebody else (`iss`).
    Issuer,
    /// It is for somebody else (`aud`).
    Audience,
    /// It is another user's (`sub`).
    Subject,
    /// It is not for this app (`appID`).
    App,
}

impl TokenFault {
    /// Every fault with the name it has in the metrics.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Missing, "missing"),
        (Self::Malformed, "malformed"),
        (Self::Algorithm, "algorithm"),
        (Self::Key, "key"),
        (Self::Signature, "signature"),
        (Self::Expired, "expired"),
        (Self::NotYet, "not_yet"),
        (Self::Issuer, "issuer"),
        (Self::Audience, "audience"),
        (Self::Subject, "subject"),
        (Self::App, "app"),
    ];

    /// What is wrong, for people; names no part of the token.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "there is no token",
            Self::Malformed => "it is no JSON Web Token, or a claim is of the wrong type",
            Self::Algorithm => "it is signed with an algorithm that is not accepted (alg)",
            Self::Key => "it is signed with a key that is not known (kid)",
            Self::Signature => "its signature is not that of the key",
            Self::Expired => "its time is over, or it says no end (exp)",
            Self::NotYet => "its time has not come yet (nbf)",
            Self::Issuer => "it is by another issuer than auth.jwt.issuer (iss)",
            Self::Audience => "it is for another audience than auth.jwt.audience (aud)",
            Self::Subject => "it is for another user, or for none (sub)",
            Self::App => "it is not for this app, or for none (appID)",
        }
    }
}

/// Why a caller of the API is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Denied {
    /// No key was shown.
    Missing,
    /// The key that was shown is none of ours.
    Unknown,
    /// The key does not open this.
    Scope,
    /// A page of another origin asked where there are no keys.
    Origin,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it has no key",
            Self::Unknown => "its key is unknown",
            Self::Scope => "its key has not the scope",
            Self::Origin => "a page of another origin asked",
        })
    }
}

impl Denied {
    /// Every reason with the name it has in the metrics.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Missing, "missing"),
        (Self::Unknown, "unknown"),
        (Self::Scope, "scope"),
        (Self::Origin, "origin"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_the_order_of_their_numbers() {
        for (index, (fault, _)) in TokenFault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
        for (index, (denied, _)) in Denied::ALL.into_iter().enumerate() {
            assert_eq!(denied as usize, index);
        }
    }
}
