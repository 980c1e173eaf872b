//! How much the server bears: the knee over offered load, and how throughput
//! grows with messages in flight.

use crate::result::{Plan, Throughput, Verdict};
use crate::run::{Ended, Level, Run};
use crate::stats::knee::{Ladder, Outcome, Step};
use crate::stats::usl;
use crate::swarm::{Count, Load, Request, Whom};
use std::io;
use std::time::Duration;

/// Where the climb begins, messages a second.
const START_PER_S: f64 = 5_000.0;

/// More than any machine of today answers.
const LOAD_MAX_PER_S: f64 = 50e6;

/// Messages in flight at which throughput is measured.
const IN_FLIGHT: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

pub(super) fn search(
    run: &mut Run,
    plan: &mut Plan,
    time: Duration,
    p99: Duration,
) -> io::Result<Ended> {
    let ended = ladder(run, plan, time, p99)?;
    if ended != Ended::Done {
        return Ok(ended);
    }
    concurrency(run, plan, time / 2)
}

fn ladder(run: &mut Run, plan: &mut Plan, time: Duration, p99: Duration) -> io::Result<Ended> {
    let bound_ms = p99.as_secs_f64() * 1e3;
    let mut ladder = Ladder::new(START_PER_S, LOAD_MAX_PER_S, bound_ms);
    let active = run.swarm.spec().crowd;
    while let Step::Try(per_s) = ladder.step() {
        let offered_per_s = Some(per_s);
        let load = Load { request: Request::Ping, active, per_s: offered_per_s, in_flight: 1 };
        run.swarm.load(Whom::Crowd, Some(load))?;
        run.pass("warming up", time / 4)?;
        let name = "ping";
        let whom = Whom::Crowd;
        let level = Level { name, whom, active, offered_per_s, time, stretches: 1 };
        // The figures of single levels are not worth comparing: the knee is.
        let figures = run.result.figures.len();
        let (ended, point) = run.measure(level)?;
        run.result.figures.truncate(figures);
        run.settle(Whom::Crowd)?;
        if ended != Ended::Done {
            plan.knee = Some(ladder.knee());
            return Ok(ended);
        }
        let within = point.latency.corrected.p99_us as f64 / 1e3 <= bound_ms;
        ladder.tell(match point.verdict {
            Verdict::Invalid(_) => Outcome::GeneratorLimited,
            Verdict::Valid if within && point.achieved_per_s >= per_s * 0.99 => Outcome::Met,
            Verdict::Valid => Outcome::Missed,
        });
    }
    plan.knee = Some(ladder.knee());
    Ok(Ended::Done)
}

fn concurrency(run: &mut Run, plan: &mut Plan, time: Duration) -> io::Result<Ended> {
    let crowd = run.swarm.spec().crowd;
    for active in IN_FLIGHT.into_iter().filter(|active| *active <= crowd) {
        let load = Load { request: Request::Ping, active, per_s: None, in_flight: 1 };
        run.swarm.load(Whom::Crowd, Some(load))?;
        run.pass("warming up", time / 4)?;
        let (before, began) = (run.totals()[Count::Answered], run.swarm.clock().now());
        let ended = run.pass("in flight", time)?;
        let seconds = (run.swarm.clock().now() - began).as_secs_f64();
        let answered = (run.totals()[Count::Answered] - before) as f64;
        run.settle(Whom::Crowd)?;
        if ended != Ended::Done {
            return Ok(ended);
        }
        let per_s = answered / seconds.max(1e-9);
        plan.throughputs.push(Throughput { in_flight: f64::from(active), per_s });
    }
    let points: Vec<_> = plan.throughputs.iter().map(|at| (at.in_flight, at.per_s)).collect();
    match usl::fit(&points) {
        Ok(law) => plan.scalability = Some(law),
        Err(why) => run.result.notes.push(format!("scalability: {why}")),
    }
    Ok(Ended::Done)
}
