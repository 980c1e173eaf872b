//! What `fanout`, `storm` and `hostile` have seen.

use super::page::{Cell, Look, Page, plain, unwanted};
use crate::report::words;
use crate::result::{ComeBack, Fanout, Hostile, RunResult, Storm};
use crate::units::{grouped, micros_text};

pub(super) fn write(page: &mut Page, run: &RunResult) {
    if let Some(fanout) = &run.fanout {
        write_fanout(page, fanout);
    }
    if let Some(storm) = &run.storm {
        write_storm(page, storm);
    }
    if let Some(come_back) = &run.come_back {
        write_come_back(page, come_back);
    }
    if let Some(hostile) = &run.hostile {
        write_hostile(page, hostile);
    }
}

fn names(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| ((*name).to_owned(), Look::Dim)).collect()
}

fn write_fanout(page: &mut Page, fanout: &Fanout) {
    page.heading("Fan-out", "one message to a whole app; delays from the intended time");
    let mut rows = vec![names(&[
        "",
        "received",
        "lost",
        "twice",
        "first",
        "p50",
        "p99",
        "last",
        "receipts",
        "server CPU",
    ])];
    for (index, round) in fanout.rounds.iter().enumerate().take(ROUNDS_MAX) {
        let mut row = vec![
            plain(format!("round {}", index + 1)),
            plain(format!("{} of {}", grouped(round.received), grouped(round.receivers))),
            unwanted(round.lost),
            unwanted(round.duplicates),
        ];
        let times = [round.first_us, round.p50_us, round.p99_us, round.last_us];
        row.extend(times.map(|time| plain(micros_text(time as f64))));
        row.push(plain(words::rate(round.rate_per_s)));
        row.push(plain(round.server_cpu_s.map_or("–".to_owned(), words::seconds)));
        rows.push(row);
    }
    page.table(&rows);
    if fanout.rounds.len() > ROUNDS_MAX {
        let more = fanout.rounds.len() - ROUNDS_MAX;
        page.line(&format!("and {more} more rounds: all are in the result file"), Look::Dim);
    }
    let all = &fanout.delays;
    let line = format!(
        "all rounds: p50 {}, p99 {}, last {}; fairness {:.4} (1 is even)",
        micros_text(all.p50_us as f64),
        micros_text(all.p99_us as f64),
        micros_text(all.max_us as f64),
        fanout.fairness
    );
    page.line(&line, Look::Plain);
    if let Some(line) = firsts(fanout) {
        page.line(&line, Look::Plain);
    }
}

/// The first receipts at each address, if there are several.
fn firsts(fanout: &Fanout) -> Option<String> {
    let mut by_url: Vec<Vec<u64>> = Vec::new();
    for round in &fanout.rounds {
        by_url.resize(by_url.len().max(round.first_by_url_us.len()), Vec::new());
        for (of_url, first) in by_url.iter_mut().zip(&round.first_by_url_us) {
            of_url.push(*first);
        }
    }
    let median = |times: &mut Vec<u64>| {
        times.sort_unstable();
        times.get(times.len() / 2).map_or("–".to_owned(), |time| micros_text(*time as f64))
    };
    let medians: Vec<String> = by_url.iter_mut().map(median).collect();
    (!medians.is_empty())
        .then(|| format!("first receipt at each address, median of rounds: {}", medians.join(", ")))
}

fn write_storm(page: &mut Page, storm: &Storm) {
    let remark = format!(
        "{} of {} dropped at once, back {}",
        grouped(storm.dropped),
        grouped(storm.before),
        storm.policy
    );
    page.heading("Storm", &remark);
    let back = if storm.returned >= storm.dropped { Look::Good } else { Look::Bad };
    let after = |time: Option<f64>| match time {
        Some(time) => plain(words::seconds(time)),
        None => ("never".to_owned(), Look::Bad),
    };
    page.table(&[
        vec![plain("back"), (grouped(storm.returned), back)],
        vec![plain("50 % back after"), after(storm.half_s)],
        vec![plain("99 % back after"), after(storm.p99_s)],
        vec![plain("all back after"), after(storm.all_s)],
        vec![plain("survivors lost"), unwanted(storm.survivors_lost)],
        vec![plain("accept queue overflows"), plain(grouped(storm.listen_overflows))],
        vec![plain("SYNs sent again"), plain(grouped(storm.syn_retransmits))],
    ]);
}

fn write_come_back(page: &mut Page, come_back: &ComeBack) {
    page.heading("Come back", "clients that a server which stops has told when");
    let back = if come_back.returned >= come_back.told { Look::Good } else { Look::Bad };
    let late = &come_back.late.corrected;
    let time = |micros: u64| micros_text(micros as f64);
    page.table(&[
        vec![plain("told"), plain(grouped(come_back.told))],
        vec![plain("back"), (grouped(come_back.returned), back)],
        vec![plain("at another place"), plain(grouped(come_back.moved))],
        vec![plain("not at once"), unwanted(come_back.retried)],
        vec![
            plain("after their time"),
            plain(format!("p50 {}", time(late.p50_us))),
            plain(format!("p99 {}", time(late.p99_us))),
            plain(format!("last {}", time(late.max_us))),
        ],
    ]);
    let lag = &come_back.late.lag;
    let own = format!("of that the generator's own: p99 {}", time(lag.p99_us));
    page.line(&own, Look::Dim);
}

fn write_hostile(page: &mut Page, hostile: &Hostile) {
    page.heading("Hostile clients", "");
    let mut rows = vec![names(&["", "clients", "closed by server", "server each", "buffers each"])];
    let each = |bytes: Option<f64>| plain(bytes.map_or("–".to_owned(), words::bytes_each));
    for kind in &hostile.kinds {
        rows.push(vec![
            plain(&kind.kind),
            plain(grouped(kind.clients)),
            plain(grouped(kind.closed_by_server)),
            each(kind.server_bytes_each),
            each(kind.socket_bytes_each),
        ]);
    }
    page.table(&rows);
    match hostile.good_lost {
        0 => page.line("no well-behaved connection was lost", Look::Good),
        lost => page.line(&format!("{} well-behaved connections lost", grouped(lost)), Look::Bad),
    }
}

const ROUNDS_MAX: usize = 12;
