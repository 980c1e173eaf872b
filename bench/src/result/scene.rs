//! What `fanout`, `storm` and `hostile` have seen.

use super::latency::{Latency, Quantiles};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Messages to a whole app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fanout {
    /// One for each message.
    pub rounds: Vec<FanoutRound>,
    /// Delays of all receipts of all rounds, from the time the message was meant to be sent.
    pub delays: Quantiles,
    /// Jain's index over the mean delays of the receivers: 1 if all wait alike, 1/n if one waits for all.
    pub fairness: f64,
}

/// One message to a whole app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FanoutRound {
    /// Connections that had to receive it.
    pub receivers: u64,
    /// Receipts.
    pub received: u64,
    /// Connections that did not receive it.
    pub lost: u64,
    /// Receipts beyond the first of a connection.
    pub duplicates: u64,
    /// First receipt, microseconds after the intended time.
    pub first_us: u64,
    /// The first receipt at each address that clients are connected to, in their order; empty
    /// if there is one only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_by_url_us: Vec<u64>,
    /// Half of the receipts, microseconds.
    pub p50_us: u64,
    /// 99 % of the receipts, microseconds.
    pub p99_us: u64,
    /// Last receipt, microseconds.
    pub last_us: u64,
    /// Receipts a second between the first and the last.
    pub rate_per_s: f64,
    /// CPU time of the server, seconds, if it was sampled.
    pub server_cpu_s: Option<f64>,
}

/// Many connections dropped at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    /// Connections that were open before.
    pub before: u64,
    /// Connections that were dropped.
    pub dropped: u64,
    /// How they come back: `immediate`, `fixed 5s`, `exponential 1s..30s`.
    pub policy: String,
    /// Those who were back in the end.
    pub returned: u64,
    /// Others that were lost meanwhile.
    pub survivors_lost: u64,
    /// Seconds until 50 % of the dropped were back; none if they never were.
    pub half_s: Option<f64>,
    /// Seconds until 99 % were back.
    pub p99_s: Option<f64>,
    /// Seconds until all were back.
    pub all_s: Option<f64>,
    /// Overflows of accept queues on this host meanwhile (`ListenOverflows`).
    pub listen_overflows: u64,
    /// SYN packets that were sent again on this host meanwhile (`TCPSynRetrans`).
    pub syn_retransmits: u64,
    /// How many were back, over time.
    pub curve: Vec<Recovery>,
}

/// A point of the recovery curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Seconds since the drop.
    pub at_s: f64,
    /// Dropped connections that were back.
    pub returned: u64,
}

/// Clients that a server which stops has told when to come back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComeBack {
    /// Those that were told; who is told again before it is back counts once.
    pub told: u64,
    /// Those that came back.
    pub returned: u64,
    /// Those that needed more than one attempt.
    pub retried: u64,
    /// Those that came back at the other place which they were told.
    pub moved: u64,
    /// From the time that each was told to be back at, to its being back.
    pub late: Latency,
}

/// Clients that misbehave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hostile {
    /// One for each kind.
    pub kinds: Vec<BadClients>,
    /// Well-behaved connections that were lost.
    pub good_lost: u64,
}

/// Clients that misbehave in one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BadClients {
    /// `slow-reader`, `stuck-reader`, `half-open`, `mid-frame`, `slow-loris`.
    pub kind: String,
    /// How many there were.
    pub clients: u64,
    /// Those that the server had closed by the end.
    pub closed_by_server: u64,
    /// User memory of the server for each, above that of as many idle connections; needs `--server-pid`.
    pub server_bytes_each: Option<f64>,
    /// Memory of socket buffers for each, on the whole host.
    pub socket_bytes_each: Option<f64>,
}
