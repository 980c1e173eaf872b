//! A run: a swarm, what is sampled beside it, and what it all amounts to.

pub mod arguments;
pub mod backend;
pub mod credentials;
mod finish;
pub mod led;
mod measure;
mod progress;
mod sampler;
pub mod unicast;

pub use arguments::Common;
pub use finish::{Finished, print, write};
pub use measure::Level;
pub use progress::Progress;

use crate::clock::{Clock, unix_seconds};
use crate::probe::kernel::Drops;
use crate::probe::machine;
use crate::probe::stall::{Symptoms, diagnose};
use crate::result::{
    Better, ComeBack, Connections, FORMAT, Figure, Messages, RunResult, Stall, Target,
};
use crate::stats::histogram::Histogram;
use crate::stats::slo::{Measured, Slo};
use crate::swarm::{Count, Harvest, Spec, Swarm, Timing, Totals, Whom};
use led::Leash;
use sampler::Sampler;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What was waited for is so.
    Done,
    /// Time was up.
    TimedOut,
    /// Nothing moved any more.
    Stalled,
    /// The user has had enough.
    Interrupted,
}

/// A run under way.
#[derive(Debug)]
pub struct Run {
    /// The clients.
    pub swarm: Swarm,
    /// What is shown meanwhile.
    pub progress: Progress,
    sampler: Sampler,
    command: &'static str,
    common: Common,
    started_unix_s: u64,
    drops: Drops,
    interrupted: Arc<AtomicBool>,
    /// Held by an agent, if there are other generators.
    leash: Option<Leash>,
    /// What was found; filled as the run goes on.
    pub result: RunResult,
    /// Latencies of each measured stretch, for the interval log.
    pub stretches: Vec<Stretch>,
    /// What probes have seen beside something else, by name, until it is entered.
    pub side: BTreeMap<String, Timing>,
}

/// Latencies of one stretch of the run.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// What was measured.
    pub name: String,
    /// When it began, since the start.
    pub began: Duration,
    /// How long it was.
    pub length: Duration,
    /// Corrected latencies, microseconds.
    pub corrected: Histogram,
}

/// How often a wait looks around.
const LOOK: Duration = Duration::from_millis(20);

/// How long answers may take after the last request.
const SETTLE: Duration = Duration::from_secs(5);

/// A count that stands still for so long has stalled.
const STALL: Duration = Duration::from_secs(15);

impl Run {
    /// Starts the clients' threads; nobody connects yet.
    ///
    /// # Errors
    /// When the kernel refuses a thread or a descriptor, or the server's process is not there.
    pub fn start(command: &'static str, common: &Common, spec: Spec) -> io::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The second one ends at once.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                105,
                Arc::clone(&interrupted),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        let clock = Clock::start();
        let seed = spec.seed;
        let asked = u64::from(spec.crowd) + u64::from(spec.probes);
        let loopback = spec.urls.iter().all(|url| url.address.ip().is_loopback());
        let urls: Vec<&str> = spec.urls.iter().map(|url| url.text.as_str()).collect();
        let url = urls.join(" ");
        let swarm = Swarm::start(spec, clock)?;
        let sampler = Sampler::new(common.server_pid)?;
        let result = RunResult {
            format: FORMAT.to_owned(),
            command: command.to_owned(),
            arguments: std::env::args().skip(1).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_s: unix_seconds(),
            seconds: 0.0,
            seed,
            machine: machine::read(),
            target: Target {
                url,
                loopback,
                server_pid: common.server_pid,
                name: common.server_name.clone(),
            },
            connections: Connections { asked, ..Connections::default() },
            messages: Messages::default(),
            figures: Vec::new(),
            timeline: Vec::new(),
            loads: Vec::new(),
            fanout: None,
            storm: None,
            come_back: None,
            hostile: None,
            plan: None,
            objectives: Vec::new(),
            stall: None,
            notes: Vec::new(),
        };
        let mut run = Self {
            swarm,
            progress: Progress::new(common.no_tui),
            sampler,
            command,
            common: common.clone(),
            started_unix_s: unix_seconds(),
            drops: Drops::read(),
            interrupted,
            leash: None,
            result,
            stretches: Vec::new(),
            side: BTreeMap::new(),
        };
        if common.wait_for_start {
            run.begin_together()?;
        }
        Ok(run)
    }

    /// What was on the command line.
    #[must_use]
    pub fn common(&self) -> &Common {
        &self.common
    }

