//! What `plan` has measured, and what follows.

use super::page::{Cell, Look, Page, plain};
use crate::report::words;
use crate::result::{CapacityAnswer, CpuCosts, Knee, MemorySlopes, RunResult, Scalability, Slope};
use crate::units::{bytes_text, grouped};

pub(super) fn write(page: &mut Page, run: &RunResult) {
    let Some(plan) = &run.plan else { return };
    if let Some(memory) = &plan.memory {
        let remark = format!("slope over {} plateaus", plan.plateaus.len());
        page.heading("Memory per connection", &remark);
        page.table(&memory_rows(memory, run.target.loopback));
    }
    if let Some(cpu) = &plan.cpu {
        page.heading("CPU per event", &format!("fit, R² {:.3}", cpu.r_squared));
        page.table(&cpu_rows(cpu));
    }
    if let Some(knee) = &plan.knee {
        let bound = format!("p99 within {} ms", words::number(knee.p99_bound_ms));
        page.heading("Knee", &bound);
        page.table(&knee_rows(knee));
    }
    if let Some(law) = &plan.scalability {
        page.heading("Scalability", &format!("universal law, R² {:.3}", law.r_squared));
        page.table(&law_rows(law));
    }
    plan.answers.iter().for_each(|answer| write_answer(page, answer));
}

fn memory_rows(memory: &MemorySlopes, loopback: bool) -> Vec<Vec<Cell>> {
    let whole = if loopback { ", both ends" } else { "" };
    let row = |name: String, slope: &Slope| {
        vec![
            plain(name),
            plain(words::bytes_each(slope.per_connection)),
            (words::between(slope.low, slope.high), Look::Dim),
            (format!("R² {:.4}", slope.r_squared), Look::Dim),
        ]
    };
    vec![
        row("server's own".to_owned(), &memory.user),
        row(format!("kernel slab{whole}"), &memory.slab),
        row(format!("socket buffers{whole}"), &memory.socket),
    ]
}

fn cpu_rows(cpu: &CpuCosts) -> Vec<Vec<Cell>> {
    [
        ("a second of an idle connection", cpu.idle_second_us),
        ("a heartbeat", cpu.heartbeat_us),
        ("a message to one user", cpu.unicast_us),
        ("a receipt of a message to many", cpu.fanout_receipt_us),
        ("a handshake with login", cpu.connect_us),
    ]
    .map(|(name, micros)| vec![plain(name), plain(format!("{} µs", words::number(micros)))])
    .to_vec()
}

fn knee_rows(knee: &Knee) -> Vec<Vec<Cell>> {
    let broken = match knee.broken_per_s {
        Some(load) => vec![plain("does not bear"), plain(words::rate(load))],
        None => vec![plain("above it"), plain("the generator was the limit")],
    };
    vec![vec![plain("bears"), (words::rate(knee.sustained_per_s), Look::Good)], broken]
}

fn law_rows(law: &Scalability) -> Vec<Vec<Cell>> {
    let mut rows = vec![
        vec![plain("λ, one in flight"), plain(words::rate(law.lambda))],
        vec![plain("σ, contention"), plain(words::number(law.sigma))],
        vec![plain("κ, coherency"), plain(words::number(law.kappa))],
    ];
    match (law.peak_in_flight, law.peak_per_s) {
        (Some(n), Some(peak)) => {
            rows.push(vec![plain("peak"), plain(words::rate(peak))]);
            rows.push(vec![plain("at in flight"), plain(words::number(n))]);
        }
        _ => rows.push(vec![
            plain("peak"),
            plain(format!("none below {}", words::number(2.0 * law.measured_to))),
        ]),
    }
    rows
}

fn write_answer(page: &mut Page, answer: &CapacityAnswer) {
    page.heading("Capacity", "");
    page.sentence(0, &answer.question, Look::Dim);
    let machine = format!(
        "{} cores, {}: {} connections",
        answer.cores,
        bytes_text(answer.memory_bytes as f64),
        grouped(answer.connections)
    );
    match answer.wanted {
        Some(wanted) if wanted > answer.connections => {
            page.line(&format!("{machine}, not {}", grouped(wanted)), Look::Bad);
        }
        _ => page.line(&machine, Look::Good),
    }
    for (index, ceiling) in answer.ceilings.iter().enumerate() {
        let role = ["binds", "next"].get(index).copied().unwrap_or("");
        let foretold = if ceiling.extrapolated { "  past twice what was measured" } else { "" };
        let look = if index == 0 { Look::Bold } else { Look::Plain };
        let line = format!(
            "{:<5} {:>12}  {}{foretold}",
            role,
            grouped(ceiling.connections),
            words::clean(&ceiling.limit)
        );
        page.line(&line, look);
        if index < 2 {
            page.sentence(20, &ceiling.because, Look::Dim);
            page.sentence(20, &format!("to lift it: {}", ceiling.remedy), Look::Dim);
        }
    }
}
