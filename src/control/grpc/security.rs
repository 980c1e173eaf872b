//! How nodes prove to each other who they are: both sides of it.

use crate::config::{Cluster, Secret};
use std::path::Path;
use std::time::Duration;
use std::{fmt, fs};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Server, ServerTlsConfig};

/// The shared token and the TLS files, read once.
pub(in crate::control) struct Security {
    token: Secret,
    tls: Option<Pems>,
}

struct Pems {
    identity: Identity,
    authority: Certificate,
}

/// Why the settings are of no use, as one line that names the key.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum SecurityError {
    /// A file cannot be read.
    #[error("{key}: {path}: {error}")]
    File { key: &'static str, path: String, error: std::io::Error },
    /// They can be read, but are no certificates and key that belong together.
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
        if let Some(tls) = security.server_tls() {
            Server::builder()
                .tls_config(tls)
                .map_err(|error| SecurityError::Pem(causes(&error)))?;
        }
        Ok(security)
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
    pub(in crate::control) fn server_tls(&self) -> Option<ServerTlsConfig> {
        let Pems { identity, authority } = self.tls.as_ref()?;
        let tls = ServerTlsConfig::new().identity(identity.clone());
        Some(tls.client_ca_root(authority.clone()).timeout(HANDSHAKE_PATIENCE))
    }

    /// For clients: the server's certificate must name the address that is called.
    pub(in crate::control) fn client_tls(&self) -> Option<ClientTlsConfig> {
        let Pems { identity, authority } = self.tls.as_ref()?;
        let tls = ClientTlsConfig::new().identity(identity.clone());
        Some(tls.ca_certificate(authority.clone()))
    }
}

impl Pems {
    fn load(cluster: &Cluster) -> Result<Self, SecurityError> {
        let cert = read("cluster.tls_cert", &cluster.tls_cert)?;
        let key = read("cluster.tls_key", &cluster.tls_key)?;
        let authority = Certificate::from_pem(read("cluster.tls_ca", &cluster.tls_ca)?);
        Ok(Self { identity: Identity::from_pem(cert, key), authority })
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = self.tls.is_some();
        f.debug_struct("Security").field("token", &self.token).field("tls", &tls).finish()
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, SecurityError> {
    let unreadable = |error| SecurityError::File { key, path: path.display().to_string(), error };
    fs::read(path).map_err(unreadable)
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

/// Time for a TLS handshake; a connection that takes longer is closed.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
