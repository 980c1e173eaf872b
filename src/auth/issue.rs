//! New keys and tokens, for the operator's own hand.

use super::AuthError;
use crate::config::{ApiKey, Jwt, Scopes};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// Makes a key of 256 random bits, to be shown once, and what the configuration gets: its hash.
///
/// # Errors
/// When the kernel has no random numbers.
pub fn new_key(name: &str, scopes: Scopes) -> Result<(String, ApiKey), AuthError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| AuthError::Issue(format!("no random numbers: {error}")))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // Known by its beginning, so that scanners for leaked secrets can find it, and so that it
    // is never taken for a hash.
    let key = format!("mg_{digits}");
    let hash = Sha256::digest(key.as_bytes()).into();
    Ok((key, ApiKey { name: name.to_owned(), scopes, hash }))
}

/// Whom a token is for.
#[derive(Clone, Debug)]
pub struct Order {
    /// The user.
    pub user: String,
    /// The apps.
    pub apps: Vec<u32>,
    /// For how many seconds.
    pub ttl_seconds: u64,
    /// What the key is called by in a key set.
    pub key_id: Option<String>,
}

/// Signs tokens.
pub struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    issuer: String,
    audience: String,
}

impl Issuer {
    /// With the secret of the configuration, or with a private key from a PEM file (PKCS#8).
    ///
    /// # Errors
    /// When there is no secret, or the file holds no such key.
    pub fn new(jwt: &Jwt, private_key: Option<&Path>) -> Result<Self, AuthError> {
        let (algorithm, key) = match private_key {
            Some(path) => private(path)?,
            None if jwt.secret.is_empty() => {
                return Err(AuthError::Value {
                    key: "auth.jwt.secret",
                    complaint: "is empty: name the issuer's key with --private-key".to_owned(),
                });
            }
            None => {
                (shared_algorithm(jwt), EncodingKey::from_secret(jwt.secret.reveal().as_bytes()))
            }
        };
        let (issuer, audience) = (jwt.issuer.clone(), jwt.audience.clone());
        Ok(Self { algorithm, key, issuer, audience })
    }

    /// Signs a token that is good from `now`, in unix seconds.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, order: &Order, now: u64) -> Result<String, AuthError> {
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&order.key_id);
        let mut claims = json!({
            "sub": order.user,
            "appID": order.apps,
            "iat": now,
            "exp": now.saturating_add(order.ttl_seconds),
        });
        for (name, value) in [("iss", &self.issuer), ("aud", &self.audience)] {
            if !value.is_empty() {
                claims[name] = value.as_str().into();
            }
        }
        encode(&header, &claims, &self.key)
            .map_err(|error| AuthError::Issue(format!("the token cannot be signed: {error}")))
    }
}

/// The first one that is accepted.
fn shared_algorithm(jwt: &Jwt) -> Algorithm {
    let shared = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    let mut accepted = jwt.algorithms.iter().filter_map(|name| name.parse().ok());
    accepted.find(|algorithm| shared.contains(algorithm)).unwrap_or(Algorithm::HS256)
}

type Reader = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;

fn private(path: &Path) -> Result<(Algorithm, EncodingKey), AuthError> {
    let key = "--private-key";
    let pem =
        fs::read(path).map_err(|error| AuthError::File { key, path: path.to_owned(), error })?;
    let readers: [(Reader, Algorithm); 3] = [
        (EncodingKey::from_rsa_pem, Algorithm::RS256),
        (EncodingKey::from_ec_pem, Algorithm::ES256),
        (EncodingKey::from_ed_pem, Algorithm::EdDSA),
    ];
    let read =
        readers.into_iter().find_map(|(read, algorithm)| Some((algorithm, read(&pem).ok()?)));
    read.ok_or_else(|| AuthError::Content {
        key,
        path: path.to_owned(),
        complaint: "there is no private key of RSA, P-256 or Ed25519 in it (PEM, PKCS#8)"
            .to_owned(),
    })
}
