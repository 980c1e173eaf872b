//! How nodes prove to each other who they are: both sides of it.

use crate::config::{Cluster, Secret};
use crate::host::pem::{PemError, PemFile};
use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, CertificateError, RootCertStore, ServerConfig};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// The shared token and the TLS files, read once.
pub(in crate::control) struct Security {
    token: Secret,
    tls: Option<Pems>,
}

struct Pems {
    identity: Identity,
    authority: Certificate,
    server: Arc<ServerConfig>,
}

/// Why the settings are of no use, as one line that names the key.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum SecurityError {
    /// A file is of no use.
    #[error(transparent)]
    File(#[from] PemError),
    /// They are no certificates and key that belong together.
    #[error("cluster.tls_cert, cluster.tls_key, cluster.tls_ca: {0}")]
    Pem(String),
    /// The token cannot be written into a header.
    #[error("cluster.token: only visible ASCII letters can be sent")]
    Token,
}

impl Security {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// When one cannot be read or used, or the token cannot be sent.
    pub(in crate::control) fn load(cluster: &Cluster) -> Result<Self, SecurityError> {
        let tls = cluster.has_tls().then(|| Pems::load(cluster)).transpose()?;
        let security = Self { token: cluster.token.clone(), tls };
        if !cluster.token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecurityError::Token);
        }
        Ok(security)
    }

    /// What is wrong with the settings, if anything is: also a certificate that other nodes
    /// would refuse, because the authority of the cluster has not signed it.
    pub(in crate::control) fn faults(cluster: &Cluster) -> Option<String> {
        let is_good = Self::load(cluster).and_then(|_| match cluster.has_tls() {
            true => is_signed(cluster),
            false => Ok(()),
        });
        is_good.err().map(|error| error.to_string())
    }

    /// What `authorization` says on every call; `None` without a token.
    pub(in crate::control) fn authorization(&self) -> Option<String> {
        (!self.token.is_empty()).then(|| format!("Bearer {}", self.token.reveal()))
    }

    /// The same as metadata of a call, marked as not to be shown.
    pub(in crate::control) fn metadata(&self) -> Option<MetadataValue<Ascii>> {
        let mut value = MetadataValue::try_from(self.authorization()?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// For the server: clients must show a certificate of the cluster's authority.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        Some(TlsAcceptor::from(Arc::clone(&self.tls.as_ref()?.server)))
    }

    /// For clients: the server's certificate must name the address that is called.
    pub(in crate::control) fn client_tls(&self) -> Option<ClientTlsConfig> {
        let Pems { identity, authority, .. } = self.tls.as_ref()?;
        let tls = ClientTlsConfig::new().identity(identity.clone());
        Some(tls.ca_certificate(authority.clone()))
    }
}

impl Pems {
    fn load(cluster: &Cluster) -> Result<Self, SecurityError> {
        let cert = PemFile::read("cluster.tls_cert", &cluster.tls_cert)?;
        let key = PemFile::read("cluster.tls_key", &cluster.tls_key)?;
        let authority = PemFile::read("cluster.tls_ca", &cluster.tls_ca)?;
        let server = Arc::new(server(&cert, &key, &authority)?);
        let identity = Identity::from_pem(cert.into_bytes(), key.into_bytes());
        Ok(Self { identity, authority: Certificate::from_pem(authority.into_bytes()), server })
    }
}

/// What a server does that asks everybody for a certificate of the authority.
fn server(
    cert: &PemFile<'_>,
    key: &PemFile<'_>,
    authority: &PemFile<'_>,
) -> Result<ServerConfig, SecurityError> {
    let unusable = |error: &dyn std::error::Error| SecurityError::Pem(causes(error));
    let verifier = verifier(authority)?;
    let provider = Arc::new(ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(cert.certificates()?, key.private_key()?)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                key.complain("is not the private key of the certificate in cluster.tls_cert").into()
            }
            error => unusable(&error),
        })?;
    server.alpn_protocols.push(b"h2".to_vec());
    Ok(server)
}

/// Looks at the node's own certificate as another node does that is called by it. The time is not
/// looked at: a certificate that has ended is renewed in place.
fn is_signed(cluster: &Cluster) -> Result<(), SecurityError> {
    let chain = PemFile::read("cluster.tls_cert", &cluster.tls_cert)?;
    let certificates = chain.certificates()?;
    let authority = PemFile::read("cluster.tls_ca", &cluster.tls_ca)?;
    let Some((own, intermediates)) = certificates.split_first() else { return Ok(()) };
    let verdict = verifier(&authority)?.verify_client_cert(own, intermediates, UnixTime::now());
    match verdict {
        Err(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => {
            let authority = cluster.tls_ca.display();
            Err(chain
                .complain(format!("is not signed by the authority in {authority} (cluster.tls_ca)"))
                .into())
        }
        Err(rustls::Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        )) => Err(chain
            .complain(
                "is not for clients (extended key usage clientAuth), and nodes call each other",
            )
            .into()),
        _ => Ok(()),
    }
}

/// Judges certificates of callers.
fn verifier(authority: &PemFile<'_>) -> Result<Arc<dyn ClientCertVerifier>, SecurityError> {
    let unusable = |error: &dyn std::error::Error| SecurityError::Pem(causes(error));
    let mut roots = RootCertStore::empty();
    for root in authority.certificates()? {
        roots.add(root).map_err(|error| unusable(&error))?;
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unusable(&error))
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.is_some();
        f.debug_struct("Security").field("token", &self.token).field("tls", &tls).finish()
    }
}

/// An error and what it came from, in one line.
pub(in crate::control) fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
