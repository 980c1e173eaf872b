//! Time as deadlines count it: without the stretches in which this thread stood still.
//!
//! A process that is stopped, or a virtual machine that is moved, finds all heartbeats of that
//! stretch unread, or on their way. Nobody could have kept a deadline meanwhile, so deadlines
//! move on by the stretch. What counts by the calendar, such as the end of a token, does not.

use std::time::Duration;

/// The clock of one reactor's deadlines, in ticks of a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    /// Seconds that do not count.
    stood_still: u32,
    /// When the clock was last looked at.
    seen: Duration,
}

/// A delay from which on the thread has stood still; shorter ones are work, or a busy host.
const STANDSTILL: Duration = Duration::from_secs(2);

impl Ticks {
    /// A clock that is looked at for the first time at `now`.
    pub(super) fn new(now: Duration) -> Self {
        Self { stood_still: 0, seen: now }
    }

    /// Looks at the clock. Since the last look the thread wanted to sleep for `slept` at most;
    /// `None` is without bound. Returns true if it has stood still.
    pub(super) fn pass(&mut self, now: Duration, slept: Option<Duration>) -> bool {
        let passed = now.saturating_sub(std::mem::replace(&mut self.seen, now));
        let late = slept.map_or(Duration::ZERO, |slept| passed.saturating_sub(slept));
        if late < STANDSTILL {
            return false;
        }
        let seconds = u32::try_from(late.as_secs()).unwrap_or(u32::MAX);
        self.stood_still = self.stood_still.saturating_add(seconds);
        true
    }

    /// The tick at the time `now`.
    pub(super) fn at(&self, now: Duration) -> u32 {
        calendar_tick(now).saturating_sub(self.stood_still)
    }

    /// When a tick begins, by the clock of the process.
    pub(super) fn time_of(&self, tick: u32) -> Duration {
        Duration::from_secs(u64::from(tick) + u64::from(self.stood_still))
    }

    /// The tick of deadlines that falls on this tick of the calendar.
    pub(super) fn of_calendar(&self, tick: u32) -> u32 {
        tick.saturating_sub(self.stood_still)
    }

    /// So much of `now` has counted.
    pub(super) fn counted(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_secs(self.stood_still.into()))
    }
}

/// The second since the start of the process, whether it counts for deadlines or not.
pub(super) fn calendar_tick(now: Duration) -> u32 {
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_standstill_does_not_count() {
        let mut ticks = Ticks::new(seconds(0.5));
        assert!(!ticks.pass(seconds(10.0), Some(seconds(9.5))), "it has slept as it wanted");
        assert_eq!(ticks.at(seconds(10.0)), 10);
        assert!(!ticks.pass(seconds(12.9), Some(seconds(1.0))), "a busy host");
        assert!(ticks.pass(seconds(33.0), Some(seconds(0.1))), "stopped for 20 s");
        assert_eq!(ticks.at(seconds(33.0)), 13, "at most a second of it has counted");
        assert_eq!(ticks.time_of(14), seconds(34.0));
        assert_eq!(ticks.of_calendar(40), 20);
        assert_eq!(ticks.counted(seconds(33.5)), seconds(13.5));
        assert!(!ticks.pass(seconds(99.0), None), "it slept without a deadline");
    }

    #[test]
    fn ticks_never_run_backwards() {
        let (mut ticks, mut now, mut last) = (Ticks::new(Duration::ZERO), Duration::ZERO, 0);
        for step in 0_u64..10_000 {
            now += Duration::from_millis(step * 7_919 % 5_003);
            ticks.pass(now, Some(Duration::from_millis(step * 31 % 1_009)));
            let tick = ticks.at(now);
            assert!(tick >= last);
            last = tick;
        }
        assert!(last > 0);
    }
}
