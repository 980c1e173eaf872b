//! The time that all nodes agree on.

use crate::clock::{self, Clock};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The time by the clock of Redis, so that clocks of hosts may differ.
#[derive(Debug)]
pub(in crate::control::cluster) struct RedisTime {
    clock: Clock,
    /// Unix milliseconds at the start of the clock, as Redis counts; `i64::MIN` until it was asked.
    origin: AtomicI64,
}

impl RedisTime {
    /// Not known yet.
    pub(in crate::control::cluster) fn new(clock: Clock) -> Self {
        Self { clock, origin: AtomicI64::new(i64::MIN) }
    }

    /// Unix seconds; by this host's clock until Redis was asked.
    pub(in crate::control::cluster) fn now(&self) -> u64 {
        match self.origin.load(Ordering::Relaxed) {
            i64::MIN => clock::unix_seconds(),
            origin => ms_after(origin, self.clock.now()) / 1_000,
        }
    }

    /// Unix milliseconds at a time of this node's clock; `None` until Redis was asked.
    pub(in crate::control::cluster) fn ms_at(&self, time: Duration) -> Option<u64> {
        let origin = self.origin.load(Ordering::Relaxed);
        (origin != i64::MIN).then(|| ms_after(origin, time))
    }

    /// The time of this node's clock at these unix milliseconds of Redis; `None` until Redis
    /// was asked. The start of the clock stands for what lies before it.
    pub(in crate::control::cluster) fn time_at(&self, ms: u64) -> Option<Duration> {
        let origin = self.origin.load(Ordering::Relaxed);
        let after = i64::try_from(ms).ok()?.saturating_sub(origin);
        (origin != i64::MIN).then(|| Duration::from_millis(u64::try_from(after).unwrap_or(0)))
    }

    /// Whether Redis was asked, and with that for the nodes.
    pub(in crate::control::cluster) fn is_known(&self) -> bool {
        self.origin.load(Ordering::Relaxed) != i64::MIN
    }

    /// Redis has just said that it is `now`, in unix milliseconds, to a question that was
    /// asked at the time `asked` of this node's clock.
    pub(in crate::control::cluster) fn set_ms(&self, now: u64, asked: Duration) {
        let now = i64::try_from(now).unwrap_or(0);
        let earliest = now.saturating_sub(ms(self.clock.now()));
        let latest = now.saturating_sub(ms(asked)).max(earliest);
        let known = self.origin.load(Ordering::Relaxed);
        self.origin.store(steady(known, earliest, latest), Ordering::Relaxed);
    }

    /// This node's own time, which goes on whatever becomes of Redis.
    pub(in crate::control::cluster) fn since_start(&self) -> Duration {
        self.clock.now()
    }
}

/// The origin to go on with. Redis read its clock at some moment between question and
/// answer, so an answer bounds the origin on both sides. What is known stays as long as it is
/// within these bounds: a slow answer, after a stall of Redis or of this host, moves nothing,
/// and the times of logins keep their order. Another clock lies outside, and is followed.
fn steady(known: i64, earliest: i64, latest: i64) -> i64 {
    match known {
        i64::MIN => earliest.midpoint(latest),
        known => known.clamp(earliest, latest),
    }
}

fn ms_after(origin: i64, time: Duration) -> u64 {
    u64::try_from(origin.saturating_add(ms(time))).unwrap_or(0)
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_does_not_move_it_but_another_clock_does() {
        assert_eq!(steady(i64::MIN, 1_000, 1_004), 1_002);
        assert_eq!(steady(1_000, 998, 1_001), 1_000);
        assert_eq!(steady(1_000, 400, 1_001), 1_000, "an answer after a stall");
        assert_eq!(steady(1_000, 1_003, 1_005), 1_003, "a quicker answer knows better");
        assert_eq!(steady(1_000, 900, 905), 905);
        assert_eq!(steady(1_000, 6_000, 6_001), 6_000);
    }

    #[test]
    fn it_is_that_of_redis_once_redis_was_asked() {
        let time = RedisTime::new(Clock::start());
        assert!(!time.is_known());
        assert!(time.now().abs_diff(clock::unix_seconds()) <= 1);
        time.set_ms(1_000_500, time.since_start());
        assert!(time.is_known() && time.now().abs_diff(1_000) <= 1);
        let seven = Duration::from_secs(7);
        assert_eq!(time.ms_at(seven).map(|ms| ms / 100), Some(10_075));
        assert_eq!(time.ms_at(seven).and_then(|ms| time.time_at(ms)), Some(seven));
        assert_eq!(time.time_at(1), Some(Duration::ZERO));
    }
}
