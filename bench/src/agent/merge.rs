//! Results of many generators, as if one had done it all.
//!
//! What counts adds up; histograms merge without loss, and every quantile is
//! read from the merged one; a figure that neither holds for stays apart,
//! with the name of its generator.

use super::figures;
use super::scenes;
use crate::result::{
    Connections, Latency, LoadPoint, Machine, Messages, Quantiles, RunResult, Sample, ServerSample,
    Verdict,
};
use crate::run::Stretch;
use crate::run::led::Part;
use crate::stats::histogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one generator has found out.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// Its agent, as on the command line.
    pub(super) name: String,
    pub(super) result: RunResult,
    pub(super) parts: Vec<Part>,
}

/// Makes one of them all.
///
/// # Errors
/// When there is none, or one is not whole.
pub(super) fn merge(shares: Vec<Share>) -> Result<(RunResult, Vec<Stretch>), String> {
    let results: Vec<&RunResult> = shares.iter().map(|share| &share.result).collect();
    let first = *results.first().ok_or("no generator has come to a result")?;
    let stretches = stretches(&shares)?;
    let mut merged = first.clone();
    merged.started_unix_s = results.iter().map(|r| r.started_unix_s).min().unwrap_or_default();
    merged.seconds = greatest(results.iter().map(|r| r.seconds));
    merged.machine = machine(&results);
    merged.target.loopback = results.iter().any(|r| r.target.loopback);
    merged.connections = connections(results.iter().map(|r| &r.connections));
    merged.messages = messages(results.iter().map(|r| &r.messages));
    merged.timeline = timeline(&results);
    merged.loads = loads(&shares)?;
    merged.fanout = scenes::fanout(&shares)?;
    merged.storm = scenes::storm(&results);
    merged.come_back = scenes::come_back(&results)?;
    merged.hostile = scenes::hostile(&results);
    merged.figures = figures::merge(&shares, &merged, &stretches);
    merged.stall = shares.iter().find_map(|share| {
        let mut stall = share.result.stall.clone()?;
        stall.evidence = format!("{}: {}", share.name, stall.evidence);
        Some(stall)
    });
    merged.notes = shares.iter().flat_map(notes).collect();
    Ok((merged, stretches))
}

/// What was seen of the server from here, put to the samples of that time.
pub(super) fn add_server(timeline: &mut [Sample], seen: &[(f64, ServerSample)]) {
    for sample in timeline {
        let before = seen.partition_point(|(at_s, _)| at_s.floor() <= sample.at_s);
        sample.server = before.checked_sub(1).map(|index| seen[index].1);
    }
}

fn notes(share: &Share) -> impl Iterator<Item = String> + '_ {
    share.result.notes.iter().map(|note| format!("{}: {note}", share.name))
}

pub(super) fn greatest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

fn connections<'a>(all: impl Iterator<Item = &'a Connections>) -> Connections {
    let mut sum = Connections::default();
    for one in all {
        sum.asked += one.asked;
        sum.opened += one.opened;
        // They meet when all are open, so the peaks coincide.
        sum.peak += one.peak;
        sum.logged_in += one.logged_in;
        sum.lost += one.lost;
        sum.failed += one.failed;
        sum.open_seconds = sum.open_seconds.max(one.open_seconds);
        sum.login_seconds = sum.login_seconds.max(one.login_seconds);
        for (cause, count) in &one.causes {
            *sum.causes.entry(cause.clone()).or_default() += count;
        }
    }
    sum
}

fn messages<'a>(all: impl Iterator<Item = &'a Messages>) -> Messages {
    let mut sum = Messages::default();
    for one in all {
        sum.sent += one.sent;
        sum.received += one.received;
        sum.lost += one.lost;
        sum.duplicates += one.duplicates;
        sum.out_of_order += one.out_of_order;
        sum.misdelivered += one.misdelivered;
        sum.corrupted += one.corrupted;
        sum.unnumbered += one.unnumbered;
        sum.bytes_out += one.bytes_out;
        sum.bytes_in += one.bytes_in;
    }
    sum
}

/// One of each host, by its name.
fn hosts<'a>(results: &[&'a RunResult]) -> Vec<&'a RunResult> {
    let mut hosts: BTreeMap<&str, &RunResult> = BTreeMap::new();
    for result in results {
        hosts.entry(&result.machine.host).or_insert(result);
    }
    hosts.into_values().collect()
}

fn machine(results: &[&RunResult]) -> Machine {
    let hosts: Vec<&Machine> = hosts(results).iter().map(|result| &result.machine).collect();
    let all = |text: fn(&Machine) -> &str| -> String {
        let mut texts: Vec<&str> = hosts.iter().map(|host| text(host)).collect();
        texts.sort_unstable();
        texts.dedup();
        texts.join(" + ")
    };
    let mut sysctl: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in hosts.iter().flat_map(|host| &host.sysctl) {
        let known = sysctl.entry(name.clone()).or_insert_with(|| value.clone());
        if !known.split(" + ").any(|other| other == value) {
            *known = format!("{known} + {value}");
        }
    }
    Machine {
        host: all(|host| &host.host),
        kernel: all(|host| &host.kernel),
        cpu: all(|host| &host.cpu),
        cores: hosts.iter().map(|host| host.cores).sum(),
        memory_bytes: hosts.iter().map(|host| host.memory_bytes).sum(),
        sysctl,
        open_files_max: hosts.iter().map(|host| host.open_files_max).min().unwrap_or(0),
    }
}

