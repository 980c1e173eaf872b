//! Connections over time, and what both processes took meanwhile.

use super::parts::{figure, line, table};
use crate::report::plot::{Axis, Plot, Scale, Series, Tone, Unit};
use crate::report::{side, words};
use crate::result::{RunResult, Sample};
use crate::units::{bytes_text, grouped};
use maud::{Markup, html};

pub(super) fn connections(run: &RunResult) -> Result<Markup, String> {
    let points = |value: fn(&Sample) -> u64| -> Vec<(f64, f64)> {
        run.timeline.iter().map(|sample| (sample.at_s, value(sample) as f64)).collect()
    };
    let logins = run.timeline.iter().any(|sample| sample.logged_in > 0);
    let losses = run.timeline.iter().any(|sample| sample.lost > 0);
    let mut series = vec![line("open", Tone::First, points(|sample| sample.open))];
    if logins {
        series.push(line("logged in", Tone::Third, points(|sample| sample.logged_in)));
    }
    if losses {
        series.push(line("lost so far", Tone::Alarm, points(|sample| sample.lost)));
    }
    let plot = over_time("Connections over time.", "connections", Unit::Count, series);
    let c = &run.connections;
    let mut causes: Vec<_> = c.causes.iter().collect();
    causes.sort_by(|a, b| b.1.cmp(a.1));
    let rows: Vec<Markup> = causes
        .iter()
        .take(CAUSES_MAX)
        .map(|(cause, count)| html! { tr { td.text { (cause) } td.n { (grouped(**count)) } } })
        .collect();
    Ok(html! {
        section {
            h2 { "Connections" }
            p.lead {
                (grouped(c.opened)) " opened, " (grouped(c.lost)) " lost, " (grouped(c.failed))
                " attempts failed."
                @if c.logged_in > 0 {
                    " " (grouped(c.logged_in)) " logged in"
                    @if let Some(rate) = run.login_rate() { ", " (words::rate(rate)) " in the beginning" }
                    "."
                }
            }
            (figure(&plot, &html! {})?)
            @if !rows.is_empty() { (table(&["End or failure", ">Times"], &rows)) }
            @if causes.len() > CAUSES_MAX {
                p.lead { "And " (causes.len() - CAUSES_MAX) " rarer causes: all are in the result file." }
            }
        }
    })
}

pub(super) fn both(run: &RunResult) -> Result<Markup, String> {
    let Some(generator) = side::generator(run) else { return Ok(html! {}) };
    let server = side::server(run);
    let cpu = over_time(
        "CPU.",
        "cores",
        Unit::Count,
        vec![
            line("server", Tone::First, cores(run, |sample| Some(sample.server?.cpu_s))),
            line("generator", Tone::Second, cores(run, |sample| Some(sample.generator_cpu_s))),
        ],
    );
    let memory = over_time(
        "Memory of their own.",
        "resident",
        Unit::Bytes,
        vec![
            line("server", Tone::First, bytes(run, |sample| Some(sample.server?.resident_bytes))),
            line("generator", Tone::Second, bytes(run, |sample| Some(sample.generator_bytes))),
        ],
    );
    let kernel = over_time(
        "Kernel memory of the whole host.",
        "bytes",
        Unit::Bytes,
        vec![
            line(
                "structures (slab)",
                Tone::Third,
                bytes(run, |sample| Some(sample.kernel?.slab_bytes)),
            ),
            line(
                "socket buffers",
                Tone::Second,
                bytes(run, |sample| Some(sample.kernel?.socket_bytes)),
            ),
        ],
    );
    let row = |name: &str, process: side::Process| {
        let each = process.bytes_each.map_or("–".to_owned(), words::bytes_each);
        html! {
            tr {
                td { (name) } td.n { (words::seconds(process.cpu_s)) } td.n { (format!("{:.2}", process.cores)) }
                td.n { (bytes_text(process.peak_bytes as f64)) } td.n { (each) }
            }
        }
    };
    let mut rows: Vec<Markup> = server.map(|process| row("server", process)).into_iter().collect();
    rows.push(row("generator", generator));
    let headings = ["", ">CPU time", ">Cores", ">Memory at most", ">Per connection"];
    Ok(html! {
        section {
            h2 { "Both sides" }
            @if server.is_none() {
                p.lead { "The server's own side was not sampled; " code { "--server-pid" } " shows it." }
            }
            (table(&headings, &rows))
            div.pair {
                (figure(&cpu, &html! {})?)
                (figure(&memory, &html! {})?)
                (figure(&kernel, &html! {})?)
            }
        }
    })
}

fn over_time(title: &'static str, name: &'static str, unit: Unit, series: Vec<Series>) -> Plot {
    Plot {
        title,
        x: Axis { title: "time since the start", unit: Unit::Seconds, scale: Scale::Linear },
        y: Axis { title: name, unit, scale: Scale::Linear },
        series,
    }
}

/// CPU time from sample to sample, as cores.
fn cores(run: &RunResult, cpu_s: impl Fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
    let seen: Vec<(f64, f64)> =
        run.timeline.iter().filter_map(|sample| Some((sample.at_s, cpu_s(sample)?))).collect();
    let between = seen.windows(2).filter(|pair| pair[1].0 > pair[0].0);
    between.map(|pair| (pair[1].0, (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0))).collect()
}

fn bytes(run: &RunResult, value: impl Fn(&Sample) -> Option<u64>) -> Vec<(f64, f64)> {
    run.timeline.iter().filter_map(|sample| Some((sample.at_s, value(sample)? as f64))).collect()
}

const CAUSES_MAX: usize = 20;
