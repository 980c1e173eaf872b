//! A generator that an agent runs: it waits where all generators meet, and
//! hands over what its result has only figures of.
//!
//! It speaks by lines on stderr that begin with [`MARK`], between those for
//! people, and listens on stdin: each line there is the time to go on at.

use super::{Ended, LOOK, Run, Stretch};
use crate::clock::{Clock, monotonic_ns};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a line for the agent begins with; no line for people does.
pub const MARK: char = '\u{1}';

/// What a generator tells its agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Word {
    /// It stands where nobody goes on before all are there.
    Meet(String),
    /// A measurement, whole.
    Part(Part),
}

/// What a measurement has shown, so that it can be merged with those of others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What was measured, as `echo`; the n-th of one name belongs to the n-th of every other generator.
    pub name: String,
    /// When it began, seconds since the start.
    pub began_s: f64,
    /// How long it was, seconds.
    pub length_s: f64,
    /// Corrected latencies, as in [`crate::result::Quantiles`].
    pub histogram: String,
    /// Mean delays of the receivers so far: count, sum, sum of squares.
    pub fairness: (u64, f64, f64),
}

impl Part {
    /// A part that has nothing but latencies.
    #[must_use]
    pub fn of(stretch: &Stretch) -> Self {
        Self {
            name: stretch.name.clone(),
            began_s: stretch.began.as_secs_f64(),
            length_s: stretch.length.as_secs_f64(),
            histogram: stretch.corrected.to_base64(),
            fairness: Default::default(),
        }
    }
}

/// The name of the part that a round of `fanout` is.
pub const FANOUT_ROUND: &str = "fanout round";

/// What holds a generator until all are where it is.
#[derive(Debug)]
pub(super) struct Leash {
    goes: Receiver<i64>,
}

/// A line on stdin is a number; a longer one is none.
const LINE_BYTES_MAX: u64 = 32;

impl Leash {
    /// Listens on stdin from now on. Its end ends the run: nobody would read the result.
    pub(super) fn new(interrupted: Arc<AtomicBool>) -> io::Result<Self> {
        let (to, goes) = bounded(1);
        std::thread::Builder::new().name("leash".into()).spawn(move || {
            let mut stdin = io::stdin().lock();
            while let Some(at_ns) = next_line(&mut stdin) {
                if to.send(at_ns).is_err() {
                    return;
                }
            }
            interrupted.store(true, Ordering::Relaxed);
        })?;
        Ok(Self { goes })
    }
}

fn next_line(from: &mut impl BufRead) -> Option<i64> {
    let mut line = String::new();
    from.take(LINE_BYTES_MAX).read_line(&mut line).ok()?;
    line.strip_suffix('\n')?.parse().ok()
}

fn tell(word: &Word) {
    eprintln!("{MARK}{}", serde_json::to_string(word).unwrap_or_default());
}

impl Run {
    /// Waits until all generators of this run are here; at once if there is no other.
    ///
    /// # Errors
    /// When the server's process is gone.
    pub fn meet(&mut self, what: &str) -> io::Result<Ended> {
        let Some(leash) = &self.leash else { return Ok(Ended::Done) };
        tell(&Word::Meet(what.to_owned()));
        loop {
            let (now, totals) = (self.swarm.clock().now(), self.totals());
            self.sampler.sample(now, &totals, &mut self.result.timeline)?;
            match leash.goes.recv_timeout(LOOK) {
                Ok(at_ns) => {
                    sleep_until(at_ns);
                    return Ok(Ended::Done);
                }
                Err(RecvTimeoutError::Timeout) if !self.is_interrupted() => {}
                Err(_) => return Ok(Ended::Interrupted),
            }
        }
    }

    /// The first meeting, with everybody's threads up and nobody connected: here
    /// the run's time begins, at the same moment for all generators.
    pub(super) fn begin_together(&mut self) -> io::Result<()> {
        let leash = Leash::new(Arc::clone(&self.interrupted))?;
        tell(&Word::Meet("start".to_owned()));
        let at_ns = loop {
            match leash.goes.recv_timeout(LOOK) {
                Ok(at_ns) => break at_ns,
                Err(RecvTimeoutError::Timeout) if !self.is_interrupted() => {}
                Err(_) => return Err(io::Error::other("ended before the start")),
            }
        };
        self.swarm.begin(Clock::beginning_at(at_ns))?;
        sleep_until(at_ns);
        let late_us = monotonic_ns().saturating_sub(at_ns) / 1_000;
        self.result.notes.push(format!("began {late_us} µs after the common start"));
        self.leash = Some(leash);
        Ok(())
    }

    /// Hands a measurement over, if there is somebody who merges it.
    pub fn hand_over(&self, part: impl FnOnce() -> Part) {
        if self.leash.is_some() {
            tell(&Word::Part(part()));
        }
    }
}

fn sleep_until(at_ns: i64) {
    let left = at_ns.saturating_sub(monotonic_ns());
    std::thread::sleep(Duration::from_nanos(u64::try_from(left).unwrap_or(0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbers_and_short() {
        assert_eq!(next_line(&mut &b"-17\n5\n"[..]), Some(-17));
        for bytes in [&b""[..], b"17", b"x\n", b"\n", &[b'1'; 4096]] {
            assert_eq!(next_line(&mut &*bytes), None);
        }
    }
}
