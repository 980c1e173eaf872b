//! The certificate that this node shows to clients, and to callers of its API.

use super::pem::{PemError, PemFile};
use crate::config::Listen;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::NoServerSessionStorage;
use std::path::PathBuf;
use std::sync::Arc;

/// Why listeners with TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is of no use.
    #[error(transparent)]
    File(#[from] PemError),
    /// None is named.
    #[error("listeners with tls need listen.tls_cert and listen.tls_key")]
    Missing,
    /// They are no certificate and key that belong together.
    #[error("listen.tls_key: {}: is not the private key of the certificate in {} (listen.tls_cert)", key.display(), cert.display())]
    Pair {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        cert: PathBuf,
    },
    /// The library refuses them for another reason.
    #[error("listen.tls_cert, listen.tls_key: {0}")]
    Refused(#[from] rustls::Error),
}

/// Reads the certificate and the key that the configuration names; `None` if it names none.
///
/// TLS 1.2 and 1.3, nothing but HTTP/1.1 inside. Sessions are resumed by tickets that clients
/// keep, so that they cost no memory here.
///
/// # Errors
/// When a file cannot be read or used.
pub fn load(listen: &Listen) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    if listen.tls_cert.as_os_str().is_empty() {
        // The listeners are those that run; the files may have been taken away since.
        let is_wanted = listen.websocket.have_tls() || listen.http.have_tls();
        return if is_wanted { Err(TlsError::Missing) } else { Ok(None) };
    }
    let cert = PemFile::read("listen.tls_cert", &listen.tls_cert)?;
    let key = PemFile::read("listen.tls_key", &listen.tls_key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(cert.certificates()?, key.private_key()?)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Pair { key: listen.tls_key.clone(), cert: listen.tls_cert.clone() }
            }
            error => error.into(),
        })?;
    config.alpn_protocols.push(b"http/1.1".to_vec());
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(Some(Arc::new(config)))
}
