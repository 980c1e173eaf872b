//! Connections that measure while others make the load.

use crate::result::{LoadPoint, Verdict};
use crate::run::{Ended, Level, Run};
use crate::swarm::{Count, Load, Protocol, Request, Whom};
use crate::units::count;
use clap::Args;
use std::io;
use std::time::Duration;

/// How the others are watched meanwhile.
#[derive(Args, Clone, Debug)]
pub(super) struct Probes {
    /// Further connections that only measure
    #[arg(long = "probes", default_value = "100", value_parser = probes)]
    pub(super) count: u32,
    /// Their requests a second, all together
    #[arg(long = "probe-rate", default_value = "1000", value_parser = count)]
    pub(super) rate: u64,
}

fn probes(text: &str) -> Result<u32, String> {
    let number = count(text)?;
    // One thread has them all.
    u32::try_from(number).ok().filter(|n| *n <= 10_000).ok_or("at most 10,000 probes".into())
}

impl Probes {
    /// Opens them and lets them ask; answers count from [`Probes::begin`] on.
    pub(super) fn open(&self, run: &mut Run) -> io::Result<Ended> {
        if self.count == 0 {
            return Ok(Ended::Done);
        }
        let here = run.totals()[Count::Opened];
        let goal = here + u64::from(self.count);
        run.swarm.grow(Whom::Probes, self.count, None)?;
        let ended = run.wait_for("opening probes", goal, None, |totals| totals[Count::Opened])?;
        let request = match run.swarm.spec().protocol {
            Protocol::Gateway => Request::Ping,
            Protocol::Echo => Request::Echo(crate::wire::stamp::STAMP_BYTES),
        };
        let per_s = Some(self.rate as f64);
        let load = Load { request, active: self.count, per_s, in_flight: 1 };
        run.swarm.load(Whom::Probes, Some(load))?;
        Ok(ended)
    }

    /// Measures for a while.
    pub(super) fn measure(&self, run: &mut Run, name: &str, time: Duration) -> io::Result<Ended> {
        if self.count == 0 {
            return Ok(Ended::Done);
        }
        let level = Level {
            name,
            whom: Whom::Probes,
            active: self.count,
            offered_per_s: Some(self.rate as f64),
            time,
            stretches: 5,
        };
        Ok(run.measure(level)?.0)
    }

    /// From here on answers count.
    pub(super) fn begin(&self, run: &Run) -> io::Result<()> {
        run.swarm.harvest(Whom::Probes).map(drop)
    }

    /// Adds what has come since [`Probes::begin`] to the load point of that name.
    pub(super) fn end(&self, run: &mut Run, name: &str) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let timing = run.swarm.harvest(Whom::Probes)?.replies;
        let collected = run.side.entry(name.to_owned()).or_default();
        collected.merge(&timing);
        Ok(())
    }

    /// Ends the requests, waits for the last answers, and enters what was collected.
    pub(super) fn close(&self, run: &mut Run) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        run.settle(Whom::Probes)?;
        let connections = run.totals()[Count::Open];
        for (name, timing) in std::mem::take(&mut run.side) {
            let latency = timing.latency();
            let seconds = latency.corrected.count as f64 / self.rate.max(1) as f64;
            run.add_figure(&format!("{}.p99", name.replace(' ', "_")), latency.corrected.p99_us);
            run.result.loads.push(LoadPoint {
                name,
                connections,
                active: u64::from(self.count),
                offered_per_s: Some(self.rate as f64),
                achieved_per_s: self.rate as f64,
                seconds,
                generator_cpu: 0.0,
                server_cpu_s: None,
                verdict: Verdict::Valid,
                latency,
            });
        }
        Ok(())
    }
}
