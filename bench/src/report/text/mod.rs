//! What a person reads at the end of a run.

mod latency;
mod page;
mod plan;
mod scenes;

use super::{side, words};
use crate::result::RunResult;
use crate::units::{bytes_text, grouped};
use page::{Cell, Look, Page, plain, unwanted};

/// The summary of a run, some forty lines; `colour` with ANSI sequences.
///
/// Whatever came from outside is shown without control characters.
#[must_use]
pub fn summary(run: &RunResult, colour: bool) -> String {
    let mut page = Page::new(colour);
    head(&mut page, run);
    connections(&mut page, run);
    messages(&mut page, run);
    latency::write(&mut page, run);
    scenes::write(&mut page, run);
    plan::write(&mut page, run);
    sides(&mut page, run);
    stall(&mut page, run);
    objectives(&mut page, run);
    if !run.notes.is_empty() {
        page.heading("Notes", "");
        run.notes.iter().for_each(|note| page.sentence(0, note, Look::Plain));
    }
    page.finish()
}

fn head(page: &mut Page, run: &RunResult) {
    let target = &run.target;
    let place = if target.loopback { "loopback: both ends share this host" } else { "" };
    let parts = [run.command.as_str(), &target.name, &target.url, place];
    page.top(&joined(&parts), Look::Bold);
    let machine = &run.machine;
    let (when, took) = (words::date(run.started_unix_s), words::seconds(run.seconds));
    let cores = format!("{} cores", machine.cores);
    let memory = bytes_text(machine.memory_bytes as f64);
    let seed = format!("seed {}", run.seed);
    let parts = [&when, &took, &machine.host, &machine.kernel, &cores, &memory, &seed];
    page.top(&joined(&parts.map(String::as_str)), Look::Dim);
}

fn connections(page: &mut Page, run: &RunResult) {
    let c = &run.connections;
    page.heading("Connections", &format!("{} asked for", grouped(c.asked)));
    let pace = |rate: Option<f64>, seconds: f64| match rate {
        Some(rate) if seconds > 0.0 => {
            format!("in {}, {}", words::seconds(seconds), words::rate(rate))
        }
        _ => String::new(),
    };
    let open = if c.peak >= c.asked { Look::Good } else { Look::Bad };
    let mut rows: Vec<Vec<Cell>> = vec![
        vec![plain("open at once"), (grouped(c.peak), open)],
        vec![
            plain("opened"),
            plain(grouped(c.opened)),
            plain(pace(run.opening_rate(), c.open_seconds)),
        ],
    ];
    if c.logged_in > 0 {
        let login = pace(run.login_rate(), c.login_seconds);
        rows.push(vec![plain("logged in"), plain(grouped(c.logged_in)), plain(login)]);
    }
    rows.push(vec![plain("lost"), unwanted(c.lost)]);
    rows.push(vec![plain("failed"), unwanted(c.failed)]);
    let mut causes: Vec<_> = c.causes.iter().filter(|(_, count)| **count > 0).collect();
    causes.sort_by(|a, b| b.1.cmp(a.1));
    for (cause, count) in causes.iter().take(CAUSES_MAX) {
        rows.push(vec![(format!("  {cause}"), Look::Dim), plain(grouped(**count))]);
    }
    page.table(&rows);
    if causes.len() > CAUSES_MAX {
        let more = causes.len() - CAUSES_MAX;
        page.line(&format!("  and {more} rarer causes: all are in the result file"), Look::Dim);
    }
}

fn messages(page: &mut Page, run: &RunResult) {
    let m = &run.messages;
    if m.sent + m.received + m.unnumbered == 0 {
        return;
    }
    let wrong = [
        ("lost", m.lost),
        ("duplicate", m.duplicates),
        ("out of order", m.out_of_order),
        ("to somebody else", m.misdelivered),
        ("corrupted", m.corrupted),
    ];
    let bad: Vec<_> = wrong.iter().filter(|(_, count)| *count > 0).collect();
    page.heading("Messages", "every one numbered and checked");
    let mut rows = vec![
        vec![plain("sent"), plain(grouped(m.sent)), plain(bytes_text(m.bytes_out as f64))],
        vec![plain("received"), plain(grouped(m.received)), plain(bytes_text(m.bytes_in as f64))],
    ];
    if m.unnumbered > 0 {
        rows.push(vec![plain("announcements"), plain(grouped(m.unnumbered))]);
    }
    rows.extend(bad.iter().map(|(name, count)| vec![plain(*name), unwanted(*count)]));
    page.table(&rows);
    if bad.is_empty() {
        page.line("none lost, doubled, out of order, misdelivered or corrupted", Look::Good);
    }
}

fn sides(page: &mut Page, run: &RunResult) {
    let server = side::server(run);
    let generator = side::generator(run);
    if server.is_none() && generator.is_none() {
        return;
    }
    page.heading("Both sides", if server.is_none() { "server: --server-pid shows it" } else { "" });
    let row = |name: &str, process: side::Process| {
        let each = process.bytes_each.map(|each| format!("{}/connection", words::bytes_each(each)));
        vec![
            plain(name),
            plain(format!("CPU {}", words::seconds(process.cpu_s))),
            plain(format!("{:.2} cores", process.cores)),
            plain(bytes_text(process.peak_bytes as f64)),
            plain(each.unwrap_or_default()),
        ]
    };
    let mut rows = Vec::new();
    rows.extend(server.map(|process| row("server", process)));
    rows.extend(generator.map(|process| row("generator", process)));
    page.table(&rows);
    if let Some(kernel) = side::kernel(run) {
        let line = format!(
            "kernel     {} sockets, slab {}, socket buffers {}, {} still available",
            grouped(kernel.sockets),
            bytes_text(kernel.slab_bytes as f64),
            bytes_text(kernel.socket_bytes as f64),
            bytes_text(kernel.available_bytes as f64)
        );
        page.line(&line, Look::Plain);
    }
}

fn stall(page: &mut Page, run: &RunResult) {
    let Some(stall) = &run.stall else { return };
    page.heading("Stalled", &format!("at {} connections", grouped(stall.connections)));
    page.line(&stall.limit, Look::Bad);
    page.sentence(0, &stall.evidence, Look::Plain);
    page.line("to lift it:", Look::Dim);
    stall.remedy.lines().for_each(|line| page.line(&format!("  {line}"), Look::Plain));
}

fn objectives(page: &mut Page, run: &RunResult) {
    if run.objectives.is_empty() {
        return;
    }
    let missed = run.objectives.iter().filter(|objective| !objective.met).count();
    let remark = if missed == 0 { "all met".to_owned() } else { format!("{missed} missed") };
    page.heading("Objectives", &remark);
    let rows: Vec<Vec<Cell>> = run
        .objectives
        .iter()
        .map(|objective| {
            let unit = words::objective_unit(&objective.text);
            let measured = match objective.measured {
                Some(value) => format!("{}{unit}", words::number(value)),
                None => "not measured".to_owned(),
            };
            let (mark, look) =
                if objective.met { ("met", Look::Good) } else { ("MISSED", Look::Bad) };
            vec![plain(&objective.text), plain(measured), (mark.to_owned(), look)]
        })
        .collect();
    page.table(&rows);
}

/// The parts that say something, with dots between.
fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

const CAUSES_MAX: usize = 8;
