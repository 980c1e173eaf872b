//! The pace of a drain: which positions are due, and when each should be back.

use super::{Plan, Share};
use crate::limits::LAST_ANSWERS_MS;
use std::ops::Range;
use std::time::Duration;

/// A time for each position in the drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) began: Duration,
    pub(super) deadline: Duration,
    /// Connections there were in the beginning.
    pub(super) total: usize,
    pub(super) told: usize,
    /// The pace holds since then, when so many had been told, and so many more may be at once.
    since: Duration,
    told_before: usize,
    at_once: usize,
    pub(super) per_second: f64,
}

/// Leave to tell some connections now.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Their positions in the drain.
    pub positions: Range<usize>,
    /// Time that the telling of all takes.
    length: Duration,
    /// Time over which the returns of those who are told at the same moment are spread.
    spread: Duration,
}

/// So many are told at once where no rate is wanted: a small node needs no pacing.
const AT_ONCE: usize = 256;

/// Share of the time up to the deadline in which all are told, so that the last have time to answer.
const TELLING_SHARE: f64 = 0.6;

/// The same where a rate is wanted that would take longer.
const TELLING_SHARE_MAX: f64 = 0.9;

/// Shorter than this no telling is.
const TELLING_MIN: Duration = Duration::from_millis(10);

/// Time for the last who are told to answer; after it they are cut off.
const LAST_ANSWERS: Duration = Duration::from_millis(LAST_ANSWERS_MS);

/// Time for a process to end and to be started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The least time over which returns are spread.
const SPREAD_MIN: Duration = Duration::from_secs(1);

/// Connections that should come back in a second: less than half of the handshakes
/// that two cores were measured to take.
const RETURNS_PER_SECOND: f64 = 20_000.0;

impl Schedule {
    pub(super) fn new(now: Duration, total: usize, plan: Plan) -> Self {
        let blank = Self {
            began: now,
            deadline: now,
            total,
            told: 0,
            since: now,
            told_before: 0,
            at_once: 0,
            per_second: 0.0,
        };
        blank.changed(now, plan)
    }

    /// The same from `now` on by another plan.
    pub(super) fn changed(self, now: Duration, plan: Plan) -> Self {
        let left = self.total.saturating_sub(self.told) as f64;
        let within = |share: f64| left / plan.timeout.mul_f64(share).max(TELLING_MIN).as_secs_f64();
        let (at_once, per_second) = match plan.rate {
            0 => (AT_ONCE, within(TELLING_SHARE)),
            rate => (0, f64::from(rate).max(within(TELLING_SHARE_MAX))),
        };
        let deadline = now + plan.timeout;
        Self { deadline, since: now, told_before: self.told, at_once, per_second, ..self }
    }

    /// Those that are due of this share.
    pub(super) fn take(&mut self, now: Duration, wanted: usize, share: Share) -> Slot {
        let elapsed = now.saturating_sub(self.since).as_secs_f64();
        let due = self.told_before.saturating_add(self.at_once);
        let due = due.saturating_add(count(elapsed * self.per_second));
        // Nobody has less than all of its own when all are due.
        let total = self.total.max(share.total).max(1);
        let own = (due.min(total) as u128 * share.total as u128).div_ceil(total as u128);
        let own = usize::try_from(own).unwrap_or(share.total).saturating_sub(share.told);
        let first = self.told;
        self.told = first + own.min(wanted);
        let length = self.length(now);
        let returns = Duration::from_secs_f64(self.total as f64 / RETURNS_PER_SECOND);
        let spread = returns.saturating_sub(length).max(SPREAD_MIN);
        Slot { positions: first..self.told, length, spread }
    }

    /// From the first who is told to the last.
    pub(super) fn length(&self, now: Duration) -> Duration {
        let paced = self.total.saturating_sub(self.told_before + self.at_once);
        let rest = match paced as f64 / self.per_second {
            seconds if seconds.is_finite() => Duration::from_secs_f64(seconds),
            _ => Duration::ZERO,
        };
        (self.since + rest).max(now).min(self.deadline.max(now)).saturating_sub(self.began)
    }
}

impl Slot {
    /// When the connection at this position should be back, counted from now.
    ///
    /// Where another node is there to go to, `now`: connections arrive there at
    /// the pace at which they are told. Otherwise this one has to be back first.
    /// So everybody waits for as long as the telling takes, and a little more:
    /// the first to be told come back when the last have gone, and all in their
    /// order, at the same pace. Positions next to each other are spread evenly
    /// by the golden ratio.
    #[must_use]
    pub fn back_after(&self, position: usize, elsewhere: bool) -> Duration {
        const GOLDEN: f64 = 0.618_033_988_749_895;
        let spread = self.spread.mul_f64((position as f64 * GOLDEN).fract());
        if elsewhere { spread } else { self.length + LAST_ANSWERS + RESTART_PAUSE + spread }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self { positions: 0..0, length: Duration::ZERO, spread: SPREAD_MIN }
    }
}

/// Bounded by the rate and the time of a drain, far below 2⁵³; infinity becomes the largest number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative")]
fn count(number: f64) -> usize {
    number as usize
}
