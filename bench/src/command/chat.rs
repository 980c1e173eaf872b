//! `chat`: the gateway's protocol as users speak it, mixed by weights.

use super::hold::{bad, exit_of, log_in, open_all};
use crate::exit::Exit;
use crate::result::{Better, Figure, LoadPoint, Verdict};
use crate::run::unicast::{Doors, Senders, Sent, Unicast};
use crate::run::{Common, Ended, Level, Run};
use crate::swarm::{Count, Load, Order, Policy, Protocol, Request, Timing, Whom};
use crate::units::count;
use crate::wire::stamp::STAMP_BYTES;
use clap::Args;
use std::io;
use std::time::Duration;

/// Users who log in, beat, ping and get messages, in a mix by weights.
#[derive(Args, Clone, Debug)]
pub struct Chat {
    #[command(flatten)]
    common: Common,
    /// The gateway's HTTP API; may be repeated, senders take them in turn
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    http: Vec<String>,
    /// Send each message to another node than that of its receiver; needs a --http for each --url, in
    /// the same order
    #[arg(long)]
    across: bool,
    /// Events a second, all kinds together
    #[arg(long, short = 'R', default_value = "1000", value_parser = count)]
    rate: u64,
    /// Weights of heartbeat, ping, unicast, and of login: a client that leaves and comes back
    #[arg(long, default_value = "heartbeat=20,ping=10,unicast=70", value_parser = mix)]
    mix: Mix,
    /// Bytes of a message, at least 32
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Connections to the HTTP API at once
    #[arg(long, default_value_t = 8)]
    senders: u32,
    /// Messages in one request to the HTTP API, at most; one is sent as a form, as gowebsocket knows it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Stretches that the time is measured in; each is a sample of every figure
    #[arg(long, default_value_t = 5)]
    stretches: u32,
}

/// How often each kind of event happens, in relation to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mix {
    login: f64,
    heartbeat: f64,
    ping: f64,
    unicast: f64,
}

fn mix(text: &str) -> Result<Mix, String> {
    let mut mix = Mix::default();
    for part in text.split(',') {
        let wrong = || format!("{part:?} is not a weight such as ping=10");
        let (name, weight) = part.split_once('=').ok_or_else(wrong)?;
        let weight: f64 = weight.trim().parse().map_err(|_| wrong())?;
        if !(0.0..=1e9).contains(&weight) {
            return Err(wrong());
        }
        match name.trim() {
            "login" => mix.login = weight,
            "heartbeat" => mix.heartbeat = weight,
            "ping" => mix.ping = weight,
            "unicast" => mix.unicast = weight,
            other => return Err(format!("{other:?} is none of login, heartbeat, ping, unicast")),
        }
    }
    if mix.sum() <= 0.0 {
        return Err(format!("{text}: all weights are 0"));
    }
    Ok(mix)
}

impl Mix {
    fn sum(&self) -> f64 {
        self.login + self.heartbeat + self.ping + self.unicast
    }
}

/// How long messages may be under way after the last one was sent.
const SETTLE: Duration = Duration::from_secs(5);

