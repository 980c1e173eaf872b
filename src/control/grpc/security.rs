//! How nodes prove to each other who they are: both sides of it.

use crate::config::{Cluster, Secret};
use crate::host::pem::{PemError, PemFile};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{self, CertificateError, RootCertStore, ServerConfig};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// The shared tokens and the TLS files. A reload replaces it as a whole: new connections and new
/// calls go by the new one, connections that are open stay.
pub(in crate::control) struct Security {
    token: Secret,
    /// Accepted as well, and never sent.
    previous: Secret,
    tls: Option<Pems>,
}

struct Pems {
    /// Where they were read, and what by.
    cluster: Cluster,
    /// The contents of the three files.
    texts: [Vec<u8>; 3],
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
    #[error("{0}: only visible ASCII letters can be sent")]
    Token(&'static str),
}

impl Security {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// When one cannot be read or used, or the token cannot be sent.
    pub(in crate::control) fn load(cluster: &Cluster) -> Result<Self, SecurityError> {
        let tls = cluster.has_tls().then(|| Pems::load(cluster)).transpose()?;
        let Cluster { token, previous_token, .. } = cluster;
        for (key, token) in [("cluster.token", token), ("cluster.previous_token", previous_token)] {
            if !token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(SecurityError::Token(key));
            }
        }
        Ok(Self { token: token.clone(), previous: previous_token.clone(), tls })
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

    /// Whether callers need a token.
    pub(super) fn asks_for_token(&self) -> bool {
        !self.token.is_empty()
    }

    /// Whether this is the token of the cluster, or the previous one.
    pub(super) fn is_token(&self, given: &[u8]) -> bool {
        let [is_current, is_previous] = [&self.token, &self.previous]
            .map(|token| !token.is_empty() && bool::from(given.ct_eq(token.reveal().as_bytes())));
        is_current || is_previous
    }

    /// What `authorization` says on every call, marked as not to be shown; `None` without a token.
    pub(in crate::control) fn metadata(&self) -> Option<MetadataValue<Ascii>> {
        if self.token.is_empty() {
            return None;
        }
        let mut value = MetadataValue::try_from(format!("Bearer {}", self.token.reveal())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Reads the files of the certificates again, if any of them has changed.
    pub(super) fn renewed(&self) -> Option<Result<Self, SecurityError>> {
        let Pems { cluster, texts, .. } = self.tls.as_ref()?;
        let now = Pems::read(cluster).map(|files| files.map(PemFile::into_bytes));
        (now.ok().as_ref() != Some(texts)).then(|| Self::load(cluster))
    }

    /// Whether any of the files says something else there.
    pub(in crate::control) fn has_other_certificates(&self, than: &Self) -> bool {
        let texts = |security: &Self| security.tls.as_ref().map(|tls| tls.texts.clone());
        texts(self) != texts(than)
    }

    /// Whether nodes show certificates to each other.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
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
    /// Certificate, key and authority.
    fn read(cluster: &Cluster) -> Result<[PemFile<'_>; 3], PemError> {
        Ok([
            PemFile::read("cluster.tls_cert", &cluster.tls_cert)?,
            PemFile::read("cluster.tls_key", &cluster.tls_key)?,
            PemFile::read("cluster.tls_ca", &cluster.tls_ca)?,
        ])
    }

    fn load(cluster: &Cluster) -> Result<Self, SecurityError> {
        let [cert, key, authority] = Self::read(cluster)?;
        let server = Arc::new(server(&cert, &key, &authority)?);
        let texts = [cert.into_bytes(), key.into_bytes(), authority.into_bytes()];
        let [cert, key, authority] = &texts;
        let (identity, authority) =
            (Identity::from_pem(cert, key), Certificate::from_pem(authority));
        Ok(Self { cluster: cluster.clone(), texts, identity, authority, server })
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
