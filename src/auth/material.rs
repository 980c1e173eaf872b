//! What tokens are verified with: secrets, public keys, key sets.

use super::AuthError;
use crate::config::Jwt;
use crate::limits::TOKEN_KEYS_MAX;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use std::fs;
use std::path::Path;

/// One key, and what it is for.
pub(super) struct Key {
    /// What a token calls it by; `None` is tried for any.
    id: Option<String>,
    algorithms: &'static [Algorithm],
    pub(super) decoding: DecodingKey,
    pub(super) validation: Validation,
}

const SHARED: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[Algorithm::RS256];
const P256: &[Algorithm] = &[Algorithm::ES256];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

impl Key {
    fn new(id: Option<String>, algorithms: &'static [Algorithm], decoding: DecodingKey) -> Self {
        // Only the signature is left to the library: the claims are judged by the time we are given.
        let mut validation = Validation::new(algorithms[0]);
        validation.algorithms = algorithms.to_vec();
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self { id, algorithms, decoding, validation }
    }

    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether a token that names this key, or none, may be signed with it. A key of a set
    /// is taken only by its name.
    pub(super) fn is_meant(&self, named: Option<&str>) -> bool {
        self.id.as_deref().is_none_or(|id| named == Some(id))
    }

    pub(super) fn is_public(&self) -> bool {
        self.algorithms != SHARED
    }
}

/// All keys that the configuration names.
pub(super) fn load(jwt: &Jwt) -> Result<Vec<Key>, AuthError> {
    let secrets = jwt.secrets().map(|(_, secret)| {
        Key::new(None, SHARED, DecodingKey::from_secret(secret.reveal().as_bytes()))
    });
    let mut keys: Vec<Key> = secrets.collect();
    for (key, path) in jwt.public_keys() {
        keys.push(public_key(key, path)?);
    }
    if let Some(path) = jwt.key_set() {
        keys.extend(key_set(path)?);
    }
    Ok(keys)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, AuthError> {
    fs::read(path).map_err(|error| AuthError::File { key, path: path.to_owned(), error })
}

type Reader = fn(&[u8]) -> jsonwebtoken::errors::Result<DecodingKey>;

/// What is in a PEM file, the file says: which reader takes it is what it is.
fn public_key(key: &'static str, path: &Path) -> Result<Key, AuthError> {
    let pem = read(key, path)?;
    let readers: [(Reader, &'static [Algorithm]); 3] = [
        (DecodingKey::from_rsa_pem, RSA),
        (DecodingKey::from_ec_pem, P256),
        (DecodingKey::from_ed_pem, ED25519),
    ];
    let read = readers
        .into_iter()
        .find_map(|(read, algorithms)| Some(Key::new(None, algorithms, read(&pem).ok()?)));
    // The library reads other curves too, and would find out at the first token.
    let read = read.filter(|key| !key.is_for(Algorithm::ES256) || is_p256(&pem));
    read.ok_or_else(|| AuthError::Content {
        key,
        path: path.to_owned(),
        complaint: "there is no public key of RSA, P-256 or Ed25519 in it (PEM)".to_owned(),
    })
}

/// Whether an elliptic key in a PEM file is of the curve P-256: then, and only then, its
/// DER has 91 bytes, which are 124 digits in base64.
fn is_p256(pem: &[u8]) -> bool {
    let lines = pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.starts_with(b"-")).map(<[u8]>::len).sum::<usize>() == 124
}

/// The keys of a set that are for signatures, of the kinds that are known here.
fn key_set(path: &Path) -> Result<Vec<Key>, AuthError> {
    let wrong = |complaint: String| AuthError::Content {
        key: "auth.jwt.jwks",
        path: path.to_owned(),
        complaint,
    };
    let json = read("auth.jwt.jwks", path)?;
    // Not the whole error: it may quote what it stumbled over, and the set may hold a secret.
    let set: JwkSet = serde_json::from_slice(&json)
        .map_err(|error| wrong(format!("line {}: is no JSON Web Key Set", error.line())))?;
    let mut keys = Vec::new();
    for jwk in &set.keys {
        let is_for_signatures =
            !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
        let Some(algorithms) = algorithms_of(jwk).filter(|_| is_for_signatures) else { continue };
        let id = jwk.common.key_id.clone();
        let named = id.as_deref().unwrap_or_default().to_owned();
        if named.is_empty() && set.keys.len() > 1 {
            return Err(wrong("one of several keys has no kid to be known by".to_owned()));
        }
        let decoding = DecodingKey::from_jwk(jwk)
            .map_err(|_| wrong(format!("the key {named:?} cannot be used")))?;
        keys.push(Key::new(id.filter(|id| !id.is_empty()), algorithms, decoding));
    }
    match keys.len() {
        0 => Err(wrong("there is no key for signatures in it that is known here".to_owned())),
        1..=TOKEN_KEYS_MAX => Ok(keys),
        many => Err(wrong(format!("has {many} keys, at most {TOKEN_KEYS_MAX} are taken"))),
    }
}

/// What a key is for, by its kind: what a token says cannot change that.
fn algorithms_of(jwk: &Jwk) -> Option<&'static [Algorithm]> {
    match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => Some(SHARED),
        AlgorithmParameters::RSA(_) => Some(RSA),
        AlgorithmParameters::EllipticCurve(parameters) => {
            (parameters.curve == EllipticCurve::P256).then_some(P256)
        }
        AlgorithmParameters::OctetKeyPair(_) => Some(ED25519),
    }
}
