//! Orders to the whole node: what signals and the admin API ask of the thread
//! that assembled it.

use super::drain::{Plan, Progress};
use crossbeam_channel::Sender;
use humantime_serde::re::humantime::format_duration;
use std::fmt;
use std::time::Duration;

/// One order. Who gives it may wait for the answer; nobody has to.
#[derive(Clone, Debug)]
pub enum Order {
    /// Close everything in good order, then end; or, while that goes on, do it by another plan.
    Drain {
        /// What is asked for.
        wish: Wish,
        /// Told how things stand when the order is carried out.
        answer: Option<Sender<Progress>>,
    },
    /// Take a drain back, which is possible as long as it is in its grace.
    CancelDrain {
        /// Told whether it was.
        answer: Option<Sender<bool>>,
    },
    /// Read the configuration again.
    Reload {
        /// Told what has come of it.
        answer: Option<Sender<Result<Reloaded, Vec<String>>>>,
    },
}

/// What is asked of a drain; what is left open is as configured under `[stop]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Time in which everything goes on while the node says that it is not ready.
    pub grace: Option<Duration>,
    /// Connections told a second.
    pub rate: Option<u32>,
    /// Time in which all are closed.
    pub timeout: Option<Duration>,
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Option<Duration>| match time {
            Some(time) => format_duration(time).to_string(),
            None => "as configured".to_owned(),
        };
        let rate = self.rate.map_or_else(|| "as configured".to_owned(), |rate| format!("{rate}/s"));
        write!(f, "grace {}, rate {rate}, timeout {}", time(self.grace), time(self.timeout))
    }
}

/// What a reload has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys that have another value now.
    pub changed: Vec<String>,
    /// Keys that have another value in the configuration, and will get it at the next start.
    pub needs_restart: Vec<String>,
    /// Remarks about how it was read.
    pub notices: Vec<String>,
}

impl Wish {
    /// The plan that follows, for so many connections.
    ///
    /// Who asks for a rate alone gets the time that it takes: the deadline of
    /// the configuration would make another rate of it.
    #[must_use]
    pub fn over(self, configured: Plan, connections: usize) -> Plan {
        let rate = self.rate.unwrap_or(configured.rate);
        let timeout = match (self.timeout, self.rate) {
            (Some(timeout), _) => timeout,
            (None, Some(rate @ 1..)) => {
                let telling = Duration::from_secs_f64(connections as f64 / f64::from(rate));
                configured.timeout.max(telling.mul_f64(TELLING_MARGIN) + LAST_ANSWERS)
            }
            (None, _) => configured.timeout,
        };
        Plan { grace: self.grace.unwrap_or(configured.grace), rate, timeout }
    }
}

/// Room for a telling that is a little late.
const TELLING_MARGIN: f64 = 1.2;

/// Time for the last who are told to answer.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: Plan =
        Plan { grace: Duration::from_secs(3), rate: 0, timeout: Duration::from_secs(10) };

    #[test]
    fn what_is_left_open_is_as_configured() {
        assert_eq!(Wish::default().over(CONFIGURED, 1_000), CONFIGURED);
        let wish = Wish { grace: Some(Duration::ZERO), ..Wish::default() };
        assert_eq!(wish.over(CONFIGURED, 1_000), Plan { grace: Duration::ZERO, ..CONFIGURED });
    }

    #[test]
    fn a_rate_alone_gets_the_time_that_it_takes() {
        let wish = Wish { rate: Some(100), ..Wish::default() };
        let plan = wish.over(CONFIGURED, 10_000);
        assert_eq!((plan.rate, plan.timeout), (100, Duration::from_secs(125)));
        assert_eq!(wish.over(CONFIGURED, 10).timeout, CONFIGURED.timeout);
        let strict = Wish { timeout: Some(Duration::from_secs(20)), ..wish };
        assert_eq!(strict.over(CONFIGURED, 10_000).timeout, Duration::from_secs(20));
    }
}
