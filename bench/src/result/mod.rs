//! What a run has found out: the one file that every report is drawn from.
//!
//! `bench/schema/result.schema.json` is made from these types; a test holds it
//! to them. Units stand in the names. Histograms travel whole, so that two
//! generators' results merge without loss.

mod capacity;
mod latency;
mod scene;
mod timeline;

pub use capacity::{
    CapacityAnswer, Ceiling, CpuCosts, Knee, MemoryPlateau, MemorySlopes, Plan, Scalability, Slope,
    Throughput,
};
pub use latency::{Latency, LoadPoint, Quantiles, Verdict};
pub use scene::{BadClients, ComeBack, Fanout, FanoutRound, Hostile, Recovery, Storm};
pub use timeline::{KernelSample, Sample, ServerSample};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of this format; a reader refuses others.
pub const FORMAT: &str = "millgate-bench/1";

/// One run of one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// [`FORMAT`].
    pub format: String,
    /// The command, as `hold`.
    pub command: String,
    /// Everything that was on the command line after the program's name.
    pub arguments: Vec<String>,
    /// Version of the generator.
    pub version: String,
    /// When it began, seconds since 1970 UTC.
    pub started_unix_s: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Where it ran.
    pub machine: Machine,
    /// What it was aimed at.
    pub target: Target,
    /// What became of the connections.
    pub connections: Connections,
    /// What became of the messages.
    pub messages: Messages,
    /// Figures that two runs can be compared by.
    pub figures: Vec<Figure>,
    /// The run over time, about one sample a second.
    pub timeline: Vec<Sample>,
    /// Latency at each offered load.
    #[serde(default)]
    pub loads: Vec<LoadPoint>,
    /// Of `fanout`.
    #[serde(default)]
    pub fanout: Option<Fanout>,
    /// Of `storm`.
    #[serde(default)]
    pub storm: Option<Storm>,
    /// Of clients that obey a server which stops.
    #[serde(default)]
    pub come_back: Option<ComeBack>,
    /// Of `hostile`.
    #[serde(default)]
    pub hostile: Option<Hostile>,
    /// Of `plan`.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// What the user demanded, and whether it was met.
    #[serde(default)]
    pub objectives: Vec<Objective>,
    /// The limit at which the count of connections stalled.
    #[serde(default)]
    pub stall: Option<Stall>,
    /// What else a reader has to know: one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The host that the generator ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// Release of its kernel.
    pub kernel: String,
    /// Its processor, as the kernel names it.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: u32,
    /// RAM.
    pub memory_bytes: u64,
    /// Settings of the kernel that decide about such a run.
    pub sysctl: BTreeMap<String, String>,
    /// Hard limit of open files for one descriptor table.
    pub open_files_max: u64,
}

/// The server under test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// As given.
    pub url: String,
    /// True if both ends share one host: they compete for the same cores.
    pub loopback: bool,
    /// The server's process, if its own side was sampled.
    pub server_pid: Option<u32>,
    /// What answers there, as the user calls it.
    pub name: String,
}

/// Connections of a whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// How many were wanted at once, at most.
    pub asked: u64,
    /// Handshakes that were done, also repeated ones.
    pub opened: u64,
    /// The most that were open at once.
    pub peak: u64,
    /// Logins that were answered with success.
    pub logged_in: u64,
    /// Open connections that ended against our will.
    pub lost: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Losses and failures by cause, as `connect: ETIMEDOUT` or `close 1012`.
    pub causes: BTreeMap<String, u64>,
    /// From the first attempt to the last handshake, seconds.
    pub open_seconds: f64,
    /// From the first login to the last answer, seconds.
    pub login_seconds: f64,
}

/// Messages of a whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// Sent with a number, or asked for through HTTP.
    pub sent: u64,
    /// Received with a number.
    pub received: u64,
    /// Never received.
    pub lost: u64,
    /// Received again.
    pub duplicates: u64,
    /// Received after one with a higher number.
    pub out_of_order: u64,
    /// Received by somebody else.
    pub misdelivered: u64,
    /// Not what was sent.
    pub corrupted: u64,
    /// Received without a number: announcements, digests and the like.
    pub unnumbered: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    /// Bytes read from sockets.
    pub bytes_in: u64,
}

/// A figure that two runs can be compared by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Its name, as `echo.messages_per_server_cpu_second`.
    pub name: String,
    /// Its unit, as `1/s`, `bytes`, `ms`.
    pub unit: String,
    /// Which direction is an improvement.
    pub better: Better,
    /// Repetitions; at least one.
    pub samples: Vec<f64>,
    /// False if the generator, not the server, was the limit.
    pub valid: bool,
}

/// Which direction is an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// A service level that was demanded with `--slo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// As given: `p99<200ms`.
    pub text: String,
    /// What was measured, in the unit of the text; none if nothing was.
    pub measured: Option<f64>,
    /// Whether it was met.
    pub met: bool,
}

/// Why the count of connections stood still.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// Where it stood.
    pub connections: u64,
    /// The limit, as `net.ipv4.ip_local_port_range`.
    pub limit: String,
    /// What shows that.
    pub evidence: String,
    /// The line that lifts it.
    pub remedy: String,
}

impl RunResult {
    /// Handshakes a second while all were opened; connections that came later do not count.
    #[must_use]
    pub fn opening_rate(&self) -> Option<f64> {
        let c = &self.connections;
        self.rate("open.handshakes_per_second", c.opened, c.open_seconds)
    }

    /// Logins a second while all logged in for the first time.
    #[must_use]
    pub fn login_rate(&self) -> Option<f64> {
        let c = &self.connections;
        self.rate("login.logins_per_second", c.logged_in, c.login_seconds)
    }

    /// As the figure says; without one as all of it over this time.
    fn rate(&self, figure: &str, events: u64, seconds: f64) -> Option<f64> {
        let said = self.figure(figure).and_then(|figure| figure.samples.first().copied());
        said.or_else(|| (seconds > 0.0).then(|| events as f64 / seconds))
    }

    /// The figure of that name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}
