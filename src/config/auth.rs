//! Who gets in: callers of the API by keys, users by tokens, pages by their origin.

use super::Secret;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A secret that signs tokens has as many bytes as the hash, as RFC 7518 §3.2 demands.
pub const SHARED_SECRET_BYTES_MIN: usize = 32;

/// Who may do what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Keys of the HTTP API and of gRPC, each `NAME:SCOPES:HASH` as `millgate gen-key`
    /// prints it ([`super::ApiKey`]); at most 64. Without any, who reaches the API may use it.
    pub keys: Vec<String>,
    /// File of more of them, one a line; empty lines and those that begin with `#` are passed over.
    pub keys_file: PathBuf,
    /// Open `listen.http` beyond loopback without keys: whoever reaches it can send to every user.
    pub open_api: bool,
    /// Origins whose pages may connect and read answers of the API, with patterns
    /// ([`super::Origins`]); at most 256. Empty: pages of all origins may connect, and those of
    /// other origins read no answer.
    pub allowed_origins: Vec<String>,
    /// Let clients use `send` although no tokens are wanted: under any name they like.
    pub send_without_token: bool,
    /// Tokens of users; absent means that a login needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
}

impl Auth {
    /// Whether clients may send to each other over their WebSockets.
    #[must_use]
    pub fn clients_send(&self) -> bool {
        self.jwt.is_some() || self.send_without_token
    }
}

/// The tokens that users show: which are good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jwt {
    /// Shared with whoever issues tokens, for HS256, HS384 and HS512; at least 32 bytes. Empty means none.
    pub secret: Secret,
    /// File that holds it, instead; one newline at its end does not count.
    pub secret_file: PathBuf,
    /// An earlier one that is still good.
    pub previous_secret: Secret,
    /// File that holds it, instead.
    pub previous_secret_file: PathBuf,
    /// PEM file of the issuer's public key: RSA for RS256, P-256 for ES256, Ed25519 for `EdDSA`.
    pub public_key: PathBuf,
    /// The same of an earlier one that is still good.
    pub previous_public_key: PathBuf,
    /// File of a JSON Web Key Set; a token says by `kid` which of its keys it is signed with.
    pub jwks: PathBuf,
    /// Algorithms that are accepted; empty means all that the keys are for.
    pub algorithms: Vec<String>,
    /// What `iss` has to be; empty means anything.
    pub issuer: String,
    /// What `aud` has to contain; empty means that a token must not have one.
    pub audience: String,
    /// By how much the issuer's clock may differ. At most 10 minutes.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            secret: Secret::default(),
            secret_file: PathBuf::new(),
            previous_secret: Secret::default(),
            previous_secret_file: PathBuf::new(),
            public_key: PathBuf::new(),
            previous_public_key: PathBuf::new(),
            jwks: PathBuf::new(),
            algorithms: Vec::new(),
            issuer: String::new(),
            audience: String::new(),
            leeway: Duration::from_secs(30),
        }
    }
}

impl Jwt {
    /// The secrets that are set, each with its key in the configuration.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        let all = [
            ("auth.jwt.secret", &self.secret),
            ("auth.jwt.previous_secret", &self.previous_secret),
        ];
        all.into_iter().filter(|(_, secret)| !secret.is_empty())
    }

    /// The files of public keys that are set, each with its key in the configuration.
    pub fn public_keys(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [
            ("auth.jwt.public_key", self.public_key.as_path()),
            ("auth.jwt.previous_public_key", self.previous_public_key.as_path()),
        ];
        all.into_iter().filter(|(_, path)| !path.as_os_str().is_empty())
    }

    /// The file of the key set, if there is one.
    #[must_use]
    pub fn key_set(&self) -> Option<&Path> {
        (!self.jwks.as_os_str().is_empty()).then_some(self.jwks.as_path())
    }
}
