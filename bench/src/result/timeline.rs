//! The run over time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How things stood at one moment. Counts are totals since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Seconds since the start.
    pub at_s: f64,
    /// Connections open.
    pub open: u64,
    /// Connections logged in.
    pub logged_in: u64,
    /// Connections lost.
    pub lost: u64,
    /// Clients told by a server that stops when to be back.
    #[serde(default)]
    pub told: u64,
    /// Clients that were dropped or told, and are back.
    #[serde(default)]
    pub returned: u64,
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// CPU time of the generator, seconds.
    pub generator_cpu_s: f64,
    /// Resident memory of the generator.
    pub generator_bytes: u64,
    /// The server's own side, with `--server-pid`.
    pub server: Option<ServerSample>,
    /// The kernel's side.
    pub kernel: Option<KernelSample>,
}

/// A process, as /proc shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerSample {
    /// Resident memory that is its own (`Anonymous` of `smaps_rollup`).
    pub resident_bytes: u64,
    /// CPU time of all its threads, seconds.
    pub cpu_s: f64,
}

/// The whole host, both ends if they share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelSample {
    /// TCP sockets in use (`/proc/net/sockstat`).
    pub sockets: u64,
    /// Sockets in TIME_WAIT.
    pub time_wait: u64,
    /// Sockets that no process owns any more.
    pub orphans: u64,
    /// Memory of socket buffers (`mem` of the same file).
    pub socket_bytes: u64,
    /// Kernel structures (`Slab` of `/proc/meminfo`).
    pub slab_bytes: u64,
    /// Memory that is still available (`MemAvailable`).
    pub available_bytes: u64,
}
