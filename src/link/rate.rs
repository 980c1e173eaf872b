//! How often something may happen, in one number a caller: the generic cell
//! rate algorithm (ITU-T I.371 annex A, as a virtual schedule).
//!
//! The number is the time at which everything that was let through so far
//! would have been done at exactly the allowed rate. It is in nanoseconds by
//! the clock of the node, and 0 for somebody who has done nothing yet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many a second, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// `None` for 0 a second, which means no bound. The burst is what a second
    /// allows, and no less than `at_once`: the largest single thing that has to pass.
    #[must_use]
    pub fn new(per_second: u64, at_once: u64) -> Option<Self> {
        (per_second > 0).then(|| Self { per_second, burst: per_second.max(at_once) })
    }

    /// Takes `amount` at the time `now`: the number to keep from now on, or
    /// `None` if that is too much, and the old number stays.
    #[must_use]
    pub fn take(&self, kept: u64, now: Duration, amount: u64) -> Option<u64> {
        self.take_but(kept, now, amount, 0)
    }

    /// The same, but leaves `rest` of the burst to others.
    fn take_but(&self, kept: u64, now: Duration, amount: u64, rest: u64) -> Option<u64> {
        let now = nanos(now);
        let next = kept.max(now).saturating_add(self.time_of(amount));
        let burst = self.burst.saturating_sub(rest);
        (next - now <= self.time_of(burst)).then_some(next)
    }

    /// What a single caller may take of it before it has to leave [`SharedRate::take_as`] a
    /// part to others.
    #[must_use]
    pub fn fair_share(&self) -> Self {
        let per_second = (self.per_second / FAIR_PARTS).max(1);
        Self { per_second, burst: (self.burst / FAIR_PARTS).max(1) }
    }

    /// Nanoseconds that so much takes at this rate.
    fn time_of(&self, amount: u64) -> u64 {
        let nanos = u128::from(amount) * NANOS_PER_SECOND / u128::from(self.per_second);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// A caller that has taken one part of so many leaves one part to others.
const FAIR_PARTS: u64 = 4;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether somebody whose number this is has no more to wait for: it may be forgotten.
#[must_use]
pub(super) fn is_settled(kept: u64, now: Duration) -> bool {
    kept <= nanos(now)
}

/// One number for all threads.
#[derive(Debug, Default)]
pub struct SharedRate(AtomicU64);

impl SharedRate {
    /// Takes one for a caller that has, or has not, taken more than its fair share lately; false
    /// if that is too much. The last part of the burst is for callers that have not.
    pub fn take_as(&self, has_had_share: bool, rate: &Rate, now: Duration) -> bool {
        let rest = if has_had_share { rate.burst / FAIR_PARTS } else { 0 };
        let take = |kept| rate.take_but(kept, now, 1, rest);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Takes `amount` at the time `now`; false if that is too much.
    pub fn take_many(&self, rate: &Rate, now: Duration, amount: u64) -> bool {
        let take = |kept| rate.take(kept, now, amount);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Duration {
        SECOND + Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let rate = Rate::new(10, 0).unwrap();
        let mut kept = 0;
        for _ in 0..10 {
            kept = rate.take(kept, at(0), 1).unwrap();
        }
        assert_eq!(rate.take(kept, at(0), 1), None);
        assert_eq!(rate.take(kept, at(99), 1), None);
        kept = rate.take(kept, at(100), 1).unwrap();
        assert_eq!(rate.take(kept, at(100), 1), None);
        assert!(!is_settled(kept, at(1_099)) && is_settled(kept, at(1_100)));
    }

    #[test]
    fn a_greedy_caller_leaves_a_part_to_others() {
        let (rate, shared) = (Rate::new(20, 1).unwrap(), SharedRate::default());
        let taken = (0..100).filter(|_| shared.take_as(true, &rate, at(0))).count();
        assert_eq!(taken, 15);
        assert_eq!((0..100).filter(|_| shared.take_as(false, &rate, at(0))).count(), 5);
        // What comes anew fills the part of the others first.
        assert!(!shared.take_as(true, &rate, at(250)) && shared.take_as(false, &rate, at(250)));
        assert_eq!(Rate::new(20, 1).unwrap().fair_share(), Rate::new(5, 1).unwrap());
        assert_eq!(Rate::new(1, 1).unwrap().fair_share(), Rate::new(1, 1).unwrap());
    }

    #[test]
    fn what_must_pass_at_once_passes_after_a_pause() {
        let rate = Rate::new(1_000, 65_536).unwrap();
        let kept = rate.take(0, at(0), 65_536).unwrap();
        assert_eq!(rate.take(kept, at(0), 1), None);
        assert!(rate.take(kept, at(100), 100).is_some());
        assert_eq!(Rate::new(0, 10), None, "0 is no bound");
    }

    #[test]
    fn all_threads_together_get_what_one_would() {
        let (rate, shared) = (Rate::new(1_000, 0).unwrap(), SharedRate::default());
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..600).filter(|_| shared.take_as(false, &rate, SECOND)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    proptest! {
        /// In no stretch of time passes more than a burst and what the rate allows besides.
        #[test]
        fn never_more_than_allowed(
            per_second in 1_u64..5_000,
            steps in prop::collection::vec((0_u64..40, 1_u64..50), 1..300),
        ) {
            let rate = Rate::new(per_second, 0).unwrap();
            let (mut kept, mut millis, mut passed) = (0, 0, Vec::new());
            for (pause, amount) in steps {
                millis += pause;
                if let Some(next) = rate.take(kept, at(millis), amount) {
                    kept = next;
                    passed.push((millis, amount));
                }
            }
            for from in 0..passed.len() {
                let mut sum = 0;
                for (when, amount) in &passed[from..] {
                    sum += amount;
                    let elapsed = when - passed[from].0;
                    let allowed = per_second + per_second * elapsed / 1_000;
                    prop_assert!(sum <= allowed + 1, "{sum} in {elapsed} ms at {per_second}");
                }
            }
        }
    }
}
