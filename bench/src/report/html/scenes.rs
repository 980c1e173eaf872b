//! Fan-out, storm and hostile clients.

use super::parts::{figure, line, table};
use crate::report::plot::{Axis, Plot, Scale, Tone, Unit};
use crate::report::words;
use crate::result::{RunResult, Sample};
use crate::stats::histogram::Histogram;
use crate::units::{grouped, micros_text};
use maud::{Markup, html};

pub(super) fn fanout(run: &RunResult) -> Result<Markup, String> {
    let Some(fanout) = &run.fanout else { return Ok(html! {}) };
    let histogram = Histogram::from_quantiles(&fanout.delays)?;
    let all = histogram.count() as f64;
    let mut reached = 0.0;
    let mut points = vec![(0.0, 0.0)];
    for (micros, times) in histogram.recorded() {
        reached += times as f64;
        points.push((micros as f64 / 1e6, reached / all));
    }
    let plot = Plot {
        title: "Receipts after a message to all.",
        x: Axis {
            title: "time since the message was due",
            unit: Unit::Seconds,
            scale: Scale::Linear,
        },
        y: Axis { title: "have it", unit: Unit::Share, scale: Scale::Linear },
        series: vec![line("receipts", Tone::First, points)],
    };
    let rows: Vec<Markup> = fanout
        .rounds
        .iter()
        .enumerate()
        .take(ROWS_MAX)
        .map(|(index, round)| {
            html! {
                tr {
                    td { (index + 1) }
                    td.n { (grouped(round.received)) " of " (grouped(round.receivers)) }
                    td.n { (grouped(round.lost)) } td.n { (grouped(round.duplicates)) }
                    @for time in [round.first_us, round.p50_us, round.p99_us, round.last_us] {
                        td.n { (micros_text(time as f64)) }
                    }
                    td.n { (words::rate(round.rate_per_s)) }
                    td.n { (round.server_cpu_s.map_or("–".to_owned(), words::seconds)) }
                }
            }
        })
        .collect();
    let headings = [
        "Round",
        ">Received",
        ">Lost",
        ">Twice",
        ">First",
        ">p50",
        ">p99",
        ">Last",
        ">Receipts",
        ">Server CPU",
    ];
    Ok(html! {
        section {
            h2 { "Fan-out" }
            p.lead {
                "One message to a whole app. Fairness " (format!("{:.4}", fanout.fairness))
                " (Jain's index: 1 if all wait alike)."
            }
            (figure(&plot, &html! { (grouped(histogram.count())) " receipts of all rounds" })?)
            (table(&headings, &rows))
        }
    })
}

pub(super) fn storm(run: &RunResult) -> Result<Markup, String> {
    let Some(storm) = &run.storm else { return Ok(html! {}) };
    let dropped = storm.dropped.max(1) as f64;
    let points = storm.curve.iter().map(|point| (point.at_s, point.returned as f64 / dropped));
    let plot = Plot {
        title: "Recovery.",
        x: Axis { title: "time since the drop", unit: Unit::Seconds, scale: Scale::Linear },
        y: Axis { title: "back", unit: Unit::Share, scale: Scale::Linear },
        series: vec![line("back", Tone::First, points.collect())],
    };
    let after = |time: Option<f64>| time.map_or("never".to_owned(), words::seconds);
    let facts = [
        ("50 % back after", after(storm.half_s)),
        ("99 % back after", after(storm.p99_s)),
        ("All back after", after(storm.all_s)),
        ("Back in the end", grouped(storm.returned)),
        ("Others lost meanwhile", grouped(storm.survivors_lost)),
        ("Accept queue overflows", grouped(storm.listen_overflows)),
        ("SYNs sent again", grouped(storm.syn_retransmits)),
    ];
    let rows: Vec<Markup> =
        facts.iter().map(|(name, value)| html! { tr { td { (name) } td.n { (value) } } }).collect();
    Ok(html! {
        section {
            h2 { "Storm" }
            p.lead {
                (grouped(storm.dropped)) " of " (grouped(storm.before)) " dropped at once; they come back "
                (storm.policy) "."
            }
            (figure(&plot, &html! {})?)
            (table(&[], &rows))
        }
    })
}

pub(super) fn come_back(run: &RunResult) -> Result<Markup, String> {
    let Some(come_back) = &run.come_back else { return Ok(html! {}) };
    // From the last moment at which all were there to the first at which they are again.
    let samples = &run.timeline;
    let from = samples.iter().rposition(|sample| sample.told == 0).unwrap_or(0);
    let is_over = |sample: &Sample| sample.returned >= come_back.returned;
    let end = samples.iter().position(is_over).map_or(samples.len(), |at| at + 1);
    let shown = samples.get(from..end).unwrap_or_default();
    let begin_s = shown.first().map_or(0.0, |sample| sample.at_s);
    let of = |value: fn(&Sample) -> u64| {
        shown.iter().map(|sample| (sample.at_s - begin_s, value(sample) as f64)).collect()
    };
    let plot = Plot {
        title: "Goodbyes and returns.",
        x: Axis {
            title: "time since the first goodbye",
            unit: Unit::Seconds,
            scale: Scale::Linear,
        },
        y: Axis { title: "clients", unit: Unit::Count, scale: Scale::Linear },
        series: vec![
            line("told", Tone::Second, of(|sample| sample.told)),
            line("back", Tone::First, of(|sample| sample.returned)),
        ],
    };
    let (late, lag) = (&come_back.late.corrected, &come_back.late.lag);
    let time = |micros: u64| micros_text(micros as f64);
    let facts = [
        ("Told", grouped(come_back.told)),
        ("Back", grouped(come_back.returned)),
        ("At another place", grouped(come_back.moved)),
        ("Not with the first attempt", grouped(come_back.retried)),
        ("After their time: half", time(late.p50_us)),
        ("After their time: 99 %", time(late.p99_us)),
        ("After their time: the last", time(late.max_us)),
        ("Of that the generator's own: 99 %", time(lag.p99_us)),
    ];
    let rows: Vec<Markup> =
        facts.iter().map(|(name, value)| html! { tr { td { (name) } td.n { (value) } } }).collect();
    Ok(html! {
        section {
            h2 { "Come back" }
            p.lead { "Clients that a server which stops has told when to be back, each at its own time." }
            (figure(&plot, &html! {})?)
            (table(&[], &rows))
        }
    })
}

pub(super) fn hostile(run: &RunResult) -> Markup {
    let Some(hostile) = &run.hostile else { return html! {} };
    let each = |bytes: Option<f64>| bytes.map_or("–".to_owned(), words::bytes_each);
    let rows: Vec<Markup> = hostile
        .kinds
        .iter()
        .map(|kind| {
            html! {
                tr {
                    td.key { (kind.kind) } td.n { (grouped(kind.clients)) } td.n { (grouped(kind.closed_by_server)) }
                    td.n { (each(kind.server_bytes_each)) } td.n { (each(kind.socket_bytes_each)) }
                }
            }
        })
        .collect();
    let headings = [
        "Kind",
        ">Clients",
        ">Closed by the server",
        ">Server memory each",
        ">Socket buffers each",
    ];
    html! {
        section {
            h2 { "Hostile clients" }
            p.lead { (grouped(hostile.good_lost)) " well-behaved connections were lost beside them." }
            (table(&headings, &rows))
        }
    }
}

const ROWS_MAX: usize = 50;
