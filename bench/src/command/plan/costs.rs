//! What an event costs: one kind of load after the other, then a fit over all.

use crate::result::CpuCosts;
use crate::run::unicast::{Doors, Senders, Unicast};
use crate::run::{Ended, Run};
use crate::stats::regression::{CpuLoad, cpu_costs};
use crate::swarm::{Count, Load, Request, Totals, Whom};
use crate::wire::stamp::{EVERYBODY, Stamp};
use std::io;
use std::time::Duration;

/// Everything that was measured so far.
#[derive(Debug, Default)]
pub(super) struct Costs {
    loads: Vec<CpuLoad>,
    connects: Vec<f64>,
    receipts: Vec<f64>,
}

/// The beginning of a measured stretch.
#[derive(Debug)]
pub(super) struct Stretch {
    at: Duration,
    totals: Totals,
    cpu_s: f64,
}

impl Stretch {
    pub(super) fn begin(run: &Run) -> io::Result<Self> {
        let cpu_s = run.cpu()?.1.unwrap_or(0.0);
        Ok(Self { at: run.swarm.clock().now(), totals: run.totals(), cpu_s })
    }
}

/// Heartbeats a second that are measured, beside twice as many.
const HEARTBEATS_PER_S: f64 = 2_000.0;

/// Messages a second to single users: what the HTTP API and its callers bear on one core.
const UNICASTS_PER_S: f64 = 1_000.0;

/// Messages to all in one stretch.
const FANOUTS: u32 = 3;

/// How long a message to all may take.
const FANOUT_LIMIT: Duration = Duration::from_secs(60);

impl Costs {
    /// Enters what has happened since `from`; unicasts are known to the caller alone.
    fn enter(&mut self, run: &Run, from: &Stretch, unicasts: f64) -> io::Result<f64> {
        let to = Stretch::begin(run)?;
        let more = |count: Count| (to.totals[count] - from.totals[count]) as f64;
        let seconds = (to.at - from.at).as_secs_f64();
        let open = (to.totals[Count::Open] + from.totals[Count::Open]) as f64 / 2.0;
        self.loads.push(CpuLoad {
            connection_seconds: open * seconds,
            heartbeats: more(Count::Answered) + more(Count::BeatsAnswered),
            unicasts,
            // Announcements are receipts of messages to many, too.
            fanout_receipts: more(Count::Pushed) - unicasts + more(Count::Unnumbered),
            connects: more(Count::LoggedIn),
            cpu_s: to.cpu_s - from.cpu_s,
        });
        Ok(seconds)
    }

    pub(super) fn connects(&mut self, run: &Run, from: &Stretch) -> io::Result<()> {
        let seconds = self.enter(run, from, 0.0)?;
        let done = run.totals()[Count::LoggedIn] - from.totals[Count::LoggedIn];
        self.connects.push(done as f64 / seconds.max(1e-9));
        Ok(())
    }

    /// The slowest plateau's rate: the storm that matters is the one at the top.
    pub(super) fn connects_per_s(&self) -> Option<f64> {
        self.connects.iter().copied().reduce(f64::min)
    }

    pub(super) fn receipts_per_s(&self) -> Option<f64> {
        self.receipts.iter().copied().reduce(f64::min)
    }

    /// Lets the connections do one thing at a time.
    pub(super) fn measure(
        &mut self,
        run: &mut Run,
        http: &str,
        time: Duration,
    ) -> io::Result<Ended> {
        let idle = Stretch::begin(run)?;
        let mut ended = run.pass("idle", time)?;
        self.enter(run, &idle, 0.0)?;
        for factor in [1.0, 2.0] {
            if ended == Ended::Done {
                ended = self.heartbeats(run, HEARTBEATS_PER_S * factor, time)?;
            }
        }
        if http.is_empty() {
            return Ok(ended);
        }
        for (factor, first_number) in [(0.5, 0), (1.0, 1 << 20)] {
            if ended == Ended::Done {
                let order = Unicast {
                    per_s: UNICASTS_PER_S * factor,
                    senders: 4,
                    batch: 1,
                    size: 64,
                    users: run.swarm.spec().crowd,
                    first_number,
                };
                ended = self.unicasts(run, http, order, time)?;
            }
        }
        for number in 0..FANOUTS {
            if ended == Ended::Done {
                ended = self.fanout(run, http, number)?;
            }
        }
        Ok(ended)
    }

    fn heartbeats(&mut self, run: &mut Run, per_s: f64, time: Duration) -> io::Result<Ended> {
        let active = run.swarm.spec().crowd;
        let per_s = Some(per_s);
        let load = Load { request: Request::Heartbeat, active, per_s, in_flight: 1 };
        let from = Stretch::begin(run)?;
        run.swarm.load(Whom::Crowd, Some(load))?;
        let ended = run.pass("heartbeats", time)?;
        run.settle(Whom::Crowd)?;
        self.enter(run, &from, 0.0)?;
        Ok(ended)
    }

    fn unicasts(
        &mut self,
        run: &mut Run,
        http: &str,
        order: Unicast,
        time: Duration,
    ) -> io::Result<Ended> {
        let from = Stretch::begin(run)?;
        let key = run.common().credentials.api_key().map_err(io::Error::other)?;
        let doors = Doors::any(vec![http.to_owned()]).map_err(io::Error::other)?.with_key(key);
        let senders = Senders::start(order, &doors, run.swarm.spec(), run.swarm.clock())?;
        let ended = run.pass("messages to users", time)?;
        let sent = senders.stop();
        let goal = from.totals[Count::Pushed] + sent.delivered;
        run.wait_for("last messages", goal, Some(time), |totals| totals[Count::Pushed])?;
        self.enter(run, &from, sent.delivered as f64)?;
        run.result.messages.sent += sent.delivered;
        Ok(ended)
    }

    fn fanout(&mut self, run: &mut Run, http: &str, number: u32) -> io::Result<Ended> {
        let backend = run.common().backend(http)?;
        let from = Stretch::begin(run)?;
        let now = run.swarm.clock().now_us();
        // Above all numbers that single users have had.
        let number = (1 << 30) + number;
        let stamp = Stamp { receiver: EVERYBODY, number, intended_us: now, sent_us: now };
        for app in &run.swarm.spec().apps {
            backend.send_all(*app, &String::from_utf8_lossy(&stamp.encode()))?;
        }
        let receivers = from.totals[Count::Present];
        let goal = from.totals[Count::Pushed] + receivers;
        let ended = run
            .wait_for("message to all", goal, Some(FANOUT_LIMIT), |totals| totals[Count::Pushed])?;
        let seconds = self.enter(run, &from, 0.0)?;
        self.receipts.push(receivers as f64 / seconds.max(1e-9));
        run.result.messages.sent += receivers;
        Ok(ended)
    }

    pub(super) fn fit(&self) -> Result<CpuCosts, String> {
        cpu_costs(&self.loads)
    }
}
