//! The verdict in a few tiles at the top.

use crate::report::{side, words};
use crate::result::{LoadPoint, RunResult};
use crate::units::{bytes_text, grouped, micros_text};
use maud::{Markup, html};

/// One figure that counts, and whether it is as it should be; none where that is not ours to say.
struct Tile {
    title: &'static str,
    value: String,
    note: String,
    good: Option<bool>,
}

pub(super) fn tiles(run: &RunResult) -> Markup {
    let tiles = [
        connections(run),
        losses(run),
        messages(run),
        objectives(run),
        latency(run),
        memory(run),
        fanout(run),
        storm(run),
        capacity(run),
    ];
    html! {
        dl.tiles {
            @for tile in tiles.into_iter().flatten() {
                div class=(match tile.good { Some(true) => "tile good", Some(false) => "tile bad", None => "tile" }) {
                    dt { (tile.title) } dd { (tile.value) } dd { (tile.note) }
                }
            }
        }
    }
}

fn tile(title: &'static str, value: String, note: String, good: Option<bool>) -> Option<Tile> {
    Some(Tile { title, value, note, good })
}

fn connections(run: &RunResult) -> Option<Tile> {
    let c = &run.connections;
    let pace = match run.opening_rate() {
        Some(rate) => format!("at once, opened at {}", words::rate(rate)),
        _ => "at once".to_owned(),
    };
    let note = if c.peak < c.asked { format!("of {} asked for", grouped(c.asked)) } else { pace };
    tile("Connections", grouped(c.peak), note, (c.asked > 0).then_some(c.peak >= c.asked))
}

fn losses(run: &RunResult) -> Option<Tile> {
    let c = &run.connections;
    let failed = format!("{} attempts failed", grouped(c.failed));
    tile("Connections lost", grouped(c.lost), failed, (c.opened > 0).then_some(c.lost == 0))
}

fn messages(run: &RunResult) -> Option<Tile> {
    let m = &run.messages;
    if m.sent + m.received == 0 {
        return None;
    }
    let wrong = m.lost + m.duplicates + m.out_of_order + m.misdelivered + m.corrupted;
    let (value, note) = match wrong {
        0 => (grouped(m.received), "received, every one as it was sent".to_owned()),
        _ => (
            format!("{} wrong", grouped(wrong)),
            format!(
                "{} lost, {} twice of {}",
                grouped(m.lost),
                grouped(m.duplicates),
                grouped(m.sent)
            ),
        ),
    };
    tile("Messages", value, note, Some(wrong == 0))
}

fn objectives(run: &RunResult) -> Option<Tile> {
    let all = run.objectives.len();
    let met = run.objectives.iter().filter(|objective| objective.met).count();
    let missed = run.objectives.iter().filter(|objective| !objective.met);
    let note = match missed.map(|objective| objective.text.as_str()).collect::<Vec<_>>().join(", ")
    {
        missed if missed.is_empty() => "objectives met".to_owned(),
        missed => format!("missed: {missed}"),
    };
    let shown = tile("Objectives", format!("{met} of {all}"), note, Some(met == all));
    shown.filter(|_| all > 0)
}

/// At the highest load that says something about the server.
fn latency(run: &RunResult) -> Option<Tile> {
    let valid = run.loads.iter().filter(|load| load.verdict.is_valid());
    let Some(highest) =
        valid.max_by(|a: &&LoadPoint, b| a.achieved_per_s.total_cmp(&b.achieved_per_s))
    else {
        let invalid = format!("{} loads, each limited by the generator", run.loads.len());
        return tile("Latency, p99", "unknown".to_owned(), invalid, Some(false))
            .filter(|_| !run.loads.is_empty());
    };
    let p99 = micros_text(highest.latency.corrected.p99_us as f64);
    tile("Latency, p99", p99, format!("at {}", words::rate(highest.achieved_per_s)), None)
}

fn memory(run: &RunResult) -> Option<Tile> {
    let slopes = run.plan.as_ref().and_then(|plan| plan.memory);
    let server = side::server(run);
    match (slopes, server) {
        (Some(slopes), _) => {
            let user = slopes.user;
            let reach = format!("{:.1} … {:.1} B, slope with 95 % confidence", user.low, user.high);
            tile("Memory per connection", words::bytes_each(user.per_connection), reach, None)
        }
        (None, Some(server)) => {
            let peak = format!("server's own, {} at most", bytes_text(server.peak_bytes as f64));
            tile("Memory per connection", words::bytes_each(server.bytes_each?), peak, None)
        }
        (None, None) => None,
    }
}

fn fanout(run: &RunResult) -> Option<Tile> {
    let fanout = run.fanout.as_ref()?;
    let wrong: u64 = fanout.rounds.iter().map(|round| round.lost + round.duplicates).sum();
    let receivers = fanout.rounds.iter().map(|round| round.receivers).max()?;
    let note = match wrong {
        0 => format!("p99 to {} receivers, each exactly once", grouped(receivers)),
        _ => format!("p99 to {} receivers, {} lost or doubled", grouped(receivers), grouped(wrong)),
    };
    tile("Fan-out", micros_text(fanout.delays.p99_us as f64), note, Some(wrong == 0))
}

fn storm(run: &RunResult) -> Option<Tile> {
    let storm = run.storm.as_ref()?;
    let back = storm.returned >= storm.dropped;
    let value = match storm.all_s {
        Some(all) if back => words::seconds(all),
        _ => words::percent(storm.returned as f64 / storm.dropped.max(1) as f64),
    };
    let what = if back { "until all were back" } else { "were back" };
    let note = format!(
        "{what}, {} dropped, {} others lost",
        grouped(storm.dropped),
        grouped(storm.survivors_lost)
    );
    tile("Storm", value, note, Some(back && storm.survivors_lost == 0))
}

fn capacity(run: &RunResult) -> Option<Tile> {
    let answer = run.plan.as_ref()?.answers.first()?;
    let binding = answer.ceilings.first().map_or("", |ceiling| ceiling.limit.as_str());
    let good = answer.wanted.map(|wanted| answer.connections >= wanted);
    tile("Capacity", grouped(answer.connections), format!("{binding} binds"), good)
}
