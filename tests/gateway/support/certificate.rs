//! A certificate in files, and clients that trust it.

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A certificate for `localhost`, which vouches for itself, in `cert.pem` and `key.pem`.
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = Self { folder };
        certificate.renew();
        certificate
    }

    /// Puts another one into the same files.
    pub fn renew(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        fs::write(self.file("cert.pem"), made.cert.pem()).expect("a file");
        fs::write(self.file("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Clients that trust it, and speak these versions and inner protocols.
    pub fn trusting(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&str],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(self.file("cert.pem")).expect("a certificate");
        roots.add(own).expect("a root");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols =
            protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}
