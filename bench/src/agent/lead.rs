//! The coordinator: gives every agent its part, lets all start together, and
//! makes one result of what comes back.

use super::job;
use super::key::Key;
use super::links::{Link, Links, Stage, of};
use super::merge::{Share, merge};
use super::protocol::{News, Order};
use crate::clock::{Clock, monotonic_ns};
use crate::exit::Exit;
use crate::probe::process::Process;
use crate::result::{RunResult, ServerSample};
use crate::run::{Common, Finished, Stretch};
use crate::stats::slo::Measured;
use clap::{ArgMatches, Command, FromArgMatches};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What many generators have found out together.
#[derive(Debug)]
pub struct Led {
    /// As if one had done it all.
    pub result: RunResult,
    /// How it has ended.
    pub exit: Exit,
    /// Latencies of each measured stretch.
    pub stretches: Vec<Stretch>,
    /// What was on the command line.
    pub common: Common,
}

impl Led {
    /// Judges it and writes everything that was asked for.
    ///
    /// # Errors
    /// When a file cannot be written: one line that names it.
    pub fn deliver(mut self) -> io::Result<Exit> {
        let measured = Measured::of(&self.result);
        let slos = self.common.slo.iter();
        self.result.objectives = slos.map(|slo| slo.judge(&measured)).collect();
        let Self { result, stretches, common, exit } = self;
        Finished { result, stretches, output: common.output }.deliver(exit)
    }
}

/// A run on many hosts.
#[derive(Debug)]
struct Lead {
    links: Links,
    clock: Clock,
    interrupted: Arc<AtomicBool>,
    aborted: bool,
    /// Whom we lost first, if that was why.
    cause: Option<io::Error>,
    /// Whether the generators have begun.
    begun: bool,
    next_tick: Duration,
    server: Option<Process>,
    seen: Vec<(f64, ServerSample)>,
}

/// How often agents are shown that we live, and the server is looked at.
const TICK: Duration = Duration::from_secs(1);

/// How often a wait looks around.
const LOOK: Duration = Duration::from_millis(50);

/// A common time lies so far ahead, and four of the longest round trips: time
/// for the word to arrive everywhere.
const AHEAD_NS: i64 = 50_000_000;

/// Measurements of one generator.
const PARTS_MAX: usize = 10_000;

/// Runs this process's command line on the agents that it names; nothing if it names none.
///
/// # Errors
/// When it cannot be shared, an agent cannot be reached or refuses, or nothing came back.
#[must_use]
pub fn lead(command: Command) -> Option<io::Result<Led>> {
    let matches = command.clone().try_get_matches().ok()?;
    let (_, given) = matches.subcommand()?;
    given.try_contains_id("agents").ok()?.then(|| run(&command, &matches, given))
}

fn run(command: &Command, matches: &ArgMatches, given: &ArgMatches) -> io::Result<Led> {
    let bad = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    let common = Common::from_arg_matches(given).map_err(|error| bad(error.to_string()))?;
    let jobs = job::split(command, matches, common.agents.len()).map_err(bad)?;
    let key = Key::read(common.agent_key_file.as_deref())?;
    let mut lead = Lead::open(&common, &key)?;
    lead.hire(jobs)?;
    lead.attend();
    lead.conclude(common)
}

