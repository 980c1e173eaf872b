//! `fanout`: one message to everybody, and when each of them got it.

use super::hold::{bad, exit_of, log_in, open_all};
use super::probes::Probes;
use crate::exit::Exit;
use crate::result::{Better, Fanout, FanoutRound, Figure};
use crate::run::led::{FANOUT_ROUND, Part};
use crate::run::{Common, Ended, Run};
use crate::stats::fairness::jain;
use crate::stats::histogram::Histogram;
use crate::swarm::{Count, Harvest, Order, Protocol, Totals, Whom};
use crate::units::duration;
use crate::wire::gateway;
use crate::wire::stamp::{self, EVERYBODY, STAMP_BYTES, Stamp};
use clap::Args;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Sends a message to everybody and times every receipt.
#[derive(Args, Clone, Debug)]
pub struct FanoutCommand {
    #[command(flatten)]
    common: Common,
    /// The gateway's HTTP API
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    http: String,
    /// The server is a bare send() loop that takes its orders from this file: nobody logs in
    #[arg(long, value_name = "FIFO", requires = "canned")]
    bare_orders: Option<PathBuf>,
    /// Messages to everybody, one after the other
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Bytes of a message, at least 32
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Pause of a reading thread after a receipt, so that it reads the next ones together. A
    /// receipt is seen up to so much late; 0s to read each at once
    #[arg(long, value_parser = duration, default_value = "2ms")]
    gather: Duration,
    #[command(flatten)]
    probes: Probes,
}

/// How things stood before a round.
#[derive(Clone, Copy, Debug)]
struct Opening {
    totals: Totals,
    server_cpu_s: Option<f64>,
}

/// A message that somebody has not received after this time is lost.
const ROUND_LIMIT: Duration = Duration::from_secs(60);

impl FanoutCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the kernel refuses something, the API cannot be reached, or a worker has failed.
    pub fn run(self) -> io::Result<(Run, Exit)> {
        if self.size < STAMP_BYTES {
            return Err(bad(format!(
                "--size: a numbered message has at least {STAMP_BYTES} bytes"
            )));
        }
        let mut spec = self.common.spec(Protocol::Gateway).map_err(bad)?;
        spec.gather = self.gather;
        let logs_in = self.bare_orders.is_none();
        // A bare loop answers nothing.
        spec.probes = if logs_in { self.probes.count } else { 0 };
        let probes = Probes { count: spec.probes, ..self.probes };
        let mut run = Run::start("fanout", &self.common, spec)?;
        run.swarm.order(Whom::Crowd, &Order::Beat(self.common.beat(true)))?;
        let mut ended = open_all(&mut run, self.common.connect_rate)?;
        if ended == Ended::Done && logs_in {
            ended = log_in(&mut run, None)?;
        }
        if ended == Ended::Done {
            ended = probes.open(&mut run)?;
        }
        if ended == Ended::Done {
            ended = run.pass("settling", self.common.warmup)?;
        }
        if ended == Ended::Done {
            ended = probes.measure(&mut run, "ping before", self.common.duration)?;
        }
        if ended == Ended::Done {
            ended = self.rounds(&mut run, &probes)?;
        }
        probes.close(&mut run)?;
        let exit = exit_of(&mut run, ended)?;
        let complete = run.result.fanout.iter().flat_map(|fanout| &fanout.rounds);
        let incomplete = complete.into_iter().any(|round| round.lost + round.duplicates > 0);
        Ok((run, if exit == Exit::Ok && incomplete { Exit::Failed } else { exit }))
    }

    fn rounds(&self, run: &mut Run, probes: &Probes) -> io::Result<Ended> {
        let mut delays = Histogram::new();
        let mut rounds = Vec::new();
        let mut last = Harvest::default();
        let mut ended = Ended::Done;
        for number in 0..self.rounds {
            probes.begin(run)?;
            let opening = self.opening(run)?;
            if run.meet("round")? == Ended::Interrupted {
                ended = Ended::Interrupted;
                break;
            }
            let (end, round, harvest) = self.round(run, number, &opening)?;
            probes.end(run, "ping during fan-out")?;
            delays.merge(&harvest.pushes.corrected());
            rounds.push(round);
            last = harvest;
            ended = end;
            if ended == Ended::Interrupted {
                break;
            }
        }
        add_figures(run, &rounds);
        let lost: u64 = rounds.iter().map(|round| round.lost).sum();
        let receivers: u64 = rounds.iter().map(|round| round.receivers).sum();
        run.result.messages.sent += receivers;
        run.result.messages.lost += lost;
        let (count, sum, squares) = last.fairness;
        let fairness = jain(count, sum, squares);
        run.result.fanout = Some(Fanout { rounds, delays: delays.to_quantiles(), fairness });
        Ok(if ended == Ended::TimedOut { Ended::Done } else { ended })
    }

    /// What a round is compared with, read before anybody sends.
    fn opening(&self, run: &Run) -> io::Result<Opening> {
        run.swarm.harvest(Whom::Crowd)?;
        Ok(Opening { totals: run.totals(), server_cpu_s: run.cpu()?.1 })
    }

    /// One message to each app, and its receipts.
    fn round(
        &self,
        run: &mut Run,
        number: u32,
        opening: &Opening,
    ) -> io::Result<(Ended, FanoutRound, Harvest)> {
        let (before, cpu_before) = (opening.totals, opening.server_cpu_s);
        let receivers =
            if self.bare_orders.is_some() { before[Count::Open] } else { before[Count::Present] };
        let began = run.swarm.clock().now();
        if !run.common().listen_only {
            self.send(run, number)?;
        }
        let goal = before[Count::Pushed] + receivers;
        let what = format!("round {}", number + 1);
        let ended = run.wait_for(&what, goal, Some(ROUND_LIMIT), |totals| totals[Count::Pushed])?;
        let (_, cpu) = run.cpu()?;
        let after = run.totals();
        let harvest = run.swarm.harvest(Whom::Crowd)?;
        let received = after[Count::Pushed] - before[Count::Pushed];
        let delays = harvest.pushes.corrected();
        run.hand_over(|| Part {
            name: FANOUT_ROUND.to_owned(),
            began_s: began.as_secs_f64(),
            length_s: delays.max() as f64 / 1e6,
            histogram: delays.to_base64(),
            fairness: harvest.fairness,
        });
        let (first_us, last_us) = (delays.min(), delays.max());
        let seconds = last_us.saturating_sub(first_us).max(1) as f64 / 1e6;
        let round = FanoutRound {
            receivers,
            received,
            lost: receivers.saturating_sub(received),
            duplicates: after[Count::Duplicates] - before[Count::Duplicates],
            first_us,
            first_by_url_us: match harvest.firsts.len() {
                0 | 1 => Vec::new(),
                _ => harvest.firsts.values().copied().collect(),
            },
            p50_us: delays.quantile(0.5),
            p99_us: delays.quantile(0.99),
            last_us,
            rate_per_s: received as f64 / seconds,
            server_cpu_s: cpu.zip(cpu_before).map(|(now, before)| now - before),
        };
        Ok((ended, round, harvest))
    }
}

