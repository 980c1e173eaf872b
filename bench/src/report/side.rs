//! What the timeline says about both processes and the kernel: totals and extremes.

use crate::result::{KernelSample, RunResult, Sample};

/// A process over the whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    /// CPU time between the first and the last sample, seconds.
    pub cpu_s: f64,
    /// The same as a share of one core: 2.0 are two cores.
    pub cores: f64,
    /// The most memory of its own at a sample.
    pub peak_bytes: u64,
    /// Growth of that memory for each connection, from the first sample to the
    /// one with most connections; none with fewer than [`CONNECTIONS_LEAST`].
    pub bytes_each: Option<f64>,
}

/// Below so many connections what the process needs anyway hides what they need.
pub const CONNECTIONS_LEAST: u64 = 10_000;

/// The server, if its process was sampled.
#[must_use]
pub fn server(run: &RunResult) -> Option<Process> {
    process(run, |sample| sample.server.map(|server| (server.cpu_s, server.resident_bytes)))
}

/// The generator.
#[must_use]
pub fn generator(run: &RunResult) -> Option<Process> {
    process(run, |sample| Some((sample.generator_cpu_s, sample.generator_bytes)))
}

/// The kernel's counts at the sample with most sockets, if there is any.
#[must_use]
pub fn kernel(run: &RunResult) -> Option<KernelSample> {
    run.timeline.iter().filter_map(|sample| sample.kernel).max_by_key(|kernel| kernel.sockets)
}

fn process(run: &RunResult, at: impl Fn(&Sample) -> Option<(f64, u64)>) -> Option<Process> {
    let seen: Vec<(&Sample, f64, u64)> = run
        .timeline
        .iter()
        .filter_map(|sample| at(sample).map(|(cpu_s, bytes)| (sample, cpu_s, bytes)))
        .collect();
    let (first, last) = (seen.first()?, seen.last()?);
    let fullest = seen.iter().max_by_key(|(sample, ..)| sample.open)?;
    let grown = fullest.0.open.saturating_sub(first.0.open);
    let cpu_s = (last.1 - first.1).max(0.0);
    let elapsed = last.0.at_s - first.0.at_s;
    Some(Process {
        cpu_s,
        cores: if elapsed > 0.0 { cpu_s / elapsed } else { 0.0 },
        peak_bytes: seen.iter().map(|(.., bytes)| *bytes).max().unwrap_or(0),
        bytes_each: (grown >= CONNECTIONS_LEAST)
            .then(|| (fullest.2 as f64 - first.2 as f64) / grown as f64),
    })
}
