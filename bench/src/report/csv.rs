//! Tables for a spreadsheet: RFC 4180, one header, one row each, units in the names.

use crate::result::{LoadPoint, Quantiles, RunResult, Sample, Verdict};
use csv::{Terminator, WriterBuilder};

/// The run over time, a row for each sample; what was not sampled is empty.
///
/// # Errors
/// One line, when a row cannot be written.
pub fn timeline(run: &RunResult) -> Result<String, String> {
    const HEADER: [&str; 18] = [
        "at_s",
        "open",
        "logged_in",
        "lost",
        "told",
        "returned",
        "sent",
        "received",
        "generator_cpu_s",
        "generator_bytes",
        "server_cpu_s",
        "server_resident_bytes",
        "sockets",
        "time_wait",
        "orphans",
        "socket_bytes",
        "slab_bytes",
        "available_bytes",
    ];
    write(&HEADER, run.timeline.iter().map(sample))
}

/// The levels of load, a row for each; latencies in microseconds.
///
/// # Errors
/// One line, when a row cannot be written.
pub fn loads(run: &RunResult) -> Result<String, String> {
    let mut header: Vec<String> = [
        "name",
        "connections",
        "active",
        "offered_per_s",
        "achieved_per_s",
        "seconds",
        "generator_cpu",
        "server_cpu_s",
        "valid",
        "invalid_because",
    ]
    .map(str::to_owned)
    .to_vec();
    for view in ["corrected", "uncorrected", "lag"] {
        let columns = [
            "count", "min_us", "mean_us", "p50_us", "p90_us", "p99_us", "p999_us", "p9999_us",
            "max_us",
        ];
        header.extend(columns.map(|column| format!("{view}_{column}")));
    }
    write(&header, run.loads.iter().map(load))
}

fn sample(sample: &Sample) -> Vec<String> {
    let mut row = vec![sample.at_s.to_string()];
    let counts = [
        sample.open,
        sample.logged_in,
        sample.lost,
        sample.told,
        sample.returned,
        sample.sent,
        sample.received,
    ];
    row.extend(counts.map(|count| count.to_string()));
    row.push(sample.generator_cpu_s.to_string());
    row.push(sample.generator_bytes.to_string());
    row.push(or_empty(sample.server.map(|server| server.cpu_s)));
    row.push(or_empty(sample.server.map(|server| server.resident_bytes)));
    let kernel = sample.kernel;
    row.push(or_empty(kernel.map(|kernel| kernel.sockets)));
    row.push(or_empty(kernel.map(|kernel| kernel.time_wait)));
    row.push(or_empty(kernel.map(|kernel| kernel.orphans)));
    row.push(or_empty(kernel.map(|kernel| kernel.socket_bytes)));
    row.push(or_empty(kernel.map(|kernel| kernel.slab_bytes)));
    row.push(or_empty(kernel.map(|kernel| kernel.available_bytes)));
    row
}

fn load(load: &LoadPoint) -> Vec<String> {
    let why = match &load.verdict {
        Verdict::Valid => "",
        Verdict::Invalid(why) => why,
    };
    let mut row = vec![
        load.name.clone(),
        load.connections.to_string(),
        load.active.to_string(),
        or_empty(load.offered_per_s),
        load.achieved_per_s.to_string(),
        load.seconds.to_string(),
        load.generator_cpu.to_string(),
        or_empty(load.server_cpu_s),
        load.verdict.is_valid().to_string(),
        why.to_owned(),
    ];
    for view in [&load.latency.corrected, &load.latency.uncorrected, &load.latency.lag] {
        row.extend(quantiles(view));
    }
    row
}

fn quantiles(q: &Quantiles) -> Vec<String> {
    let tail = [q.p50_us, q.p90_us, q.p99_us, q.p999_us, q.p9999_us, q.max_us];
    let mut row = vec![q.count.to_string(), q.min_us.to_string(), q.mean_us.to_string()];
    row.extend(tail.map(|value| value.to_string()));
    row
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn write(
    header: &[impl AsRef<[u8]>],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<String, String> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(header).map_err(|error| error.to_string())?;
    for row in rows {
        writer.write_record(row).map_err(|error| error.to_string())?;
    }
    let bytes = writer.into_inner().map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
