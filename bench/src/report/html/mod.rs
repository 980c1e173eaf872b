//! One HTML file that needs nothing else: no script, no font, no picture from anywhere.
//!
//! `maud` escapes whatever is written into a page; only the drawings of
//! [`plot`](super::plot), which hold no text from outside, are put in as they are.

mod latency;
mod parts;
mod plan;
mod scenes;
mod sides;
mod tiles;

use super::words;
use crate::result::RunResult;
use crate::units::{bytes_text, grouped};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use parts::{badge, table};

/// The report of a run.
///
/// # Errors
/// One line, when a plot cannot be drawn or a histogram in the result is broken.
pub fn page(run: &RunResult) -> Result<String, String> {
    let title = format!("{} – {}", run.command, name(run));
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (header(run))
                    (tiles::tiles(run))
                    (stall(run))
                    (objectives(run))
                    (plan::capacity(run))
                    (sides::connections(run)?)
                    (latency::section(run)?)
                    (scenes::fanout(run)?)
                    (scenes::storm(run)?)
                    (scenes::come_back(run)?)
                    (scenes::hostile(run))
                    (plan::memory(run)?)
                    (plan::load(run)?)
                    (sides::both(run)?)
                    (figures(run))
                    (provenance(run))
                }
            }
        }
    };
    Ok(markup.into_string())
}

/// The first of these that says something.
fn name(run: &RunResult) -> String {
    let names = [&run.target.name, &run.target.url, &run.command];
    words::clean(names.into_iter().find(|name| !name.is_empty()).map_or("", String::as_str))
}

fn header(run: &RunResult) -> Markup {
    let place = if run.target.loopback { " · loopback, both ends on one host" } else { "" };
    html! {
        header {
            p.eyebrow { "millgate-bench " (run.command) }
            h1 { (name(run)) }
            p.where {
                (run.target.url) (place) br;
                (words::date(run.started_unix_s)) " · " (words::seconds(run.seconds))
                @if !run.machine.host.is_empty() { " · " (run.machine.host) }
            }
        }
    }
}

fn stall(run: &RunResult) -> Markup {
    let Some(stall) = &run.stall else { return html! {} };
    html! {
        section.stall {
            h2 { "Stalled at " (grouped(stall.connections)) " connections: " (stall.limit) }
            p { (stall.evidence) }
            pre { (stall.remedy) }
        }
    }
}

fn objectives(run: &RunResult) -> Markup {
    let rows = run.objectives.iter().map(|objective| {
        let unit = words::objective_unit(&objective.text);
        let measured = objective
            .measured
            .map_or("not measured".to_owned(), |value| format!("{}{unit}", words::number(value)));
        let verdict = if objective.met { badge("met", "good") } else { badge("missed", "bad") };
        html! { tr { td { code { (objective.text) } } td.n { (measured) } td.n { (verdict) } } }
    });
    let rows: Vec<Markup> = rows.collect();
    if rows.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Objectives" }
            (table(&["Demanded", ">Measured", ">Verdict"], &rows))
        }
    }
}

fn figures(run: &RunResult) -> Markup {
    if run.figures.is_empty() {
        return html! {};
    }
    let rows = run.figures.iter().map(|figure| {
        let interval = crate::stats::bootstrap::median_interval(&figure.samples, run.seed);
        let (median, reach) = match interval {
            Some(found) if figure.samples.len() > 2 => (
                words::number(found.estimate),
                format!("{} … {}", words::number(found.low), words::number(found.high)),
            ),
            Some(found) => (words::number(found.estimate), "–".to_owned()),
            None => ("–".to_owned(), "–".to_owned()),
        };
        html! {
            tr {
                td.key { code { (figure.name) } @if !figure.valid { " " (badge("INVALID", "bad")) } }
                td.n { (median) } td { (figure.unit) } td.n { (reach) } td.n { (figure.samples.len()) }
            }
        }
    });
    let rows: Vec<Markup> = rows.collect();
    html! {
        section {
            h2 { "Figures to compare by" }
            p.lead { "Medians over repetitions, with bootstrap confidence of 95 %." }
            (table(&["Name", ">Median", "Unit", ">95 %", ">Samples"], &rows))
        }
    }
}

fn provenance(run: &RunResult) -> Markup {
    let machine = &run.machine;
    let facts = [
        ("Host", machine.host.clone()),
        ("Kernel", machine.kernel.clone()),
        ("Processor", machine.cpu.clone()),
        ("Cores", machine.cores.to_string()),
        ("RAM", bytes_text(machine.memory_bytes as f64)),
        ("Open files, hard limit", grouped(machine.open_files_max)),
        ("Generator", format!("millgate-bench {}", run.version)),
        ("Seed", run.seed.to_string()),
    ];
    let fact = |name: &str, value: &str| html! { tr { td { (name) } td.text { (value) } } };
    let known = facts.iter().filter(|(_, value)| !value.is_empty());
    let rows: Vec<Markup> = known.map(|(name, value)| fact(name, value)).collect();
    let settings: Vec<Markup> =
        machine.sysctl.iter().map(|(name, value)| fact(name, value)).collect();
    html! {
        section {
            h2 { "How this was measured" }
            @if !run.arguments.is_empty() { pre { "millgate-bench " (run.arguments.join(" ")) } }
            (table(&[], &rows))
            @if !settings.is_empty() {
                details { summary { "Settings of the kernel" } (table(&[], &settings)) }
            }
            @if !run.notes.is_empty() {
                h3 { "Notes" }
                ul { @for note in &run.notes { li { (note) } } }
            }
        }
        footer { "Drawn from one result file of the format " code { (run.format) } "." }
    }
}

const STYLE: &str = include_str!("style.css");
