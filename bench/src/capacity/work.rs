//! Ceilings of what has to be done each second: CPU, packets, deadlines.

use super::{FORETOLD, Measured, Question, ceiling};
use crate::report::words;
use crate::result::{Ceiling, CpuCosts};
use crate::units::grouped;

pub(super) fn ceilings(measured: &Measured, question: &Question) -> Vec<Ceiling> {
    let more_cores = f64::from(question.cores) > FORETOLD * f64::from(measured.cores.max(1));
    let reach = FORETOLD * measured.connections as f64;
    let of_cpu = [
        cpu(measured, question),
        knee(measured, question),
        fanout(measured, question),
        storm(measured, question),
    ];
    let foretold = |mut found: Ceiling| {
        found.extrapolated = more_cores || found.connections as f64 > reach;
        found
    };
    of_cpu.into_iter().flatten().map(foretold).chain(packets(question)).collect()
}

/// Events a second: some come with each connection, some whatever the count.
struct Events {
    heartbeats_each: f64,
    receipts_each: f64,
    receipts_fixed: f64,
    unicasts_fixed: f64,
}

fn events(question: &Question) -> Events {
    let beats = if question.heartbeat_s > 0.0 { 1.0 / question.heartbeat_s } else { 0.0 };
    let (each, fixed) = match question.fanout_receivers {
        None => (question.fanouts_per_s, 0.0),
        Some(receivers) => (0.0, question.fanouts_per_s * receivers as f64),
    };
    Events {
        heartbeats_each: beats,
        receipts_each: each,
        receipts_fixed: fixed,
        unicasts_fixed: question.messages_per_s,
    }
}

fn cpu(measured: &Measured, question: &Question) -> Option<Ceiling> {
    let costs = measured.cpu?;
    let events = events(question);
    let budget = USABLE_SHARE * f64::from(question.cores) * 1e6;
    let fixed =
        events.unicasts_fixed * costs.unicast_us + events.receipts_fixed * costs.fanout_receipt_us;
    let each = costs.idle_second_us
        + events.heartbeats_each * costs.heartbeat_us
        + events.receipts_each * costs.fanout_receipt_us;
    let because = format!(
        "70 % of {} cores are {} µs a second; messages take {} of them whatever the count, a connection takes {}{}",
        question.cores,
        words::number(budget),
        words::number(fixed),
        words::number(each),
        not_measured(&costs, &events),
    );
    // Less than nothing is left: 0, also where a connection costs nothing.
    let connections = if fixed > budget { 0.0 } else { (budget - fixed) / each };
    ceiling("CPU at 70 % of the cores", connections, because, "more cores, or a longer heartbeat")
}

/// What counts as free because its cost is not known.
fn not_measured(costs: &CpuCosts, events: &Events) -> String {
    let asked = [
        ("heartbeats", events.heartbeats_each, costs.heartbeat_us),
        ("messages to one user", events.unicasts_fixed, costs.unicast_us),
        ("messages to many", events.receipts_each + events.receipts_fixed, costs.fanout_receipt_us),
    ];
    let free = asked.iter().filter(|(_, rate, cost)| *rate > 0.0 && *cost <= 0.0);
    let names: Vec<&str> = free.map(|(name, ..)| *name).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("; no cost of {} was measured, they count as free", names.join(" and "))
}

/// The knee counts messages of any kind, heartbeats and receipts among them.
fn knee(measured: &Measured, question: &Question) -> Option<Ceiling> {
    let knee = measured.knee.filter(|knee| knee.sustained_per_s > 0.0)?;
    let events = events(question);
    let borne = knee.sustained_per_s * scale(measured, question);
    let budget = USABLE_SHARE * borne;
    let fixed = events.unicasts_fixed + events.receipts_fixed;
    let each = events.heartbeats_each + events.receipts_each;
    let connections = if fixed > budget { 0.0 } else { (budget - fixed) / each };
    let because = format!(
        "70 % of {} ({} on {} cores with p99 within {} ms); {} are taken whatever the count, a connection adds {}",
        words::rate(borne),
        words::rate(knee.sustained_per_s),
        measured.cores.max(1),
        words::number(knee.p99_bound_ms),
        words::rate(fixed),
        words::rate(each),
    );
    ceiling("70 % of the knee", connections, because, "more cores, or fewer messages")
}

fn fanout(measured: &Measured, question: &Question) -> Option<Ceiling> {
    let within = question.fanout_within_s?;
    let (rate, how) = match (measured.receipts_per_s, measured.cpu) {
        (Some(rate), _) => (
            rate * scale(measured, question),
            format!("{} receipts measured on {} cores", words::rate(rate), measured.cores.max(1)),
        ),
        (None, Some(cpu)) if cpu.fanout_receipt_us > 0.0 => (
            USABLE_SHARE * f64::from(question.cores) * 1e6 / cpu.fanout_receipt_us,
            format!("{} µs a receipt on 70 % of the cores", words::number(cpu.fanout_receipt_us)),
        ),
        _ => return None,
    };
    let because = format!("{} for {} s: {how}", words::rate(rate), words::number(within));
    ceiling(
        "fan-out within its time",
        rate * within,
        because,
        "more cores, or more nodes with fewer members each",
    )
}

/// The window over which clients spread their return has to be N / (0.7 × handshakes a second) at least.
fn storm(measured: &Measured, question: &Question) -> Option<Ceiling> {
    let within = question.storm_within_s?;
    let (rate, how) = match (measured.connects_per_s, measured.cpu) {
        (Some(rate), _) => (
            rate * scale(measured, question),
            format!("{} measured on {} cores", words::rate(rate), measured.cores.max(1)),
        ),
        (None, Some(cpu)) if cpu.connect_us > 0.0 => (
            f64::from(question.cores) * 1e6 / cpu.connect_us,
            format!("{} µs a handshake with its login", words::number(cpu.connect_us)),
        ),
        _ => return None,
    };
    let because = format!(
        "70 % of {} handshakes a second for {} s: {how}",
        grouped(rate as u64),
        words::number(within)
    );
    let remedy = "more cores, or clients that may take longer to come back";
    ceiling("storm within its time", USABLE_SHARE * rate * within, because, remedy)
}

fn packets(question: &Question) -> Option<Ceiling> {
    let most = question.host.packets_per_s?;
    let events = events(question);
    let fixed = (events.unicasts_fixed + events.receipts_fixed) * PACKETS_PER_MESSAGE;
    let each =
        events.heartbeats_each * PACKETS_PER_HEARTBEAT + events.receipts_each * PACKETS_PER_MESSAGE;
    let connections = if fixed > most { 0.0 } else { (most - fixed) / each };
    let because = format!(
        "{} packets; messages take {} whatever the count, a connection {}",
        words::rate(most),
        words::rate(fixed),
        words::rate(each)
    );
    ceiling("network card", connections, because, "a faster card, or RSS queues for every core")
}

/// Cores of the machine asked about over those of the machine that was measured.
fn scale(measured: &Measured, question: &Question) -> f64 {
    f64::from(question.cores) / f64::from(measured.cores.max(1))
}

/// Beyond this share of what it can do a server's queues grow faster than its load.
const USABLE_SHARE: f64 = 0.7;
/// The message and its acknowledgement.
const PACKETS_PER_MESSAGE: f64 = 2.0;
/// Question, answer that acknowledges it, acknowledgement of the answer.
const PACKETS_PER_HEARTBEAT: f64 = 3.0;
