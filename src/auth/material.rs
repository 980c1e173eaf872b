//! What tokens are verified with: secrets, public keys, key sets.

use super::AuthError;
use crate::config::Jwt;
use crate::limits::TOKEN_KEYS_MAX;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// One key, and what it is for.
pub(super) struct Key {
    /// What a token calls it by; `None` is tried for any.
    id: Option<String>,
    algorithms: &'static [Algorithm],
    pub(super) decoding: DecodingKey,
}

const SHARED: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[Algorithm::RS256];
const P256: &[Algorithm] = &[Algorithm::ES256];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

impl Key {
    fn new(id: Option<String>, algorithms: &'static [Algorithm], decoding: DecodingKey) -> Self {
        Self { id, algorithms, decoding }
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
        self.algorithms.iter().any(|algorithm| !SHARED.contains(algorithm))
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

/// A key set; its other members are ignored (RFC 7517 §5).
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// The keys of a set that verify signatures by an algorithm that is known here. RFC 7517 §5: all
/// others are passed over, whatever they are, and so is a key that lacks what its kind needs.
fn key_set(path: &Path) -> Result<Vec<Key>, AuthError> {
    let wrong = |complaint: String| AuthError::Content {
        key: "auth.jwt.jwks",
        path: path.to_owned(),
        complaint,
    };
    let json = read("auth.jwt.jwks", path)?;
    // Not the whole error: it may quote what it stumbled over, and the set may hold a secret.
    let set: KeySet = serde_json::from_slice(&json)
        .map_err(|error| wrong(format!("line {}: is no JSON Web Key Set", error.line())))?;
    let mut keys = Vec::new();
    for (at, jwk) in set.keys.iter().enumerate() {
        match key_of_set(jwk) {
            Ok(key) => keys.push(key),
            Err(why) => {
                let number = at + 1;
                let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
                tracing::info!(number, kid, why, "a key of auth.jwt.jwks is passed over");
            }
        }
    }
    if keys.len() > 1 && keys.iter().any(|key| key.id.is_none()) {
        return Err(wrong("one of several keys has no kid to be known by".to_owned()));
    }
    match keys.len() {
        0 => Err(wrong("there is no key for signatures in it that is known here".to_owned())),
        1..=TOKEN_KEYS_MAX => Ok(keys),
        many => Err(wrong(format!("has {many} keys, at most {TOKEN_KEYS_MAX} are taken"))),
    }
}

/// Reads one key of a set, or says why it is passed over.
///
/// Only the members that the kind of key needs reach the library: it refuses a key for any
/// member whose value it does not know.
fn key_of_set(jwk: &Value) -> Result<Key, &'static str> {
    let jwk = jwk.as_object().ok_or("it is no object")?;
    if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err("its use is not sig");
    }
    if let Some(operations) = jwk.get("key_ops") {
        let verifies =
            operations.as_array().is_some_and(|list| list.iter().any(|name| name == "verify"));
        if !verifies {
            return Err("its key_ops have no verify");
        }
    }
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let (kind, needed): (_, &[&str]) = match (text("kty"), text("crv")) {
        (Some("oct"), _) => (SHARED, &["kty", "k"]),
        (Some("RSA"), _) => (RSA, &["kty", "n", "e"]),
        (Some("EC"), Some("P-256")) => (P256, &["kty", "crv", "x", "y"]),
        (Some("OKP"), Some("Ed25519")) => (ED25519, &["kty", "crv", "x"]),
        _ => return Err("its kty, or its crv, is none that is known here"),
    };
    let algorithms = match jwk.get("alg") {
        None => kind,
        Some(name) => {
            algorithms_named(kind, name).ok_or("its alg is none that is known for its kty")?
        }
    };
    let id = match jwk.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()).filter(|id| !id.is_empty()),
        Some(_) => return Err("its kid is no text"),
    };
    let members = needed.iter().map(|name| Some(((*name).to_owned(), jwk.get(*name)?.clone())));
    let members: Option<Map<_, _>> = members.collect();
    let members = members.ok_or("it lacks a member that its kty needs")?;
    let decoding = serde_json::from_value::<Jwk>(Value::Object(members))
        .ok()
        .and_then(|jwk| DecodingKey::from_jwk(&jwk).ok())
        .ok_or("a member that its kty needs cannot be read")?;
    Ok(Key::new(id, algorithms, decoding))
}

/// The algorithm of these that a key names as the only one it is for (RFC 7517 §4.4).
fn algorithms_named(kind: &'static [Algorithm], name: &Value) -> Option<&'static [Algorithm]> {
    let name = match name.as_str()? {
        // RFC 9864 names the curve.
        "Ed25519" => "EdDSA",
        name => name,
    };
    let named: Algorithm = name.parse().ok()?;
    let at = kind.iter().position(|algorithm| *algorithm == named)?;
    kind.get(at..=at)
}
