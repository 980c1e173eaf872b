//! How a node belongs to a cluster.

use super::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The cluster's Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// `host:port`; with Sentinel or Redis Cluster several of them, separated by commas. In a source
    /// it may be a URL (`rediss://user:password@host:port/db`), whose parts are then in their own fields.
    pub addr: String,
    /// What answers there.
    pub mode: RedisMode,
    /// The name that Sentinel knows the master by.
    pub sentinel_master: String,
    /// ACL user of the Sentinels; empty means the default one.
    pub sentinel_username: String,
    /// Password of the Sentinels; empty means none.
    pub sentinel_password: Secret,
    /// File that holds it, instead.
    pub sentinel_password_file: PathBuf,
    /// ACL user; empty means the default one.
    pub username: String,
    /// Empty means none.
    pub password: Secret,
    /// File that holds it, instead; one newline at its end does not count.
    pub password_file: PathBuf,
    /// Database number; Redis Cluster has 0 alone.
    pub db: u32,
    /// Speak TLS.
    pub tls: bool,
    /// PEM file of the authorities that may have signed its certificate; empty means those of the system.
    pub tls_ca: PathBuf,
    /// How long an answer may take. At least 10 ms.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Kept for files of the reference; one multiplexed connection a use needs no pool.
    pub pool_size: u32,
    /// Kept for files of the reference.
    pub min_idle_conns: u32,
}

/// What answers at the addresses of [`Redis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisMode {
    /// One server.
    Standalone,
    /// Sentinels, which name the master.
    Sentinel,
    /// Some nodes of a Redis Cluster.
    Cluster,
}

/// How nodes reach and trust each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// `host:port` at which others reach this node's gRPC; an IPv6 address stands in brackets.
    /// Empty means `listen.grpc`, and where that is every address, the first one of this host
    /// that is not loopback. It names the node: no two have the same.
    pub advertise: String,
    /// Where clients reach this node, such as `wss://a.example.org/acc`: nodes that stop send
    /// theirs there, as long as this one lets clients in. Empty means that they do not; at most 79 bytes.
    pub client_url: String,
    /// Shared by all nodes and sent with every call; empty means none.
    pub token: Secret,
    /// File that holds it, instead; one newline at its end does not count.
    pub token_file: PathBuf,
    /// Accepted beside `token` and never sent, while the token of all nodes is being replaced.
    pub previous_token: Secret,
    /// File that holds it, instead; one newline at its end does not count.
    pub previous_token_file: PathBuf,
    /// PEM file of this node's certificate; with `tls_key` and `tls_ca` gRPC is mutual TLS.
    pub tls_cert: PathBuf,
    /// PEM file of its private key.
    pub tls_key: PathBuf,
    /// PEM file of the authority that signs the certificates of all nodes.
    pub tls_ca: PathBuf,
    /// Open `listen.grpc` beyond loopback with neither token nor TLS, as nodes of
    /// the reference do: whoever reaches it can send to every user.
    pub trust_network: bool,
}

impl Cluster {
    /// Whether nodes prove to each other who they are.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        !self.token.is_empty() || self.has_tls()
    }

    /// Whether gRPC is mutual TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        !self.tls_cert.as_os_str().is_empty()
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            addr: "127.0.0.1:6379".into(),
            mode: RedisMode::Standalone,
            sentinel_master: "mymaster".into(),
            sentinel_username: String::new(),
            sentinel_password: Secret::default(),
            sentinel_password_file: PathBuf::new(),
            username: String::new(),
            password: Secret::default(),
            password_file: PathBuf::new(),
            db: 0,
            tls: false,
            tls_ca: PathBuf::new(),
            timeout: Duration::from_millis(500),
            pool_size: 10,
            min_idle_conns: 0,
        }
    }
}
