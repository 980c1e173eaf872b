//! Latency, three views side by side, for each level of load.

use super::page::{Cell, Look, Page, plain};
use crate::report::words;
use crate::result::{LoadPoint, Quantiles, RunResult, Verdict};
use crate::units::{grouped, micros_text};

pub(super) fn write(page: &mut Page, run: &RunResult) {
    if run.loads.is_empty() {
        return;
    }
    page.heading("Latency", "corrected counts from when a message was meant to be sent");
    let mut rows = vec![
        ["", "p50", "p90", "p99", "p99.9", "p99.99", "max"]
            .map(|name| (name.to_owned(), Look::Dim))
            .to_vec(),
    ];
    for load in &run.loads {
        rows.push(vec![(title(load), Look::Bold)]);
        if let Verdict::Invalid(why) = &load.verdict {
            rows.push(vec![(format!("  INVALID: {why}"), Look::Bad)]);
            continue;
        }
        rows.push(view("corrected", &load.latency.corrected));
        if load.offered_per_s.is_some() {
            rows.push(view("uncorrected", &load.latency.uncorrected));
            rows.push(view("generator lag", &load.latency.lag));
        }
    }
    // Titles are wider than the first column: they are lines of their own.
    let mut block: Vec<Vec<Cell>> = Vec::new();
    for row in rows {
        if let [(text, look)] = row.as_slice() {
            page.table(&std::mem::take(&mut block));
            page.line(text, *look);
        } else {
            block.push(padded(row));
        }
    }
    page.table(&block);
}

fn title(load: &LoadPoint) -> String {
    let active = format!("{} of {} active", grouped(load.active), grouped(load.connections));
    let achieved = words::rate(load.achieved_per_s);
    let pace = match load.offered_per_s {
        Some(offered) => format!("{achieved} of {} offered", words::rate(offered)),
        None => format!("{achieved}, closed loop"),
    };
    let cpu = match load.server_cpu_s {
        Some(cpu) if cpu > 0.0 => {
            let each = load.achieved_per_s * load.seconds / cpu;
            format!(" · {} a server CPU-second", words::number(each))
        }
        _ => String::new(),
    };
    format!("{} · {active} · {pace}{cpu}", load.name)
}

fn view(name: &str, q: &Quantiles) -> Vec<Cell> {
    let values = [q.p50_us, q.p90_us, q.p99_us, q.p999_us, q.p9999_us, q.max_us];
    let look = if name == "corrected" { Look::Plain } else { Look::Dim };
    let mut row = vec![(format!("  {name}"), look)];
    if q.count == 0 {
        row.push(plain("–"));
        return row;
    }
    row.extend(values.map(|value| (micros_text(value as f64), look)));
    row
}

/// The same columns in every block, however short its values are.
fn padded(row: Vec<Cell>) -> Vec<Cell> {
    let width = |column: usize| if column == 0 { 15 } else { 8 };
    let pad = |(column, (text, look)): (usize, Cell)| {
        let missing = usize::saturating_sub(width(column), text.chars().count());
        let pad = " ".repeat(missing);
        (if column == 0 { format!("{text}{pad}") } else { format!("{pad}{text}") }, look)
    };
    row.into_iter().enumerate().map(pad).collect()
}
