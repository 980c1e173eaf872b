//! What a plan has measured, and what follows for other machines.

use super::parts::{badge, figure, line, table};
use crate::report::plot::{Axis, Mark, Plot, Scale, Series, Tone, Unit};
use crate::report::words;
use crate::result::{CapacityAnswer, MemoryPlateau, Plan, RunResult, Slope};
use crate::units::{bytes_text, grouped};
use maud::{Markup, html};

pub(super) fn capacity(run: &RunResult) -> Markup {
    let answers = run.plan.iter().flat_map(|plan| &plan.answers);
    html! { @for answer in answers { (one_answer(answer)) } }
}

fn one_answer(answer: &CapacityAnswer) -> Markup {
    let verdict = match answer.wanted {
        Some(wanted) if wanted > answer.connections => badge("does not fit", "bad"),
        Some(_) => badge("fits", "good"),
        None => html! {},
    };
    let row = |(index, ceiling): (usize, &crate::result::Ceiling)| {
        html! {
            tr.binds[index == 0] {
                td.n { (grouped(ceiling.connections)) }
                td.text {
                    (ceiling.limit) " "
                    @if index == 0 { (badge("binds", "bad")) " " }
                    @if index == 1 { (badge("next", "")) " " }
                    @if ceiling.extrapolated { (badge("foretold", "")) }
                    small { (ceiling.because) }
                    small { "To lift it: " (ceiling.remedy) }
                }
            }
        }
    };
    let rows: Vec<Markup> = answer.ceilings.iter().enumerate().map(row).collect();
    html! {
        section {
            h2 { "Capacity: " (grouped(answer.connections)) " connections " (verdict) }
            p.lead {
                (answer.question) " on " (answer.cores) " cores with "
                (bytes_text(answer.memory_bytes as f64)) "."
                @if answer.ceilings.iter().any(|ceiling| ceiling.extrapolated) {
                    " Foretold is what lies past twice of what was measured."
                }
            }
            (table(&[">Connections", "Limit"], &rows))
        }
    }
}

pub(super) fn memory(run: &RunResult) -> Result<Markup, String> {
    let Some(plan) = &run.plan else { return Ok(html! {}) };
    if plan.plateaus.is_empty() {
        return Ok(html! {});
    }
    let both = if run.target.loopback { " Kernel memory is that of both ends." } else { "" };
    let rows: Vec<Markup> = plan
        .memory
        .iter()
        .flat_map(|memory| {
            [
                ("Server's own", memory.user),
                ("Kernel structures", memory.slab),
                ("Socket buffers", memory.socket),
            ]
        })
        .map(|(name, slope)| {
            html! {
                tr {
                    td { (name) } td.n { (words::bytes_each(slope.per_connection)) }
                    td.n { (words::between(slope.low, slope.high)) }
                    td.n { (format!("{:.4}", slope.r_squared)) }
                }
            }
        })
        .collect();
    let user = plateaus(plan, "Server's memory.", Tone::First, plan.memory.map(|m| m.user), |at| {
        at.user_bytes
    });
    let slab =
        plateaus(plan, "Kernel structures.", Tone::Third, plan.memory.map(|m| m.slab), |at| {
            at.slab_bytes
        });
    Ok(html! {
        section {
            h2 { "Memory per connection" }
            p.lead { "A slope over " (plan.plateaus.len()) " plateaus at rest, not one division." (both) }
            (table(&["", ">Bytes per connection", ">95 %", ">R²"], &rows))
            div.pair { (figure(&user, &html! {})?) (figure(&slab, &html! {})?) }
        }
    })
}