impl Chat {
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
        let spec = self.common.spec(Protocol::Gateway).map_err(bad)?;
        let (doors, nodes) = (self.http.clone(), spec.urls.len());
        let doors = match self.across {
            true => Doors::across(doors, nodes, self.senders),
            false => Doors::any(doors),
        };
        let key = self.common.credentials.api_key().map_err(bad)?;
        let doors = doors.map_err(bad)?.with_key(key);
        let mut run = Run::start("chat", &self.common, spec)?;
        run.swarm.order(Whom::Crowd, &Order::Beat(self.common.beat(true)))?;
        let mut ended = open_all(&mut run, self.common.connect_rate)?;
        if ended == Ended::Done {
            ended = log_in(&mut run, None)?;
        }
        if ended == Ended::Done {
            ended = self.talk(&mut run, &doors)?;
        }
        let exit = exit_of(&mut run, ended)?;
        // What was under way to a client that left is lost, and not the server's fault.
        let lost = run.result.messages.lost > 0 && self.mix.login == 0.0;
        Ok((run, if exit == Exit::Ok && lost { Exit::Failed } else { exit }))
    }

    fn talk(&self, run: &mut Run, doors: &Doors) -> io::Result<Ended> {
        let share = |weight: f64| self.rate as f64 * weight / self.mix.sum();
        let users = run.swarm.spec().crowd;
        let unicast = Unicast {
            per_s: share(self.mix.unicast),
            senders: self.senders,
            batch: usize::from(self.batch),
            size: self.size,
            users,
            first_number: 0,
        };
        // An API that is not there is an error now, not a column of zeros later.
        let spec = run.swarm.spec();
        for http in &self.http {
            self.common.backend(http)?.send(spec.app(0), "load-lab-nobody", "")?;
        }
        let senders = Senders::start(unicast, doors, spec, run.swarm.clock())?;
        let requests = share(self.mix.ping + self.mix.heartbeat);
        let pings = self.mix.ping / (self.mix.ping + self.mix.heartbeat).max(1e-9) * 100.0;
        let request = Request::Mix(pings.round() as u8);
        let load = Load { request, active: users, per_s: Some(requests), in_flight: 1 };
        if requests > 0.0 {
            run.swarm.load(Whom::Crowd, Some(load))?;
        }
        run.swarm.order(Whom::Crowd, &Order::Return(Policy::Immediate))?;
        let mut churn = Churn::new(share(self.mix.login));
        let mut ended = run.pass_with("warming up", self.common.warmup, |run| churn.step(run))?;
        if ended == Ended::Done {
            ended = self.measure(run, requests, &senders, &mut churn)?;
        }
        run.swarm.load(Whom::Crowd, None)?;
        let sent = senders.stop();
        self.settle(run, sent)?;
        Ok(ended)
    }

    fn measure(
        &self,
        run: &mut Run,
        requests: f64,
        senders: &Senders,
        churn: &mut Churn,
    ) -> io::Result<Ended> {
        let level = Level {
            name: "ping and heartbeat",
            whom: Whom::Crowd,
            active: run.swarm.spec().crowd,
            offered_per_s: Some(requests),
            time: self.common.duration,
            stretches: self.stretches,
        };
        // Whoever is interrupted here ends with the first stretch.
        run.meet(level.name)?;
        let before = senders.sent();
        let mut pushes = Timing::default();
        let (ended, point) = run.measure_with(level, &mut pushes, |run| churn.step(run))?;
        let delivered = senders.sent().delivered - before.delivered;
        let achieved_per_s = delivered as f64 / point.seconds.max(1e-9);
        let offered = self.rate as f64 * self.mix.unicast / self.mix.sum();
        let verdict = if achieved_per_s < offered * 0.99 && point.verdict.is_valid() {
            Verdict::Invalid(
                "the HTTP senders did not send what they should; more --senders".into(),
            )
        } else {
            point.verdict.clone()
        };
        run.result.figures.push(Figure {
            name: "unicast.messages_per_second".into(),
            unit: "1/s".into(),
            better: Better::Higher,
            samples: vec![achieved_per_s],
            valid: verdict.is_valid(),
        });
        let latency = pushes.latency();
        run.add_figure("unicast.p99", latency.corrected.p99_us);
        let (name, offered_per_s) = ("unicast through HTTP".to_owned(), Some(offered));
        let part = LoadPoint { name, offered_per_s, achieved_per_s, verdict, latency, ..point };
        run.result.loads.push(part);
        Ok(ended)
    }

    /// Waits for what is under way and counts what never came.
    fn settle(&self, run: &mut Run, sent: Sent) -> io::Result<()> {
        run.wait_for("last messages", sent.delivered, Some(SETTLE), |totals| {
            totals[Count::Pushed]
        })?;
        run.settle(Whom::Crowd)?;
        let came = run.totals()[Count::Pushed];
        run.result.messages.sent += sent.delivered;
        run.result.messages.lost += sent.delivered.saturating_sub(came);
        let others =
            [(sent.offline, "to users who were away"), (sent.failed, "refused by the API")];
        for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
            run.result.notes.push(format!("{count} messages {what}"));
        }
        Ok(())
    }
}

/// Clients that leave and come back, at a rate.
#[derive(Debug)]
struct Churn {
    per_s: f64,
    began: Option<Duration>,
    dropped: u64,
}

impl Churn {
    fn new(per_s: f64) -> Self {
        Self { per_s, began: None, dropped: 0 }
    }

    fn step(&mut self, run: &Run) -> io::Result<()> {
        let now = run.swarm.clock().now();
        let began = *self.began.get_or_insert(now);
        let due = ((now - began).as_secs_f64() * self.per_s) as u64;
        let some = u32::try_from(due - self.dropped).unwrap_or(0);
        if some > 0 {
            self.dropped = due;
            run.swarm.drop_some(some)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes_are_read() {
        let read = mix("ping=1, unicast=3").unwrap();
        assert_eq!(read, Mix { ping: 1.0, unicast: 3.0, ..Mix::default() });
        for text in ["", "ping", "ping=x", "ping=-1", "dance=1", "ping=0"] {
            assert!(mix(text).is_err(), "{text}");
        }
    }
}
