//! Certificates and keys in PEM files, named as the configuration names them.

use super::der::{self, KeyKind};
use rustls::pki_types::pem::{self, PemObject, SectionKind};
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
    /// It can be read, but what is in it is of no use.
    #[error("{key}: {path}: {complaint}")]
    Content {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: String,
        /// What is missing or wrong.
        complaint: String,
    },
}

/// A PEM file that was read, and the key of the configuration that names it.
///
/// Text before, between and behind the blocks is passed over, as RFC 7468 wants it.
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
        let mut pem = fs::read(path).map_err(unreadable)?;
        // Editors of Windows put a mark in front, and the first line would not be seen behind it.
        if pem.starts_with(b"\xef\xbb\xbf") {
            pem.drain(..3);
        }
        Ok(Self { key, path, pem })
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
        let certificates = read.map_err(|_| self.broken())?;
        if certificates.is_empty() {
            return Err(self.lacks("certificate"));
        }
        let is_one = |certificate: &&CertificateDer<'_>| {
            der::public_key_of_certificate(certificate).is_some()
        };
        match certificates.iter().position(|certificate| !is_one(&certificate)) {
            Some(at) => Err(self.complain(format!("certificate {} in it cannot be read", at + 1))),
            None => Ok(certificates),
        }
    }

    /// The private key that is in it.
    ///
    /// # Errors
    /// [`PemError::Content`] if there is none, it is locked, or it is of a kind that TLS does
    /// not use here.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, PemError> {
        let key = PrivateKeyDer::from_pem_slice(&self.pem);
        if key.is_err() && self.is_locked() {
            return Err(self.complain(
                "the private key in it is locked with a passphrase, which nobody can enter here: \
                 unlock it with `openssl pkey -in LOCKED -out UNLOCKED`",
            ));
        }
        let key = key.map_err(|error| match error {
            pem::Error::NoItemsFound => self.lacks("private key"),
            _ => self.broken(),
        })?;
        let kind = match &key {
            PrivateKeyDer::Pkcs8(key) => der::private_key(key.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(key) => der::elliptic_private_key(key.secret_sec1_der()),
            PrivateKeyDer::Pkcs1(key) => der::rsa_private_key(key.secret_pkcs1_der()),
            _ => None,
        };
        match kind {
            Some(KeyKind::Named("P-256" | "P-384" | "Ed25519") | KeyKind::Rsa(2_048..=4_096)) | None => {
                Ok(key)
            }
            Some(kind) => Err(self.complain(format!(
                "there is {kind} in it, TLS takes RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519"
            ))),
        }
    }

    /// The public key that is in it, alone or in a certificate, as its algorithm writes it.
    ///
    /// # Errors
    /// [`PemError::Content`] if there is none.
    pub fn public_key(&self) -> Result<(KeyKind, Vec<u8>), PemError> {
        // The older name of RSA keys, which the reader does not know.
        let text = String::from_utf8_lossy(&self.pem).replace("RSA PUBLIC KEY", "PUBLIC KEY");
        for block in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let found = match block.map_err(|_| self.broken())? {
                (SectionKind::PublicKey, der) => public_key(&der),
                (SectionKind::Certificate, der) => {
                    der::public_key_of_certificate(&der).and_then(public_key)
                }
                _ => continue,
            };
            return found.ok_or_else(|| self.complain("the public key in it cannot be read"));
        }
        Err(self.lacks("public key"))
    }

    /// A complaint about the file as a whole.
    pub fn complain(&self, complaint: impl Into<String>) -> PemError {
        PemError::Content {
            key: self.key,
            path: self.path.display().to_string(),
            complaint: complaint.into(),
        }
    }

    /// PKCS#8 tells it by its name, the older forms by a line above the key.
    fn is_locked(&self) -> bool {
        self.blocks().any(|name| name == "ENCRYPTED PRIVATE KEY")
            || self.lines().any(|line| line == b"Proc-Type: 4,ENCRYPTED")
    }

    fn broken(&self) -> PemError {
        self.complain("a block between BEGIN and END in it cannot be read: it is cut or no base64")
    }

    /// Something is not there; what is there instead often tells what went wrong.
    fn lacks(&self, what: &str) -> PemError {
        let instead = if self.pem.trim_ascii().is_empty() {
            ", it is empty".to_owned()
        } else if self.pem.starts_with(&[0x30, 0x82]) {
            ", it is binary (DER or PKCS#12): PEM is wanted, which `openssl` makes of it".to_owned()
        } else {
            let mut names: Vec<_> = self.blocks().collect();
            names.dedup();
            match names.as_slice() {
                [] => ", and no other block of PEM (`-----BEGIN …`)".to_owned(),
                names => format!(" but {}", names.join(", ")),
            }
        };
        self.complain(format!("there is no {what} in it{instead}"))
    }

    /// What the blocks are called.
    fn blocks(&self) -> impl Iterator<Item = String> {
        self.lines().filter_map(|line| {
            let name = line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----")?;
            Some(String::from_utf8_lossy(name.get(..NAME_BYTES_MAX).unwrap_or(name)).into_owned())
        })
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii)
    }
}

/// What stands in a block `PUBLIC KEY`, or should.
fn public_key(der: &[u8]) -> Option<(KeyKind, Vec<u8>)> {
    let (kind, key) = match der::public_key(der) {
        Some(found) => found,
        None => (KeyKind::Rsa(der::rsa_bits(der)?), der),
    };
    Some((kind, key.to_vec()))
}

/// As much of a block's name as is repeated; the longest that is used has fewer.
const NAME_BYTES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `text` and says what `read` complains of.
    fn complaint(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pem");
        fs::write(&path, text).unwrap();
        let file = PemFile::read("listen.tls_key", &path).unwrap();
        match file.private_key() {
            Ok(_) => String::new(),
            Err(error) => error.to_string().replace(&path.display().to_string(), "a.pem"),
        }
    }

    fn block(name: &str, content: &str) -> String {
        format!("-----BEGIN {name}-----\n{content}\n-----END {name}-----\n")
    }

    #[test]
    fn a_private_key_that_is_of_no_use_is_named() {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let text = format!("Bag Attributes\n  friendlyName: a\n{}text\n", key.serialize_pem());
        assert_eq!(complaint(&text), "", "with text around it");
        assert_eq!(complaint(&format!("\u{feff}{}", key.serialize_pem())), "");
        let windows = key.serialize_pem().replace('\n', "\r\n");
        assert_eq!(complaint(&windows), "");
        let old = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA";
        for (text, said) in [
            (block("ENCRYPTED PRIVATE KEY", "MAAA"), "is locked with a passphrase"),
            (block("RSA PRIVATE KEY", old), "is locked with a passphrase"),
            (block("CERTIFICATE", "MAAA"), "there is no private key in it but CERTIFICATE"),
            (block("PRIVATE KEY", "M!"), "cannot be read: it is cut or no base64"),
            (String::new(), "there is no private key in it, it is empty"),
            ("secret\n".to_owned(), "there is no private key in it, and no other block of PEM"),
        ] {
            let complaint = complaint(&text);
            assert!(complaint.starts_with("listen.tls_key: a.pem: "), "{complaint}");
            assert!(complaint.contains(said) && !complaint.contains("secret"), "{complaint}");
        }
    }
}
