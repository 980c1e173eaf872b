//! Which tokens are good.

use super::material::{Key, costly_tries, load};
use super::{AuthError, Grant};
use crate::config::Jwt;
use crate::id::{AppId, UserId};
use crate::limits::TOKEN_BYTES_MAX;
use crate::metrics::TokenFault;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::fmt;

/// Judges tokens by what `[auth.jwt]` says. The time is given; the library verifies signatures
/// and reads neither header nor claims: it refuses header fields that are no texts.
///
/// Each key verifies the algorithms it is for and no other: a public key, which everybody may
/// know, can never be taken for a shared secret, and `none` is the algorithm of no key.
pub struct Verifier {
    keys: Vec<Key>,
    signatures_per_token: u32,
    /// `None` accepts all that the keys are for.
    algorithms: Option<Vec<Algorithm>>,
    issuer: String,
    audience: String,
    leeway_seconds: u64,
}

/// What is looked at in a header. RFC 7515 §4: fields that are not understood are ignored, of
/// whatever type they are.
#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

/// The parts of a token, as they stand in it.
struct Parts<'t> {
    header: &'t str,
    claims: &'t str,
    /// What the signature is made of: header and claims with the dot between them.
    signed: &'t str,
    signature: &'t str,
}

impl<'t> Parts<'t> {
    fn of(token: &'t str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        // A further dot is no digit of base64, so the claims cannot be read then.
        Some(Self { header, claims, signed, signature })
    }
}

/// Reads a part: JSON in base64.
fn read<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// What is looked at in a token; anything else may be in it as well.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    /// RFC 7519 lets times have fractions.
    exp: Option<f64>,
    nbf: Option<f64>,
    iss: Option<String>,
    aud: Option<OneOrMany<String>>,
    #[serde(rename = "appID")]
    apps: Option<OneOrMany<u32>>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Verifier {
    /// Reads the keys.
    ///
    /// # Errors
    /// When a file cannot be read or used, or an algorithm has no key.
    pub fn load(jwt: &Jwt) -> Result<Self, AuthError> {
        let keys = load(jwt)?;
        let mut algorithms = Vec::new();
        for name in &jwt.algorithms {
            let known: Option<Algorithm> = name.parse().ok();
            let used = known.filter(|name| keys.iter().any(|key| key.is_for(*name)));
            algorithms.push(used.ok_or_else(|| AuthError::Value {
                key: "auth.jwt.algorithms",
                complaint: format!("{name} is in the list, but there is no key for it"),
            })?);
        }
        let signatures_per_token = u32::try_from(costly_tries(&keys)).unwrap_or(u32::MAX);
        Ok(Self {
            keys,
            signatures_per_token,
            algorithms: (!algorithms.is_empty()).then_some(algorithms),
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
            leeway_seconds: jwt.leeway.as_secs(),
        })
    }

    /// Public-key signatures that one token may cost, of tens of microseconds each: as many as
    /// there are keys that it may be signed with. 0 if all keys are shared secrets, which cost no
    /// more than reading the message that the token came in.
    #[must_use]
    pub fn signatures_per_token(&self) -> u32 {
        self.signatures_per_token
    }

    /// Judges a token at the time `now`, in unix seconds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, token: &str, now: u64) -> Result<Grant, TokenFault> {
        if token.is_empty() {
            return Err(TokenFault::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Malformed);
        }
        let claims = self.open(token)?;
        let (now, leeway) = (now as f64, self.leeway_seconds as f64);
        let expires = claims.exp.ok_or(TokenFault::Expired)?.floor() + leeway;
        if expires <= now {
            return Err(TokenFault::Expired);
        }
        if claims.nbf.is_some_and(|begin| begin > now + leeway) {
            return Err(TokenFault::NotYet);
        }
        if !self.issuer.is_empty() && claims.iss.as_ref() != Some(&self.issuer) {
            return Err(TokenFault::Issuer);
        }
        // RFC 7519 §4.1.3: who is not named in an audience must refuse the token.
        let audience = claims.aud.as_ref().map_or(&[][..], OneOrMany::as_slice);
        let is_meant = match self.audience.as_str() {
            "" => audience.is_empty(),
            own => audience.iter().any(|name| name == own),
        };
        if !is_meant {
            return Err(TokenFault::Audience);
        }
        let user = claims.sub.filter(|sub| !sub.is_empty()).ok_or(TokenFault::Subject)?;
        let apps = claims.apps.ok_or(TokenFault::App)?;
        let apps = apps.as_slice().iter().copied().map(AppId).collect();
        // What is beyond the range ends at its edge, which is long after us.
        Ok(Grant { user: UserId::from(user), apps, expires: expires as u64 })
    }

    /// What header and claims say, as JSON, be they true or not; `None` if it is no token.
    #[must_use]
    pub fn show(&self, token: &str) -> Option<(String, String)> {
        let parts = Parts::of(token)?;
        let show = |part| Some(read::<serde_json::Value>(part)?.to_string());
        Some((show(parts.header)?, show(parts.claims)?))
    }

    /// The claims of a token whose signature is good.
    fn open(&self, token: &str) -> Result<Claims, TokenFault> {
        let parts = Parts::of(token).ok_or(TokenFault::Malformed)?;
        let header: Header = read(parts.header).ok_or(TokenFault::Malformed)?;
        // RFC 7515 §4.1.11: what is marked as critical has to be understood, and none of it is.
        if header.crit.is_some() {
            return Err(TokenFault::Malformed);
        }
        let is_accepted = |list: &Vec<Algorithm>| list.contains(&header.alg);
        if !self.algorithms.as_ref().is_none_or(is_accepted) {
            return Err(TokenFault::Algorithm);
        }
        let mut of_algorithm = self.keys.iter().filter(|key| key.is_for(header.alg)).peekable();
        if of_algorithm.peek().is_none() {
            return Err(TokenFault::Algorithm);
        }
        let mut fault = TokenFault::Key;
        for key in of_algorithm.filter(|key| key.is_meant(header.kid.as_deref())) {
            let signed = parts.signed.as_bytes();
            match crypto::verify(parts.signature, signed, &key.decoding, header.alg) {
                Ok(true) => return read(parts.claims).ok_or(TokenFault::Malformed),
                Ok(false) => fault = TokenFault::Signature,
                Err(_) => return Err(TokenFault::Malformed),
            }
        }
        Err(fault)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
