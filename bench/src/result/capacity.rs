//! What `plan` has measured, and what follows for another machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Measurements and answers of `plan`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Memory at each count of connections, at rest.
    pub plateaus: Vec<MemoryPlateau>,
    /// What a connection costs.
    pub memory: Option<MemorySlopes>,
    /// What an event costs.
    pub cpu: Option<CpuCosts>,
    /// The load that the server takes before its latency runs away.
    pub knee: Option<Knee>,
    /// Throughput over messages in flight.
    #[serde(default)]
    pub throughputs: Vec<Throughput>,
    /// The law that these follow.
    pub scalability: Option<Scalability>,
    /// What was asked, and the answers.
    pub answers: Vec<CapacityAnswer>,
}

/// Memory at rest with so many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryPlateau {
    /// Connections open.
    pub connections: u64,
    /// The server's own memory.
    pub user_bytes: u64,
    /// Kernel structures of the whole host.
    pub slab_bytes: u64,
    /// Socket buffers of the whole host.
    pub socket_bytes: u64,
}

/// Bytes per connection, each a slope over the plateaus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemorySlopes {
    /// The server's own memory.
    pub user: Slope,
    /// Kernel structures; both ends if they share the host.
    pub slab: Slope,
    /// Socket buffers; both ends if they share the host.
    pub socket: Slope,
}

/// A straight line through measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slope {
    /// Growth for each connection.
    pub per_connection: f64,
    /// Lower end of its 95 % confidence interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Value at none.
    pub intercept: f64,
    /// Share of the variance that the line explains: 0 to 1.
    pub r_squared: f64,
}

/// CPU of the server for each event, microseconds, by a least-squares fit over all loads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CpuCosts {
    /// A second of an idle connection.
    pub idle_second_us: f64,
    /// A heartbeat and its answer.
    pub heartbeat_us: f64,
    /// A message to one user.
    pub unicast_us: f64,
    /// A receipt of a message to many.
    pub fanout_receipt_us: f64,
    /// A handshake with its login.
    pub connect_us: f64,
    /// Share of the variance that the fit explains: 0 to 1.
    pub r_squared: f64,
}

/// Where latency runs away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Knee {
    /// The highest load that met the bound, messages a second.
    pub sustained_per_s: f64,
    /// The lowest load that did not; none if the generator was the limit before.
    pub broken_per_s: Option<f64>,
    /// The bound on the corrected p99, milliseconds.
    pub p99_bound_ms: f64,
}

/// What got through with so many messages in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Messages that were sent and not answered yet, at any time.
    pub in_flight: f64,
    /// Answers a second.
    pub per_s: f64,
}

/// Universal Scalability Law (N. Gunther): X(n) = λn / (1 + σ(n − 1) + κn(n − 1)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scalability {
    /// λ: throughput of one message in flight, per second.
    pub lambda: f64,
    /// σ: contention, 0 to 1.
    pub sigma: f64,
    /// κ: coherency, at least 0.
    pub kappa: f64,
    /// Messages in flight at which throughput is highest; none if it only grows.
    pub peak_in_flight: Option<f64>,
    /// Throughput there, per second.
    pub peak_per_s: Option<f64>,
    /// The largest count that was measured: nothing is foretold beyond twice of it.
    pub measured_to: f64,
    /// Share of the variance that the law explains: 0 to 1.
    pub r_squared: f64,
}

impl Scalability {
    /// X(n): the throughput of `in_flight` messages, per second.
    #[must_use]
    pub fn at(&self, in_flight: f64) -> f64 {
        let others = in_flight - 1.0;
        self.lambda * in_flight / (1.0 + self.sigma * others + self.kappa * in_flight * others)
    }
}

/// What a machine would hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacityAnswer {
    /// The question in words.
    pub question: String,
    /// RAM of that machine.
    pub memory_bytes: u64,
    /// Its cores.
    pub cores: u32,
    /// Time between two heartbeats of a connection, seconds; 0 for none.
    pub heartbeat_s: f64,
    /// Messages a second to single users, of all connections together.
    pub messages_per_s: f64,
    /// Connections that it holds: the least of the ceilings.
    pub connections: u64,
    /// Connections that were wanted, if a number was given.
    pub wanted: Option<u64>,
    /// Every limit, the tightest first: that one binds, the second is next.
    pub ceilings: Vec<Ceiling>,
}

/// What one limit allows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// The limit, as `RAM` or `CPU at 70 % of the knee`.
    pub limit: String,
    /// Connections that it allows.
    pub connections: u64,
    /// How that was computed.
    pub because: String,
    /// What lifts it.
    pub remedy: String,
    /// True if more than twice of what was measured is foretold.
    pub extrapolated: bool,
}
