//! `storm`: many connections dropped at once, and how they come back.

use super::hold::{bad, exit_of, log_in, open_all};
use super::probes::Probes;
use crate::exit::Exit;
use crate::probe::kernel::Drops;
use crate::result::{Better, Figure, Recovery, Storm};
use crate::run::{Common, Ended, Run};
use crate::swarm::{Count, Order, Policy, Protocol, Whom};
use crate::units::duration;
use clap::Args;
use std::io;
use std::time::Duration;

/// Drops a share of the connections at once and watches them come back.
#[derive(Args, Clone, Debug)]
pub struct StormCommand {
    #[command(flatten)]
    common: Common,
    /// Share of the connections that is dropped, percent
    #[arg(long, default_value_t = 50.0)]
    share: f64,
    /// How clients come back: immediate, fixed:5s, exponential:1s..30s (with full jitter)
    #[arg(long, default_value = "immediate", value_parser = policy)]
    policy: Policy,
    /// Log every connection in, as a user of its own
    #[arg(long)]
    login: bool,
    /// How long to wait for the last one
    #[arg(long, default_value = "300s", value_parser = duration)]
    limit: Duration,
    #[command(flatten)]
    probes: Probes,
}

fn policy(text: &str) -> Result<Policy, String> {
    let wrong = || format!("{text:?} is none of immediate, fixed:5s, exponential:1s..30s");
    match text.split_once(':') {
        None if text == "immediate" => Ok(Policy::Immediate),
        Some(("fixed", delay)) => Ok(Policy::Fixed(duration(delay)?)),
        Some(("exponential", range)) => {
            let (base, cap) = range.split_once("..").ok_or_else(wrong)?;
            let (base, cap) = (duration(base)?, duration(cap)?);
            if base.is_zero() || base > cap {
                return Err(format!("{text}: the first bound is above 0 and below the last"));
            }
            Ok(Policy::Exponential { base, cap })
        }
        _ => Err(wrong()),
    }
}

fn policy_text(policy: Policy) -> String {
    match policy {
        Policy::Never => "never".to_owned(),
        Policy::Immediate => "immediate".to_owned(),
        Policy::Fixed(delay) => format!("fixed {delay:?}"),
        Policy::Exponential { base, cap } => format!("exponential {base:?}..{cap:?}"),
        Policy::Obey => "as bidden".to_owned(),
    }
}

impl StormCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the kernel refuses something, or a worker has failed.
    pub fn run(self) -> io::Result<(Run, Exit)> {
        if !(0.0..=100.0).contains(&self.share) {
            return Err(bad(format!("--share {}: from 0 to 100", self.share)));
        }
        let protocol = if self.login { Protocol::Gateway } else { Protocol::Echo };
        let mut spec = self.common.spec(protocol).map_err(bad)?;
        spec.probes = self.probes.count;
        let mut run = Run::start("storm", &self.common, spec)?;
        run.swarm.order(Whom::Crowd, &Order::Beat(self.common.beat(self.login)))?;
        let mut ended = open_all(&mut run, self.common.connect_rate)?;
        if ended == Ended::Done && self.login {
            ended = log_in(&mut run, None)?;
        }
        if ended == Ended::Done {
            ended = self.probes.open(&mut run)?;
        }
        if ended == Ended::Done {
            ended = run.pass("settling", self.common.warmup)?;
        }
        if ended == Ended::Done {
            ended = self.probes.measure(&mut run, "survivors before", self.common.duration)?;
        }
        if ended == Ended::Done {
            ended = self.strike(&mut run)?;
        }
        self.probes.close(&mut run)?;
        let exit = exit_of(&mut run, ended)?;
        Ok((run, exit))
    }

    fn strike(&self, run: &mut Run) -> io::Result<Ended> {
        run.swarm.order(Whom::Crowd, &Order::Return(self.policy))?;
        let before = run.totals();
        let crowd = run.swarm.totals(Whom::Crowd)[Count::Open];
        let dropped = (crowd as f64 * self.share / 100.0).round() as u64;
        if run.meet("strike")? == Ended::Interrupted {
            return Ok(Ended::Interrupted);
        }
        let drops = Drops::read();
        self.probes.begin(run)?;
        let clock = run.swarm.clock();
        let began = clock.now();
        run.swarm.drop_some(u32::try_from(dropped).unwrap_or(u32::MAX))?;
        let mut curve: Vec<Recovery> = Vec::new();
        let ended = run.wait_for("coming back", dropped, Some(self.limit), |totals| {
            let returned = totals[Count::Returned];
            let at_s = (clock.now() - began).as_secs_f64();
            // Enough points for a plot: one for every hundredth of the way, and the last.
            let known = curve.last().map_or(0, |last| last.returned);
            if returned > known && (returned - known) * 100 >= dropped || returned == dropped {
                curve.push(Recovery { at_s, returned });
            }
            returned
        })?;
        self.probes.end(run, "survivors during storm")?;
        let (after, now) = (run.totals(), Drops::read());
        let until = |share: f64| {
            let point = curve.iter().find(|point| point.returned as f64 >= dropped as f64 * share);
            point.map(|point| point.at_s)
        };
        let storm = Storm {
            before: crowd,
            dropped,
            policy: policy_text(self.policy),
            returned: after[Count::Returned],
            survivors_lost: after[Count::Lost] - before[Count::Lost],
            half_s: until(0.5),
            p99_s: until(0.99),
            all_s: until(1.0),
            listen_overflows: now.listen_overflows - drops.listen_overflows,
            syn_retransmits: now.syn_retransmits - drops.syn_retransmits,
            curve,
        };
        if let Some(seconds) = storm.all_s {
            run.result.figures.push(Figure {
                name: "storm.all_back".to_owned(),
                unit: "s".to_owned(),
                better: Better::Lower,
                samples: vec![seconds],
                valid: true,
            });
        }
        run.result.storm = Some(storm);
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_and_named() {
        for (text, named) in [
            ("immediate", "immediate"),
            ("fixed:5s", "fixed 5s"),
            ("exponential:500ms..30s", "exponential 500ms..30s"),
        ] {
            assert_eq!(policy_text(policy(text).unwrap()), named);
        }
        for text in ["", "never", "fixed", "fixed:x", "exponential:1s", "exponential:9s..1s"] {
            assert!(policy(text).is_err(), "{text}");
        }
    }
}
