//! Latency at one offered load.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one level of load has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadPoint {
    /// What was measured, as `echo`, `ping during fan-out`, `survivors`.
    pub name: String,
    /// Connections that were open.
    pub connections: u64,
    /// Connections that sent.
    pub active: u64,
    /// Messages a second that were to be sent; none in a closed loop.
    pub offered_per_s: Option<f64>,
    /// Messages a second that were answered.
    pub achieved_per_s: f64,
    /// How long the level was measured, seconds.
    pub seconds: f64,
    /// CPU of the generator, of all its cores: 0 to 1.
    pub generator_cpu: f64,
    /// CPU-seconds of the server during the level, if it was sampled.
    pub server_cpu_s: Option<f64>,
    /// Whether the server was what was measured.
    pub verdict: Verdict,
    /// The times.
    pub latency: Latency,
}

/// Whether a point says something about the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
pub enum Verdict {
    /// It does.
    Valid,
    /// The generator was the limit; the text says how that was seen.
    Invalid(String),
}

impl Verdict {
    /// Whether the point may be drawn and compared.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        *self == Self::Valid
    }
}

/// Three views of the same messages (the method of wrk2).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// From the time the message was meant to be sent: what a user would see.
    pub corrected: Quantiles,
    /// From the time it was sent: hides what waited in the generator.
    pub uncorrected: Quantiles,
    /// How late the generator was.
    pub lag: Quantiles,
}

/// One histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantiles {
    /// Values in it.
    pub count: u64,
    /// Least, microseconds.
    pub min_us: u64,
    /// Mean, microseconds.
    pub mean_us: f64,
    /// Median, microseconds.
    pub p50_us: u64,
    /// 90 % are below, microseconds.
    pub p90_us: u64,
    /// 99 % are below, microseconds.
    pub p99_us: u64,
    /// 99.9 % are below, microseconds.
    pub p999_us: u64,
    /// 99.99 % are below, microseconds.
    pub p9999_us: u64,
    /// Most, microseconds.
    pub max_us: u64,
    /// The whole histogram: base64 of HdrHistogram's compressed V2 form, values in microseconds.
    pub histogram: String,
}