impl FanoutCommand {
    /// One message to each app through the HTTP API, or one order to a bare loop.
    fn send(&self, run: &Run, number: u32) -> io::Result<()> {
        let clock = run.swarm.clock();
        let intended_us = clock.now_us();
        let text = || {
            let sent_us = clock.now_us();
            let stamp = Stamp { receiver: EVERYBODY, number, intended_us, sent_us };
            let mut text = stamp.encode().to_vec();
            stamp::pad(&mut text, self.size);
            String::from_utf8_lossy(&text).into_owned()
        };
        if let Some(orders) = &self.bare_orders {
            let order = format!("text {}\n", gateway::push_of(&text()));
            return File::options().write(true).open(orders)?.write_all(order.as_bytes());
        }
        let backend = self.common.backend(&self.http)?;
        let mut apps = run.swarm.spec().apps.iter();
        apps.try_for_each(|app| backend.send_all(*app, &text()).map(drop))
    }
}

fn add_figures(run: &mut Run, rounds: &[FanoutRound]) {
    let ms = |us: u64| us as f64 / 1e3;
    let mut figures: Vec<(&str, &str, Better, Vec<f64>)> = vec![
        ("rate", "1/s", Better::Higher, rounds.iter().map(|round| round.rate_per_s).collect()),
        ("p99", "ms", Better::Lower, rounds.iter().map(|round| ms(round.p99_us)).collect()),
        ("last", "ms", Better::Lower, rounds.iter().map(|round| ms(round.last_us)).collect()),
    ];
    let spread = |round: &FanoutRound| {
        let firsts = || round.first_by_url_us.iter();
        Some(ms(firsts().max()? - firsts().min()?))
    };
    if let Some(samples) = rounds.iter().map(spread).collect() {
        figures.push(("first_at_the_last_address_after_the_first", "ms", Better::Lower, samples));
    }
    let per_cpu = |round: &FanoutRound| Some(round.received as f64 / round.server_cpu_s?.max(1e-9));
    if let Some(samples) = rounds.iter().map(per_cpu).collect() {
        figures.push(("receipts_per_server_cpu_second", "1/s", Better::Higher, samples));
    }
    for (name, unit, better, samples) in figures {
        let (name, unit) = (format!("fanout.{name}"), unit.to_owned());
        run.result.figures.push(Figure { name, unit, better, samples, valid: true });
    }
}
