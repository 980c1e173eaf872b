//! Tokens of users, as whoever keeps their accounts would issue them (RFC 7519).

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// Issues tokens with a shared secret. One is made for each login and kept nowhere.
#[derive(Clone)]
pub struct Issuer {
    header: Header,
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
    ttl: Duration,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(rename = "appID")]
    app: u32,
    exp: u64,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

impl Issuer {
    /// With this secret; tokens are good for `ttl`.
    ///
    /// # Errors
    /// When the algorithm is none of HS256, HS384, HS512.
    pub fn new(secret: &[u8], algorithm: &str, ttl: Duration) -> Result<Self, String> {
        let algorithm = match algorithm {
            "HS256" => Algorithm::HS256,
            "HS384" => Algorithm::HS384,
            "HS512" => Algorithm::HS512,
            other => return Err(format!("{other:?} is none of HS256, HS384, HS512")),
        };
        let (header, key) = (Header::new(algorithm), EncodingKey::from_secret(secret));
        Ok(Self { header, key, issuer: None, audience: None, ttl })
    }

    /// Says who issues them (`iss`) and whom they are for (`aud`).
    #[must_use]
    pub fn naming(mut self, issuer: Option<String>, audience: Option<String>) -> Self {
        (self.issuer, self.audience) = (issuer, audience);
        self
    }

    /// A token for a user in an app; `now` in unix seconds.
    #[must_use]
    pub fn issue(&self, user: &str, app: u32, now: u64) -> String {
        let claims = Claims {
            sub: user,
            app,
            exp: now.saturating_add(self.ttl.as_secs().max(1)),
            iat: now,
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        // Claims are plain JSON and the key fits the algorithm: it does not fail. Nothing is no token.
        encode(&self.header, &claims, &self.key).unwrap_or_default()
    }
}

/// Without the secret.
impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("header", &self.header.alg).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{Hmac, KeyInit, Mac};
    use serde_json::{Value, json};
    use sha2::Sha256;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_token_says_who_it_is_for_and_is_signed() {
        let issuer = Issuer::new(b"a secret", "HS256", HOUR).unwrap();
        let token = issuer.clone().naming(None, Some("chat".into())).issue("ann", 101, 1_000);
        let parts: Vec<&str> = token.split('.').collect();
        let json = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!(json(parts[0])["alg"], "HS256");
        let expected =
            json!({"sub": "ann", "appID": 101, "exp": 4_600, "iat": 1_000, "aud": "chat"});
        assert_eq!(json(parts[1]), expected);
        let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret").unwrap();
        mac.update(format!("{}.{}", parts[0], parts[1]).as_bytes());
        mac.verify_slice(&URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
        assert!(!format!("{issuer:?}").contains("secret"));
    }

    #[test]
    fn only_shared_secrets_are_known() {
        assert!(Issuer::new(b"x", "RS256", HOUR).unwrap_err().contains("HS512"));
    }
}
