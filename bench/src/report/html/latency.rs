//! Latency over offered load, and the whole distribution at the highest.

use super::parts::{badge, figure, line, table};
use crate::report::plot::{Axis, Mark, Plot, Scale, Series, Tone, Unit};
use crate::report::words;
use crate::result::{LoadPoint, Quantiles, RunResult, Verdict};
use crate::stats::histogram::Histogram;
use crate::units::micros_text;
use maud::{Markup, html};

pub(super) fn section(run: &RunResult) -> Result<Markup, String> {
    if run.loads.is_empty() {
        return Ok(html! {});
    }
    let mut names: Vec<&str> = run.loads.iter().map(|load| load.name.as_str()).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    let rows: Vec<Markup> = run.loads.iter().map(row).collect();
    let headings =
        ["Load", ">Offered", ">Achieved", ">p50", ">p90", ">p99", ">p99.9", ">p99.99", ">Max"];
    Ok(html! {
        section {
            h2 { "Latency" }
            p.lead {
                "Counted from when a message was meant to be sent, so that a stall shows as long as it lasted. "
                "Points that the generator limited say nothing about the server: they are listed, not drawn."
            }
            @for name in names.iter().take(NAMES_MAX) {
                @let loads: Vec<&LoadPoint> =
                    run.loads.iter().filter(|load| load.name == **name && load.verdict.is_valid()).collect();
                (over_load(name, &loads)?)
                (distribution(name, &loads)?)
            }
            (table(&headings, &rows))
        }
    })
}

fn over_load(name: &str, loads: &[&LoadPoint]) -> Result<Markup, String> {
    let rising: Vec<&LoadPoint> =
        loads.iter().copied().filter(|load| load.offered_per_s.is_some()).collect();
    if rising.len() < 2 {
        return Ok(html! {});
    }
    let series = |name, tone, quantile: fn(&Quantiles) -> u64| {
        let mut points: Vec<(f64, f64)> = rising
            .iter()
            .filter_map(|load| {
                Some((load.offered_per_s?, quantile(&load.latency.corrected) as f64))
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { name, tone, mark: Mark::Both, points }
    };
    let plot = Plot {
        title: "Latency over offered load.",
        x: Axis { title: "messages a second offered", unit: Unit::Count, scale: Scale::Linear },
        y: Axis { title: "latency", unit: Unit::Micros, scale: Scale::Log },
        series: vec![
            series("p50", Tone::First, |all| all.p50_us),
            series("p99", Tone::Second, |all| all.p99_us),
            series("p99.9", Tone::Alarm, |all| all.p999_us),
        ],
    };
    figure(&plot, &html! { (name) })
}

/// Of the highest load: what the user sees, what was sent, how late the generator was.
fn distribution(name: &str, loads: &[&LoadPoint]) -> Result<Markup, String> {
    let Some(load) = loads.iter().max_by(|a, b| a.achieved_per_s.total_cmp(&b.achieved_per_s))
    else {
        return Ok(html! {});
    };
    let mut series = vec![line("corrected", Tone::First, curve(&load.latency.corrected)?)];
    if load.offered_per_s.is_some() {
        series.push(line("uncorrected", Tone::Third, curve(&load.latency.uncorrected)?));
        series.push(line("generator lag", Tone::Quiet, curve(&load.latency.lag)?));
    }
    let plot = Plot {
        title: "Latency by percentile.",
        x: Axis { title: "share of the messages", unit: Unit::Nines, scale: Scale::Linear },
        y: Axis { title: "latency", unit: Unit::Micros, scale: Scale::Log },
        series,
    };
    figure(&plot, &html! { (name) " at " (words::rate(load.achieved_per_s)) })
}

/// Latency at each share, whose nines are counted; the greatest value has no share of its own.
fn curve(quantiles: &Quantiles) -> Result<Vec<(f64, f64)>, String> {
    let histogram = Histogram::from_quantiles(quantiles)?;
    let all = histogram.count() as f64;
    let mut below = 0.0;
    let mut points = Vec::new();
    for (value, times) in histogram.recorded() {
        points.push((-(1.0 - below / all).log10(), value.max(1) as f64));
        below += times as f64;
    }
    Ok(points)
}

fn row(load: &LoadPoint) -> Markup {
    let q = &load.latency.corrected;
    let offered = load.offered_per_s.map_or("closed loop".to_owned(), words::rate);
    html! {
        tr {
            td.text {
                (load.name)
                @if let Verdict::Invalid(why) = &load.verdict { " " (badge("INVALID", "bad")) small { (why) } }
            }
            td.n { (offered) } td.n { (words::rate(load.achieved_per_s)) }
            @for value in [q.p50_us, q.p90_us, q.p99_us, q.p999_us, q.p9999_us, q.max_us] {
                td.n { @if load.verdict.is_valid() { (micros_text(value as f64)) } @else { "–" } }
            }
        }
    }
}

const NAMES_MAX: usize = 6;
