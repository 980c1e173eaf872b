//! `hold`: opens connections, keeps them, counts every loss.

use crate::exit::Exit;
use crate::result::{Better, Figure};
use crate::run::{Common, Ended, Run};
use crate::swarm::{Count, Order, Policy, Protocol, Totals, Whom};
use crate::units::{count, duration};
use clap::Args;
use std::io;
use std::time::Duration;

/// Opens connections, keeps them with heartbeats, counts every loss.
#[derive(Args, Clone, Debug)]
pub struct Hold {
    #[command(flatten)]
    common: Common,
    /// Log every connection in, as a user of its own
    #[arg(long)]
    login: bool,
    /// Logins a second; as fast as it goes if not given
    #[arg(long, value_parser = count)]
    login_rate: Option<u64>,
    /// A stage, DURATION:CONNECTIONS: grow to so many within this time; may be repeated
    #[arg(long = "stage", short, value_parser = stage)]
    stages: Vec<Stage>,
    /// Clients obey a server that stops: they come back when, and where, its close says
    #[arg(long)]
    come_back: bool,
    /// How long to wait in the end for those who were told and are not back
    #[arg(long, default_value = "120s", value_parser = duration)]
    limit: Duration,
}

/// Part of a ramp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stage {
    time: Duration,
    connections: u32,
}

fn stage(text: &str) -> Result<Stage, String> {
    let (time, target) =
        text.split_once(':').ok_or_else(|| format!("{text:?} is not a stage such as 30s:100k"))?;
    let connections = u32::try_from(count(target)?).map_err(|_| format!("{text}: too many"))?;
    Ok(Stage { time: duration(time)?, connections })
}

impl Hold {
    /// Does it.
    ///
    /// # Errors
    /// When the kernel refuses something, or a worker has failed.
    pub fn run(mut self) -> io::Result<(Run, Exit)> {
        if let Some(most) = self.stages.iter().map(|stage| stage.connections).max() {
            self.common.connections = most;
        }
        let protocol = if self.login { Protocol::Gateway } else { Protocol::Echo };
        let spec = self.common.spec(protocol).map_err(bad)?;
        let mut run = Run::start("hold", &self.common, spec)?;
        run.swarm.order(Whom::Crowd, &Order::Beat(self.common.beat(self.login)))?;
        if self.come_back {
            run.swarm.order(Whom::Crowd, &Order::Return(Policy::Obey))?;
        }
        let mut ended = self.open(&mut run)?;
        if ended == Ended::Done && self.login {
            ended = log_in(&mut run, self.login_rate.map(|rate| rate as f64))?;
        }
        if ended == Ended::Done {
            ended = run.pass("holding", self.common.duration)?;
        }
        if ended == Ended::Done && self.come_back {
            ended = self.await_returns(&mut run)?;
        }
        let exit = exit_of(&mut run, ended)?;
        Ok((run, exit))
    }

    /// Waits until all who were told to come back are back; some may be told meanwhile.
    fn await_returns(&self, run: &mut Run) -> io::Result<Ended> {
        loop {
            let told = run.totals()[Count::Told];
            let returned = |totals: &Totals| totals[Count::Returned];
            let ended = run.wait_for("coming back", told, Some(self.limit), returned)?;
            if ended != Ended::Done || run.totals()[Count::Told] == told {
                return Ok(ended);
            }
        }
    }

    /// Opens all connections, in one go or by stages.
    fn open(&self, run: &mut Run) -> io::Result<Ended> {
        if self.stages.is_empty() {
            return open_all(run, self.common.connect_rate);
        }
        let mut here = 0;
        for stage in &self.stages {
            let more = stage.connections.saturating_sub(here);
            let seconds = stage.time.as_secs_f64().max(0.001);
            let began = run.swarm.clock().now();
            run.swarm.grow(Whom::Crowd, stage.connections, Some(f64::from(more) / seconds))?;
            let goal = u64::from(stage.connections);
            let ended = run.wait_for("opening", goal, None, |totals| totals[Count::Opened])?;
            if ended != Ended::Done {
                return Ok(ended);
            }
            let rest = stage.time.saturating_sub(run.swarm.clock().now() - began);
            run.pass("stage", rest)?;
            here = here.max(stage.connections);
        }
        Ok(Ended::Done)
    }
}

/// Opens the whole crowd and notes how fast that went.
pub(super) fn open_all(run: &mut Run, per_s: Option<f64>) -> io::Result<Ended> {
    let goal = u64::from(run.swarm.spec().crowd);
    let began = run.swarm.clock().now();
    run.swarm.grow(Whom::Crowd, run.swarm.spec().crowd, per_s)?;
    let ended = run.wait_for("opening", goal, None, |totals| totals[Count::Open])?;
    let seconds = (run.swarm.clock().now() - began).as_secs_f64();
    run.result.connections.open_seconds = seconds;
    let opened = run.totals()[Count::Opened];
    run.result.figures.push(rate("open.handshakes_per_second", opened, seconds));
    if ended == Ended::Done { run.meet("opened") } else { Ok(ended) }
}

/// Logs the whole crowd in and notes how fast that went.
pub(super) fn log_in(run: &mut Run, per_s: Option<f64>) -> io::Result<Ended> {
    let goal = u64::from(run.swarm.spec().crowd);
    let began = run.swarm.clock().now();
    run.swarm.log_in(per_s)?;
    let ended = run.wait_for("logging in", goal, None, |totals| totals[Count::LoggedIn])?;
    let seconds = (run.swarm.clock().now() - began).as_secs_f64();
    run.result.connections.login_seconds = seconds;
    let logged_in = run.totals()[Count::LoggedIn];
    run.result.figures.push(rate("login.logins_per_second", logged_in, seconds));
    if ended == Ended::Done { run.meet("logged in") } else { Ok(ended) }
}

fn rate(name: &str, events: u64, seconds: f64) -> Figure {
    Figure {
        name: name.to_owned(),
        unit: "1/s".to_owned(),
        better: Better::Higher,
        samples: vec![events as f64 / seconds.max(1e-9)],
        valid: true,
    }
}

/// What the end of a run means; names the limit if it has stalled.
pub(super) fn exit_of(run: &mut Run, ended: Ended) -> io::Result<Exit> {
    if matches!(ended, Ended::Stalled | Ended::TimedOut) {
        run.result.stall = Some(run.diagnose()?);
    }
    let totals = run.totals();
    let wrong = [Count::Lost, Count::Duplicates, Count::Misdelivered, Count::Corrupted];
    let clean = wrong.iter().all(|count| totals[*count] == 0);
    Ok(match ended {
        Ended::Interrupted => Exit::Aborted,
        Ended::Done if clean => Exit::Ok,
        _ => Exit::Failed,
    })
}

/// An error of whoever gave the command.
pub(super) fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read() {
        let read = stage("30s:100k").unwrap();
        assert_eq!(read, Stage { time: Duration::from_secs(30), connections: 100_000 });
        for text in ["30s", "x:1", "1s:x", "1s:9g"] {
            assert!(stage(text).is_err(), "{text}");
        }
    }
}
