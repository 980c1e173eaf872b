//! What tokens are verified with: secrets, public keys, key sets.

use super::AuthError;
use crate::config::{Jwt, SHARED_SECRET_BYTES_MIN};
use crate::host::der::KeyKind;
use crate::host::pem::PemFile;
use crate::limits::{TOKEN_KEYS_MAX, TOKEN_TRIES_MAX};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fs;
use std::ops::RangeInclusive;
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

    /// Whether a token that names this key, or none, may be signed with it. A key that has a name
    /// is taken only by that.
    pub(super) fn is_meant(&self, named: Option<&str>) -> bool {
        self.id.as_deref().is_none_or(|id| named == Some(id))
    }
}

/// Keys that one token of an algorithm is tried with, at most: all that have no name, and those of
/// the name that it says.
fn tries(keys: &[Key], algorithm: Algorithm) -> usize {
    let mut nameless = 0;
    let mut named = HashMap::<&str, usize>::new();
    for key in keys.iter().filter(|key| key.is_for(algorithm)) {
        match &key.id {
            Some(id) => *named.entry(id).or_default() += 1,
            None => nameless += 1,
        }
    }
    nameless + named.into_values().max().unwrap_or(0)
}

/// Public-key signatures that one token may cost.
pub(super) fn costly_tries(keys: &[Key]) -> usize {
    let costly = [RSA, P256, ED25519].into_iter().flatten();
    costly.map(|algorithm| tries(keys, *algorithm)).max().unwrap_or(0)
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
        // Only a set can have so many.
        let mut all = [SHARED, RSA, P256, ED25519].into_iter().flatten();
        let has_too_many = |algorithm: &&Algorithm| tries(&keys, **algorithm) > TOKEN_TRIES_MAX;
        if let Some(algorithm) = all.find(has_too_many) {
            return Err(AuthError::Content {
                key: "auth.jwt.jwks",
                path: path.to_owned(),
                complaint: format!(
                    "one token may be signed with any of {} keys for {algorithm:?}, at most \
                     {TOKEN_TRIES_MAX} are tried: give each a kid of its own",
                    tries(&keys, *algorithm)
                ),
            });
        }
    }
    Ok(keys)
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, AuthError> {
    fs::read(path).map_err(|error| AuthError::File { key, path: path.to_owned(), error })
}

/// What is in a PEM file, alone or in a certificate, the file says.
fn public_key(key: &'static str, path: &Path) -> Result<Key, AuthError> {
    let file = PemFile::read(key, path)?;
    let (kind, content) = file.public_key()?;
    let (algorithms, decoding) = match kind {
        KeyKind::Rsa(bits) if RSA_BITS.contains(&bits) => {
            (RSA, DecodingKey::from_rsa_der(&content))
        }
        KeyKind::P256 => (P256, DecodingKey::from_ec_der(&content)),
        KeyKind::ED25519 => (ED25519, DecodingKey::from_ed_der(&content)),
        KeyKind::Rsa(_) => {
            let complaint = format!("there is {kind} in it, must have from 2048 to 8192 bits");
            return Err(file.complain(complaint).into());
        }
        kind => {
            let complaint =
                format!("there is {kind} in it, tokens are signed with RSA, P-256 or Ed25519");
            return Err(file.complain(complaint).into());
        }
    };
    Ok(Key::new(None, algorithms, decoding))
}

/// Signatures of other RSA keys are refused by the library, each of them, for that reason alone.
const RSA_BITS: RangeInclusive<usize> = 2_048..=8_192;

/// How many bytes so many digits of base64 stand for.
fn bytes_of(digits: &str) -> usize {
    digits.trim_end_matches('=').len() * 6 / 8
}

/// Whether a key of a set is a shared secret that can be found by trying. It is no key to be passed
/// over: tokens that anybody can make would be good the day it is taken for one.
fn is_short_secret(jwk: &Value) -> bool {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    text("kty") == Some("oct") && bytes_of(text("k").unwrap_or_default()) < SHARED_SECRET_BYTES_MIN
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
    // RFC 8259 §8.1: a reader may ignore a byte order mark.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&json);
    if json.trim_ascii().is_empty() {
        return Err(wrong("is empty".to_owned()));
    }
    // Not the whole error: it may quote what it stumbled over, and the set may hold a secret.
    let set: KeySet = serde_json::from_slice(json)
        .map_err(|error| wrong(format!("line {}: is no JSON Web Key Set", error.line())))?;
    let mut keys = Vec::new();
    for (at, jwk) in set.keys.iter().enumerate() {
        match key_of_set(jwk) {
            Ok(_) if is_short_secret(jwk) => {
                let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
                return Err(wrong(format!(
                    "the key {kid:?} is too short, must have at least {SHARED_SECRET_BYTES_MIN} bytes"
                )));
            }
            Ok(key) => keys.push(key),
            Err(why) => {
                let number = at + 1;
                let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
                tracing::info!(number, kid, why, "a key of auth.jwt.jwks is passed over");
            }
        }
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
    // Some write a zero in front of the modulus.
    let bits = text("n").map_or(0, bytes_of) * 8;
    if kind == RSA && !(*RSA_BITS.start()..=*RSA_BITS.end() + 8).contains(&bits) {
        return Err("its modulus has not from 2048 to 8192 bits");
    }
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
