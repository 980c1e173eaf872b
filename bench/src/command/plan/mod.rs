//! `plan`: measures what a connection and an event cost, and says what another
//! machine would hold.

mod costs;
mod knee;
mod machine;
mod plateaus;

use super::hold::{bad, exit_of};
use crate::capacity::{Measured, answer};
use crate::exit::Exit;
use crate::probe::process::Process;
use crate::result::Plan;
use crate::run::{Common, Ended, Run};
use crate::swarm::{Count, Protocol};
use crate::units::duration;
use clap::Args;
use costs::Costs;
use machine::Machines;
use std::io;
use std::time::Duration;

/// Measures a server and says what another machine would hold.
///
/// It climbs to the connections asked for in plateaus and measures memory on each; lets them
/// do one thing at a time and fits the CPU of each event; climbs in load until latency
/// runs away; and answers for every machine asked about. The server's process has to be
/// on this host. Announcements blur the fit: start millgate with
/// --set announce.exact_up_to=0 --set announce.digests_per_second=0.
#[derive(Args, Clone, Debug)]
pub struct PlanCommand {
    #[command(flatten)]
    common: Common,
    /// The gateway's HTTP API, for messages to users and to all; "" to leave them out
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    http: String,
    /// Plateaus on the way to all connections, at least 6
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(6..=100))]
    plateaus: u32,
    /// Log nobody in: memory of idle connections only
    #[arg(long)]
    idle: bool,
    /// How long each level of load is measured
    #[arg(long, default_value = "2s", value_parser = duration)]
    level: Duration,
    /// Bound of the corrected p99 that makes the knee
    #[arg(long, default_value = "50ms", value_parser = duration)]
    p99: Duration,
    #[command(flatten)]
    machines: Machines,
}

impl PlanCommand {
    /// Does it.
    ///
    /// # Errors
    /// When the kernel refuses something, the API cannot be reached, or a worker has failed.
    pub fn run(self) -> io::Result<(Run, Exit)> {
        let Some(pid) = self.common.server_pid else {
            return Err(bad(
                "plan needs --server-pid: it measures the server's memory and CPU".into()
            ));
        };
        let spec = self.common.spec(Protocol::Gateway).map_err(bad)?;
        let mut run = Run::start("plan", &self.common, spec)?;
        let mut plan = Plan::default();
        let mut costs = Costs::default();
        let mut measured = Measured {
            loopback: run.result.target.loopback,
            cores: crate::probe::machine::cores(),
            connections: u64::from(run.swarm.spec().crowd),
            ..Measured::default()
        };
        let arrived = if self.idle { Count::Opened } else { Count::LoggedIn };
        if !self.idle {
            run.swarm.log_in(None)?;
        }
        let mut ended = plateaus::climb(&mut run, &mut plan, &mut costs, self.plateaus, arrived)?;
        measured.connects_per_s = costs.connects_per_s();
        if ended == Ended::Done && !self.idle {
            ended = costs.measure(&mut run, &self.http, self.level)?;
        }
        measured.receipts_per_s = costs.receipts_per_s();
        if ended == Ended::Done && !self.idle {
            ended = knee::search(&mut run, &mut plan, self.level, self.p99)?;
        }
        match costs.fit() {
            _ if self.idle => run.result.notes.push("memory of idle connections only".into()),
            Ok(fitted) => plan.cpu = Some(fitted),
            Err(why) => run.result.notes.push(format!("CPU for each event: {why}")),
        }
        (measured.memory, measured.cpu, measured.knee) = (plan.memory, plan.cpu, plan.knee);
        let questions = self.machines.questions(Process { pid })?;
        plan.answers = questions.iter().map(|question| answer(&measured, question)).collect();
        run.result.plan = Some(plan);
        let exit = exit_of(&mut run, ended)?;
        Ok((run, exit))
    }
}
