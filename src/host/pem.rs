//! Certificates and keys in PEM files, named as the configuration names them.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::{fs, io};

/// Why a file is of no use, as one line that names the key.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It cannot be read.
    #[error("{key}: {path}: {error}")]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: String,
        /// What the host says.
        error: io::Error,
    },
    /// It can be read, but what should be in it is not.
    #[error("{key}: {path}: there is no {what} in it")]
    Content {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: String,
        /// What should be there.
        what: &'static str,
    },
}

/// A PEM file that was read, and the key of the configuration that names it.
pub struct PemFile<'a> {
    key: &'static str,
    path: &'a Path,
    pem: Vec<u8>,
}

impl<'a> PemFile<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// [`PemError::File`] when the host says no.
    pub fn read(key: &'static str, path: &'a Path) -> Result<Self, PemError> {
        let unreadable = |error| PemError::File { key, path: path.display().to_string(), error };
        Ok(Self { key, path, pem: fs::read(path).map_err(unreadable)? })
    }

    /// Its text.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.pem
    }

    /// All certificates that are in it, at least one.
    ///
    /// # Errors
    /// [`PemError::Content`] if there is none, or one that cannot be read.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PemError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.pem).collect();
        let some = read.ok().filter(|certificates| !certificates.is_empty());
        some.ok_or_else(|| self.lacks("certificate"))
    }

    /// The private key that is in it.
    ///
    /// # Errors
    /// [`PemError::Content`] if there is none.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, PemError> {
        PrivateKeyDer::from_pem_slice(&self.pem).map_err(|_| self.lacks("private key"))
    }

    fn lacks(&self, what: &'static str) -> PemError {
        PemError::Content { key: self.key, path: self.path.display().to_string(), what }
    }
}
