//! Who gets in: what a key opens and what a token grants.
//!
//! Invariant: nothing here knows a socket or what time it is; files are read when
//! an [`Access`] is made, and never again. No error and no `{:?}` shows a key or a token.

mod access;
mod grant;
mod issue;
mod keyring;
mod material;
mod verifier;

pub use access::Access;
pub use grant::Grant;
pub use issue::{Issuer, Order, new_key};
pub use keyring::Keyring;
pub use verifier::Verifier;

use crate::host::pem::PemError;
use std::path::PathBuf;

/// What follows `Bearer` in an `Authorization`; `None` for other schemes, which may be
/// between a caller and a proxy in front.
#[must_use]
pub fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// Why the settings are of no use, as one line that names the key of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A file cannot be read.
    #[error("{key}: {path}: {error}")]
    File {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It can be read, but what should be in it is not.
    #[error("{key}: {path}: {complaint}")]
    Content {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        complaint: String,
    },
    /// A PEM file is of no use.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A value that is of no use with the others.
    #[error("{key}: {complaint}")]
    Value {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        complaint: String,
    },
    /// The kernel has no random numbers, or a token could not be signed.
    #[error("{0}")]
    Issue(String),
}