fn plateaus(
    plan: &Plan,
    title: &'static str,
    tone: Tone,
    slope: Option<Slope>,
    bytes: fn(&MemoryPlateau) -> u64,
) -> Plot {
    let points: Vec<(f64, f64)> =
        plan.plateaus.iter().map(|at| (at.connections as f64, bytes(at) as f64)).collect();
    let most = points.iter().map(|point| point.0).fold(0.0, f64::max);
    let fitted = slope
        .map(|slope| [0.0, most].map(|x| (x, slope.intercept + slope.per_connection * x)).to_vec());
    Plot {
        title,
        x: Axis { title: "connections", unit: Unit::Count, scale: Scale::Linear },
        y: Axis { title: "bytes", unit: Unit::Bytes, scale: Scale::Linear },
        series: vec![
            line("fitted line", Tone::Quiet, fitted.unwrap_or_default()),
            Series { name: "measured", tone, mark: Mark::Dots, points },
        ],
    }
}

pub(super) fn load(run: &RunResult) -> Result<Markup, String> {
    let Some(plan) = &run.plan else { return Ok(html! {}) };
    if plan.cpu.is_none() && plan.knee.is_none() && plan.scalability.is_none() {
        return Ok(html! {});
    }
    let rows = costs(plan);
    let rows: Vec<Markup> =
        rows.iter().map(|(name, value)| html! { tr { td { (name) } td.n { (value) } } }).collect();
    Ok(html! {
        section {
            h2 { "CPU and load" }
            (table(&[], &rows))
            (figure(&scalability(plan), &html! {})?)
        }
    })
}

/// What was measured with few messages in flight, and the law through it as far as it foretells.
fn scalability(plan: &Plan) -> Plot {
    let points = plan.throughputs.iter().map(|at| (at.in_flight, at.per_s)).collect();
    let law = plan.scalability.map(|law| {
        let doublings = (2.0 * law.measured_to).max(1.0).log2();
        let at = |step: u32| (doublings * f64::from(step) / 64.0).exp2();
        (0..=64).map(|step| (at(step), law.at(at(step)))).collect()
    });
    Plot {
        title: "Throughput over messages in flight.",
        x: Axis { title: "messages in flight", unit: Unit::Count, scale: Scale::Log },
        y: Axis { title: "answers a second", unit: Unit::Count, scale: Scale::Linear },
        series: vec![
            line("scalability law", Tone::Quiet, law.unwrap_or_default()),
            Series { name: "measured", tone: Tone::First, mark: Mark::Dots, points },
        ],
    }
}

fn costs(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut rows: Vec<(&'static str, String)> = Vec::new();
    if let Some(cpu) = &plan.cpu {
        rows.extend([
            ("CPU for a second of an idle connection", micros(cpu.idle_second_us)),
            ("CPU for a heartbeat", micros(cpu.heartbeat_us)),
            ("CPU for a message to one user", micros(cpu.unicast_us)),
            ("CPU for a receipt of a message to many", micros(cpu.fanout_receipt_us)),
            ("CPU for a handshake with login", micros(cpu.connect_us)),
            ("R² of these", format!("{:.4}", cpu.r_squared)),
        ]);
    }
    if let Some(knee) = &plan.knee {
        let bound = format!(
            "{}, p99 within {} ms",
            words::rate(knee.sustained_per_s),
            words::number(knee.p99_bound_ms)
        );
        let broken =
            knee.broken_per_s.map_or("none: the generator was the limit".to_owned(), words::rate);
        rows.extend([
            ("Highest load that it bears", bound),
            ("Lowest load that it does not", broken),
        ]);
    }
    if let Some(law) = &plan.scalability {
        let numbers = [words::rate(law.lambda), words::number(law.sigma), words::number(law.kappa)];
        let peak = match (law.peak_in_flight, law.peak_per_s) {
            (Some(n), Some(peak)) => {
                format!("{} with {} in flight", words::rate(peak), words::number(n))
            }
            _ => format!("none up to {} in flight", words::number(2.0 * law.measured_to)),
        };
        rows.extend([
            ("Scalability law: λ, σ, κ", numbers.join(", ")),
            ("Its peak", peak),
            ("Its R²", format!("{:.4}", law.r_squared)),
        ]);
    }
    rows
}

fn micros(value: f64) -> String {
    format!("{} µs", words::number(value))
}
