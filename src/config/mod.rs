//! Everything that can be set, with its default.
//!
//! `config/millgate.toml` is the same list for people; a test holds the two together.

mod admin;
mod auth;
mod changes;
mod cluster;
mod draft;
mod key;
mod known;
mod limits;
mod listen;
mod load;
mod origin;
mod protocol;
mod ready;
mod redis_url;
mod reference;
#[cfg(test)]
mod reload;
mod secret;
mod secret_files;
mod stop;
mod trusted;
mod validate;
mod warnings;

pub use admin::Admin;
pub use auth::{Auth, Jwt, SHARED_SECRET_BYTES_MIN};
pub use cluster::{Cluster, Redis, RedisMode};
pub use draft::ConfigError;
pub use key::{ApiKey, Scope, Scopes, is_key_name};
pub use limits::{Excess, Limits};
pub use listen::{LISTENERS_MAX, Listen, Listener, Listeners, Place};
pub use load::Loaded;
pub use origin::Origins;
pub use protocol::{Displaced, ErrorFormat, Language, Protocol};
pub use ready::Ready;
pub use secret::Secret;
pub use stop::{Stop, refuge_fault};
pub use trusted::Trusted;

use crate::limits::BROADCASTS_MAX;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The whole configuration of one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses.
    pub listen: Listen,
    /// Who may do what.
    pub auth: Auth,
    /// The threads that own the sockets.
    pub reactor: Reactor,
    /// When a silent client is reaped.
    pub heartbeat: Heartbeat,
    /// The rooms that exist.
    pub apps: Apps,
    /// The echo endpoint for conformance suites and transport benchmarks.
    pub echo: Echo,
    /// What clients are told, and in which words.
    pub protocol: Protocol,
    /// Bounds on everything a client can make grow.
    pub limits: Limits,
    /// Who hears of arrivals and departures, and how often.
    pub announce: Announce,
    /// Messages to whole rooms.
    pub broadcast: Broadcast,
    /// Memory of message ids that were sent already.
    pub dedup: Dedup,
    /// The chat page.
    pub page: Page,
    /// The threads beside the reactors.
    pub control: Control,
    /// What is logged, how and where.
    pub log: Log,
    /// How the node ends.
    pub stop: Stop,
    /// When it calls itself ready.
    pub ready: Ready,
    /// What operators may do.
    pub admin: Admin,
    /// How nodes reach and trust each other.
    pub cluster: Cluster,
    /// The cluster's Redis; absent means a node complete by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
}

/// The threads that own the sockets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reactor {
    /// How many; 0 means one per core. At most 1024.
    pub threads: usize,
    /// Pin each to a core.
    pub pin: bool,
    /// Give each a descriptor table of its own, so that the limit of open files counts per reactor.
    pub private_fd_table: bool,
}

/// When a silent client is reaped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Heartbeat {
    /// Silence after which a connection is closed; any complete frame counts as life. At least 1 s.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
}

/// The rooms that exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Apps {
    /// App ids a client may log in to; at least one, at most 4096.
    pub ids: Vec<u32>,
}

/// The echo endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Echo {
    /// Path on the WebSocket listener, not that of the clients; empty means off.
    pub path: String,
}

/// Who hears of arrivals and departures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Announce {
    /// Rooms up to this size hear of each one; 0 means never.
    pub exact_up_to: usize,
    /// Messages a second that these announcements may cost in each room, on average; above it
    /// the room gets digests. 0 means no limit.
    pub exact_per_second: u64,
    /// Messages a second that all digests of larger rooms may cost together; 0 means none.
    pub digests_per_second: u64,
}

/// Messages of users to whole rooms, on this node. One beyond these bounds is refused, and then no
/// member of the room gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broadcast {
    /// Age that a broadcast should not exceed: the node admits as many as it writes in that time. Also
    /// the longest time that one waits for admission. From 10 ms to 10 s.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// Broadcasts under way at a time; 1 to 1024.
    pub messages: usize,
    /// Bytes of them; a single one is always let through. At least 1.
    pub bytes: usize,
}

/// Memory of message ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dedup {
    /// How long a msgID is remembered.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// How many are remembered at most, the oldest are forgotten first. At least 1. Each takes the
    /// same memory, some 60 bytes, however long it is.
    pub entries_max: usize,
    /// Let a msgID be used again whose message found its user offline.
    pub only_delivered: bool,
}

/// What the chat page is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// Full URL the page opens its WebSocket on; empty means the page's own host and the listener's port.
    pub websocket_url: String,
    /// Base URL of the HTTP API, for pages opened under one of `auth.allowed_origins`; empty
    /// means where the page came from, which is what all other pages use.
    pub http_url: String,
}

/// The threads beside the reactors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Threads of the tokio runtime; 1 to 1024.
    pub threads: usize,
    /// Silence on a connection of the HTTP API after which it is closed; 1 s to 1 h. Longer than the time
    /// for which a proxy or a client keeps connections, or one of them uses a closed one. A
    /// connection without its first request ends after 10 s.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,millgate::command=debug`.
    pub level: String,
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// A file instead of stderr; empty means stderr.
    pub file: PathBuf,
    /// When a new file is begun.
    pub rotation: LogRotation,
    /// How many rotated files are kept; 0 means all.
    pub keep_files: usize,
    /// The node's name in each JSON line; empty leaves it out.
    pub node: String,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// When a new log file is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogRotation {
    /// Never.
    Never,
    /// At each full hour.
    Hourly,
    /// At midnight, UTC.
    Daily,
}

impl Default for Reactor {
    fn default() -> Self {
        Self { threads: 0, pin: true, private_fd_table: true }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { idle_timeout: Duration::from_secs(360) }
    }
}

impl Default for Apps {
    fn default() -> Self {
        Self { ids: vec![101, 102, 103, 104] }
    }
}

impl Default for Announce {
    fn default() -> Self {
        Self { exact_up_to: 1_000, exact_per_second: 20_000, digests_per_second: 10_000 }
    }
}

impl Default for Broadcast {
    fn default() -> Self {
        Self { wait: Duration::from_millis(200), messages: BROADCASTS_MAX, bytes: 32 << 20 }
    }
}

impl Default for Dedup {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(12 * 3600),
            entries_max: 1_000_000,
            only_delivered: false,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { threads: 2, keep_alive: Duration::from_secs(75) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Human,
            file: PathBuf::new(),
            rotation: LogRotation::Daily,
            keep_files: 7,
            node: String::new(),
        }
    }
}