impl Lead {
    fn open(common: &Common, key: &Key) -> io::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The second one ends at once, and the agents with it.
            let again = Arc::clone(&interrupted);
            signal_hook::flag::register_conditional_shutdown(signal, 105, again)?;
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        let server = common.server_pid.map(|pid| Process { pid });
        if let Some(server) = server {
            let gone = |error| io::Error::other(format!("--server-pid {}: {error}", server.pid));
            server.cpu().map_err(gone)?;
        }
        Ok(Self {
            links: Links::open(&common.agents, key)?,
            clock: Clock::start(),
            interrupted,
            aborted: false,
            cause: None,
            begun: false,
            next_tick: Duration::ZERO,
            server,
            seen: Vec::new(),
        })
    }

    /// Reads every clock, then gives everybody a job.
    fn hire(&mut self, jobs: Vec<Vec<String>>) -> io::Result<()> {
        self.links.read_clocks();
        if let Some(lost) = self.lost() {
            return Err(lost);
        }
        for (link, job) in self.links.all.iter_mut().zip(jobs) {
            link.tell(&Order::Job(job));
        }
        Ok(())
    }

    /// Until every generator has ended.
    fn attend(&mut self) {
        while self.links.all.iter().any(|link| link.stage != Stage::Ended) {
            if let Ok(event) = self.links.events.recv_timeout(LOOK) {
                self.take(event.from, event.received_ns, event.news);
            }
            self.tick();
            let interrupted = self.interrupted.load(Ordering::Relaxed);
            if !self.aborted && (interrupted || self.lost().is_some()) {
                // With one generator gone the rest measures something else than was asked.
                self.aborted = true;
                self.cause = self.lost();
                self.everybody(|link| link.tell(&Order::Abort));
            }
            self.release();
        }
    }

    /// Whom we have lost, and why.
    fn lost(&self) -> Option<io::Error> {
        let mut all = self.links.all.iter();
        all.find_map(|link| link.failed.as_ref().map(|why| of(&link.name, why)))
    }

    fn everybody(&mut self, act: impl FnMut(&mut Link)) {
        self.links.all.iter_mut().filter(|link| link.failed.is_none()).for_each(act);
    }

    fn take(&mut self, from: usize, received_ns: i64, news: Result<News, String>) {
        let begun = self.begun;
        let Some(link) = self.links.all.get_mut(from) else { return };
        match news {
            Ok(News::Pong { sent_ns, now_ns }) => link.offset.note(sent_ns, now_ns, received_ns),
            Ok(News::Said(text)) => {
                // What another host says must not steer our terminal.
                link.said = text.replace(char::is_control, " ");
                eprintln!("{} │ {}", link.name, link.said);
            }
            Ok(News::Meet(_)) => link.stage = Stage::Waiting,
            Ok(News::Part(part)) if link.parts.len() < PARTS_MAX => link.parts.push(part),
            Ok(News::Part(_)) => link.fail("has measured too much".to_owned()),
            Ok(News::Refused(why)) => link.fail(why),
            Ok(News::Welcome { .. }) => link.fail("welcomes us twice".to_owned()),
            Ok(News::Done { code, result }) => {
                link.stage = Stage::Ended;
                (link.code, link.result) = (code, result);
                if link.result.is_none() || !begun {
                    let how = code.map_or("by a signal".to_owned(), |code| format!("with {code}"));
                    let why = link.said.strip_prefix("millgate-bench: ");
                    let why = why.map_or(String::new(), |why| format!(": {why}"));
                    link.fail(format!("its generator has ended {how}{why}"));
                }
            }
            // After its result nothing more is wanted.
            Err(_) if link.result.is_some() => {}
            Err(why) => link.fail(why),
        }
    }

    /// Lets all go on, if all that are left wait. They may have come from
    /// different ways (one had nothing to do where another had), so it is no
    /// matter what they call the place.
    fn release(&mut self) {
        let left = || self.links.all.iter().filter(|link| link.stage != Stage::Ended);
        if self.aborted || left().count() == 0 || left().any(|link| link.stage == Stage::Running) {
            return;
        }
        let longest = left().map(|link| 2 * link.offset.now().error_ns).max().unwrap_or(0);
        let at_ns = monotonic_ns() + AHEAD_NS + 4 * longest;
        if !self.begun {
            self.begun = true;
            (self.clock, self.next_tick) = (Clock::beginning_at(at_ns), Duration::ZERO);
            self.everybody(|link| link.offset.fix());
        }
        for link in self.links.all.iter_mut().filter(|link| link.stage == Stage::Waiting) {
            link.stage = Stage::Running;
            link.tell(&Order::Go { at_ns: at_ns + link.offset.now().ahead_ns });
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.everybody(|link| {
            // One that does not hear it fails by that.
            let _failed = link.ping();
        });
        let sample = self.server.and_then(|server| {
            let (resident_bytes, cpu) = (server.memory().ok()?, server.cpu().ok()?);
            Some(ServerSample { resident_bytes, cpu_s: cpu.as_secs_f64() })
        });
        if self.begun {
            self.seen.extend(sample.map(|sample| (now.as_secs_f64(), sample)));
        }
    }

    fn conclude(mut self, common: Common) -> io::Result<Led> {
        if !self.begun {
            let early = || io::Error::other("ended before the start");
            return Err(self.cause.take().unwrap_or_else(early));
        }
        self.links.read_clocks();
        let mut notes = self.clocks();
        let mut exits = Vec::new();
        let mut shares = Vec::new();
        for link in &mut self.links.all {
            let name = link.name.clone();
            let result = link.result.take();
            match &link.failed {
                Some(why) if result.is_none() => {
                    exits.push(Exit::Failed);
                    eprintln!("millgate-bench: agent {name}: {why}");
                    notes.push(format!("agent {name} failed and is missing here: {why}"));
                }
                _ => exits.push(link.code.and_then(Exit::from_code).unwrap_or(Exit::Failed)),
            }
            let parts = std::mem::take(&mut link.parts);
            shares.extend(result.map(|result| Share { name, result: *result, parts }));
        }
        let (mut result, stretches) = merge(shares).map_err(io::Error::other)?;
        result.arguments = std::env::args().skip(1).collect();
        result.seed = common.seed;
        result.target.server_pid = common.server_pid;
        super::merge::add_server(&mut result.timeline, &self.seen);
        notes.append(&mut result.notes);
        result.notes = notes;
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        let exit = if interrupted { Exit::Aborted } else { worst(&exits) };
        Ok(Led { result, exit, stretches, common })
    }

    /// How well the clocks of the hosts agree.
    fn clocks(&self) -> Vec<String> {
        let micros = |ns: i64| (ns + 500) / 1_000;
        let all = &self.links.all;
        let mut errors: Vec<i64> = all.iter().map(|link| link.offset.first().error_ns).collect();
        errors.sort_unstable();
        let bound: i64 = errors.iter().rev().take(2).sum();
        let each: Vec<String> = all
            .iter()
            .map(|link| format!("{} {} µs", link.name, micros(link.offset.first().error_ns)))
            .collect();
        let drifts = all.iter().map(|link| {
            let drift = link.offset.drift();
            format!("{} {} µs (± {})", link.name, micros(drift.ahead_ns), micros(drift.error_ns))
        });
        let drifts: Vec<String> = drifts.collect();
        vec![
            format!(
                "the clocks of {} generators began within {} µs of each other: half of the shortest \
                 round trips, {}; a time that crosses hosts, as in a fan-out, is as uncertain",
                all.len(),
                micros(bound),
                each.join(", "),
            ),
            format!("they have run away from the coordinator's since by {}", drifts.join(", ")),
        ]
    }
}

/// What several ends amount to.
fn worst(exits: &[Exit]) -> Exit {
    let order = [Exit::Ok, Exit::GeneratorLimited, Exit::Aborted, Exit::BadArguments];
    let rank = |exit: &Exit| order.iter().position(|known| known == exit).unwrap_or(order.len());
    exits.iter().copied().max_by_key(rank).unwrap_or(Exit::Failed)
}