/// One sample for each second: what every generator has last said by then.
fn timeline(results: &[&RunResult]) -> Vec<Sample> {
    let end = greatest(results.iter().filter_map(|r| r.timeline.last()).map(|last| last.at_s));
    let hosts: Vec<&str> = hosts(results).iter().map(|r| r.machine.host.as_str()).collect();
    let mut merged = vec![Sample::default(); end as usize + 1];
    for (second, sum) in merged.iter_mut().enumerate() {
        let mut counted: Vec<&str> = Vec::with_capacity(hosts.len());
        for result in results {
            let line = &result.timeline;
            let begun = line.partition_point(|sample| sample.at_s < second as f64 + 1.0);
            let Some(sample) = begun.checked_sub(1).map(|index| &line[index]) else { continue };
            sum.open += sample.open;
            sum.logged_in += sample.logged_in;
            sum.lost += sample.lost;
            sum.told += sample.told;
            sum.returned += sample.returned;
            sum.sent += sample.sent;
            sum.received += sample.received;
            sum.generator_cpu_s += sample.generator_cpu_s;
            sum.generator_bytes += sample.generator_bytes;
            let host = result.machine.host.as_str();
            if let Some(more) = sample.kernel.filter(|_| !counted.contains(&host)) {
                counted.push(host);
                let kernel = sum.kernel.get_or_insert_default();
                kernel.sockets += more.sockets;
                kernel.time_wait += more.time_wait;
                kernel.orphans += more.orphans;
                kernel.socket_bytes += more.socket_bytes;
                kernel.slab_bytes += more.slab_bytes;
                kernel.available_bytes += more.available_bytes;
            }
        }
        sum.at_s = second as f64;
    }
    merged
}

/// Load points of one name, merged, in the order in which they first appear.
fn loads(shares: &[Share]) -> Result<Vec<LoadPoint>, String> {
    let mut merged: Vec<LoadPoint> = Vec::new();
    for share in shares {
        for point in &share.result.loads {
            match merged.iter_mut().find(|known| known.name == point.name) {
                None => {
                    let verdict = judged(&share.name, &point.verdict);
                    merged.push(LoadPoint { verdict, ..point.clone() });
                }
                Some(known) => add_load(known, point, &share.name)?,
            }
        }
    }
    Ok(merged)
}

fn add_load(sum: &mut LoadPoint, more: &LoadPoint, name: &str) -> Result<(), String> {
    sum.connections += more.connections;
    sum.active += more.active;
    sum.offered_per_s = sum.offered_per_s.zip(more.offered_per_s).map(|(a, b)| a + b);
    sum.achieved_per_s += more.achieved_per_s;
    sum.seconds = sum.seconds.max(more.seconds);
    // One that is at its limit is not helped by others that are not.
    sum.generator_cpu = sum.generator_cpu.max(more.generator_cpu);
    sum.server_cpu_s = None;
    if sum.verdict.is_valid() {
        sum.verdict = judged(name, &more.verdict);
    }
    let (a, b) = (&sum.latency, &more.latency);
    sum.latency = latency([a, b])?;
    Ok(())
}

/// The three views of all messages together.
pub(super) fn latency<'a>(
    all: impl IntoIterator<Item = &'a Latency> + Clone,
) -> Result<Latency, String> {
    let of = |view: fn(&Latency) -> &Quantiles| quantiles(all.clone().into_iter().map(view));
    Ok(Latency {
        corrected: of(|latency| &latency.corrected)?,
        uncorrected: of(|latency| &latency.uncorrected)?,
        lag: of(|latency| &latency.lag)?,
    })
}

fn judged(name: &str, verdict: &Verdict) -> Verdict {
    match verdict {
        Verdict::Valid => Verdict::Valid,
        Verdict::Invalid(why) => Verdict::Invalid(format!("{name}: {why}")),
    }
}

/// The quantiles of all values together.
pub(super) fn quantiles<'a>(
    all: impl IntoIterator<Item = &'a Quantiles>,
) -> Result<Quantiles, String> {
    let mut sum = Histogram::new();
    for one in all {
        sum.merge(&Histogram::from_quantiles(one)?);
    }
    Ok(sum.to_quantiles())
}

/// The n-th parts of one name from every generator belong together.
pub(super) fn together<'a>(shares: &'a [Share], name: &str) -> Vec<Vec<&'a Part>> {
    let mut rows: Vec<Vec<&Part>> = Vec::new();
    for share in shares {
        for (index, part) in share.parts.iter().filter(|part| part.name == name).enumerate() {
            if index == rows.len() {
                rows.push(Vec::new());
            }
            rows[index].push(part);
        }
    }
    rows
}

/// All values of these parts.
pub(super) fn histogram(parts: &[&Part]) -> Result<Histogram, String> {
    let mut sum = Histogram::new();
    for part in parts {
        sum.merge(&Histogram::from_base64(&part.histogram)?);
    }
    Ok(sum)
}

/// What was measured, stretch by stretch, of all generators.
fn stretches(shares: &[Share]) -> Result<Vec<Stretch>, String> {
    let mut names: Vec<&str> = Vec::new();
    for part in shares.iter().flat_map(|share| &share.parts) {
        if !names.contains(&part.name.as_str()) && part.name != crate::run::led::FANOUT_ROUND {
            names.push(&part.name);
        }
    }
    let mut stretches = Vec::new();
    for name in names {
        for parts in together(shares, name) {
            let began = parts.iter().map(|part| part.began_s).fold(f64::INFINITY, f64::min);
            stretches.push(Stretch {
                name: name.to_owned(),
                began: seconds(began),
                length: seconds(greatest(parts.iter().map(|part| part.length_s))),
                corrected: histogram(&parts)?,
            });
        }
    }
    stretches.sort_by_key(|stretch| stretch.began);
    Ok(stretches)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