    /// Whether the user has had enough.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// The counters of everybody.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut sum = self.swarm.totals(Whom::Crowd);
        sum += self.swarm.totals(Whom::Probes);
        sum
    }

    /// CPU time of generator and server, seconds.
    ///
    /// # Errors
    /// When the server's process is gone.
    pub fn cpu(&self) -> io::Result<(f64, Option<f64>)> {
        self.sampler.cpu()
    }

    /// The server's own memory, exactly; none if its process is not known.
    ///
    /// # Errors
    /// When the server's process is gone.
    pub fn server_memory(&self) -> io::Result<Option<u64>> {
        self.sampler.server_memory()
    }

    /// Waits until `value` of the counters reaches `goal`, showing how far it is.
    ///
    /// # Errors
    /// When the server's process is gone.
    pub fn wait_for(
        &mut self,
        what: &str,
        goal: u64,
        limit: Option<Duration>,
        mut value: impl FnMut(&Totals) -> u64,
    ) -> io::Result<Ended> {
        let clock = self.swarm.clock();
        let begin = clock.now();
        let (mut best, mut moved) = (0, begin);
        self.progress.begin(what, goal);
        let ended = loop {
            let totals = self.totals();
            let (now, reached) = (clock.now(), value(&totals));
            self.progress.show(reached, &totals, now);
            self.sampler.sample(now, &totals, &mut self.result.timeline)?;
            if reached > best {
                (best, moved) = (reached, now);
            }
            if reached >= goal {
                break Ended::Done;
            } else if self.is_interrupted() {
                break Ended::Interrupted;
            } else if limit.is_some_and(|limit| now - begin > limit) {
                break Ended::TimedOut;
            } else if limit.is_none() && now - moved > STALL {
                break Ended::Stalled;
            }
            std::thread::sleep(LOOK);
        };
        self.progress.end();
        Ok(ended)
    }

    /// Lets time pass, sampling.
    ///
    /// # Errors
    /// When the server's process is gone.
    pub fn pass(&mut self, what: &str, time: Duration) -> io::Result<Ended> {
        self.pass_with(what, time, |_| Ok(()))
    }

    /// Lets time pass, sampling, with something to do at every look.
    ///
    /// # Errors
    /// When the server's process is gone, or what `step` says.
    pub fn pass_with(
        &mut self,
        what: &str,
        time: Duration,
        mut step: impl FnMut(&Self) -> io::Result<()>,
    ) -> io::Result<Ended> {
        let clock = self.swarm.clock();
        let end = clock.now() + time;
        self.progress.begin_time(what, time);
        let ended = loop {
            let (now, totals) = (clock.now(), self.totals());
            self.progress.show_time(time.saturating_sub(end.saturating_sub(now)), &totals);
            self.sampler.sample(now, &totals, &mut self.result.timeline)?;
            if now >= end {
                break Ended::Done;
            } else if self.is_interrupted() {
                break Ended::Interrupted;
            }
            step(self)?;
            std::thread::sleep(LOOK.min(end - now));
        };
        self.progress.end();
        Ok(ended)
    }

    /// Adds a figure of one sample: a time, less is better.
    pub fn add_figure(&mut self, name: &str, micros: u64) {
        self.result.figures.push(Figure {
            name: name.to_owned(),
            unit: "ms".to_owned(),
            better: Better::Lower,
            samples: vec![micros as f64 / 1e3],
            valid: true,
        });
    }

    /// Ends the requests and waits for those that are still under way.
    ///
    /// # Errors
    /// When a worker or the server's process is gone.
    pub fn settle(&mut self, whom: Whom) -> io::Result<()> {
        self.swarm.load(whom, None)?;
        // Zero from the time on when every request of now has its answer.
        let due = |totals: &Totals| totals[Count::Sent].saturating_sub(totals[Count::Answered]);
        self.wait_for("last answers", 1, Some(SETTLE), |totals| u64::from(due(totals) == 0))?;
        Ok(())
    }

    /// Names the limit at which the count of connections stands still.
    ///
    /// # Errors
    /// When a worker has ended.
    pub fn diagnose(&self) -> io::Result<Stall> {
        let causes = self.swarm.harvest(Whom::Crowd)?.causes;
        let open = self.totals()[Count::Open];
        Ok(diagnose(&Symptoms::read(open, causes, self.drops)))
    }

    /// Ends the run: counts what became of everything, and cuts the connections.
    ///
    /// # Errors
    /// When a worker has failed.
    pub fn finish(mut self) -> io::Result<Finished> {
        let mut harvest = Harvest::default();
        harvest.merge(&self.swarm.harvest(Whom::Crowd)?);
        harvest.merge(&self.swarm.harvest(Whom::Probes)?);
        let totals = self.totals();
        let connections = &mut self.result.connections;
        connections.opened = totals[Count::Opened];
        connections.logged_in = totals[Count::LoggedIn];
        connections.lost = totals[Count::Lost];
        connections.failed = totals[Count::Failed];
        connections.causes = harvest.causes;
        let opens = self.result.timeline.iter().map(|sample| sample.open);
        connections.peak = opens.chain([totals[Count::Open]]).max().unwrap_or(0);
        if totals[Count::Told] > 0 {
            self.result.come_back = Some(ComeBack {
                told: totals[Count::Told],
                returned: totals[Count::Returned],
                retried: totals[Count::Retried],
                moved: totals[Count::Moved],
                late: harvest.returns.latency(),
            });
        }
        let messages = &mut self.result.messages;
        messages.sent += totals[Count::Sent];
        messages.received += totals[Count::Answered] + totals[Count::Pushed];
        messages.lost += totals[Count::Sent].saturating_sub(totals[Count::Answered]);
        messages.duplicates = totals[Count::Duplicates];
        messages.out_of_order = totals[Count::OutOfOrder];
        messages.misdelivered = totals[Count::Misdelivered];
        messages.corrupted = totals[Count::Corrupted];
        messages.unnumbered = totals[Count::Unnumbered];
        messages.bytes_out = totals[Count::BytesOut];
        messages.bytes_in = totals[Count::BytesIn];
        self.result.seconds = self.swarm.clock().now().as_secs_f64();
        self.result.started_unix_s = self.started_unix_s;
        self.result.command = self.command.to_owned();
        let measured = Measured::of(&self.result);
        let judge = |slo: &Slo| slo.judge(&measured);
        self.result.objectives = self.common.slo.iter().map(judge).collect();
        self.swarm.stop()?;
        let output = self.common.output;
        Ok(Finished { result: self.result, stretches: self.stretches, output })
    }
}
