//! The end of all connections: when each is told, and when it should be back.
//!
//! Reactors share one schedule, so that a rate is one of the node, whatever the
//! number of its reactors, and can be changed while they work by it.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far a node is from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It serves.
    #[default]
    Serving,
    /// It serves, and says that it is not ready, so that nobody new is sent here.
    Grace,
    /// It closes its connections.
    Closing,
}

/// How a node is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Time in which everything goes on while the node says that it is not ready.
    pub grace: Duration,
    /// Connections told a second; 0 means as many as `timeout` asks for.
    pub rate: u32,
    /// Time, from the end of the grace, in which all are closed, whatever the rate.
    pub timeout: Duration,
}

/// A drain as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// How far it is.
    pub stage: Stage,
    /// Connections there were when the closing began.
    pub total: usize,
    /// How many of them have been told.
    pub told: usize,
    /// How many are told a second.
    pub per_second: f64,
    /// Time until the grace ends, or the deadline comes.
    pub left: Duration,
}

/// The drain of a node, shared by all that have a part in it.
#[derive(Debug, Default)]
pub struct Drain(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Serving,
    Grace {
        until: Duration,
        rate: u32,
    },
    Closing(Schedule),
}

/// A time for each position in the drain.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    began: Duration,
    deadline: Duration,
    /// Connections there were in the beginning.
    total: usize,
    told: usize,
    /// The pace holds since then, when so many had been told, and so many more may be at once.
    since: Duration,
    told_before: usize,
    at_once: usize,
    per_second: f64,
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

/// Time for a process to end and to be started again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// The least time over which returns are spread.
const SPREAD_MIN: Duration = Duration::from_secs(1);

/// Connections that should come back in a second: less than half of the handshakes
/// that two cores were measured to take.
const RETURNS_PER_SECOND: f64 = 20_000.0;

impl Drain {
    /// Begins the grace, or another one.
    pub fn begin_grace(&self, now: Duration, plan: Plan) {
        let mut state = self.lock();
        if !matches!(*state, State::Closing(_)) {
            *state = State::Grace { until: now + plan.grace, rate: plan.rate };
        }
    }

    /// Goes back to serving; false when the closing has begun.
    pub fn cancel(&self) -> bool {
        let mut state = self.lock();
        let is_closing = matches!(*state, State::Closing(_));
        if !is_closing {
            *state = State::Serving;
        }
        !is_closing
    }

    /// Begins to close `total` connections, or closes the rest of them by another plan.
    pub fn close(&self, now: Duration, total: usize, plan: Plan) {
        let mut state = self.lock();
        *state = State::Closing(match *state {
            State::Closing(schedule) => schedule.changed(now, plan),
            State::Serving | State::Grace { .. } => Schedule::new(now, total, plan),
        });
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match *self.lock() {
            State::Serving => Stage::Serving,
            State::Grace { .. } => Stage::Grace,
            State::Closing(_) => Stage::Closing,
        }
    }

    /// Leave to tell up to `wanted` connections; an empty slot when it is not time yet.
    pub fn take(&self, now: Duration, wanted: usize) -> Slot {
        match &mut *self.lock() {
            State::Closing(schedule) => schedule.take(now, wanted),
            State::Serving | State::Grace { .. } => Slot::default(),
        }
    }

    /// How long it takes from `now` on until all have been told.
    #[must_use]
    pub fn all_told_in(&self, now: Duration) -> Duration {
        match &*self.lock() {
            State::Closing(schedule) => (schedule.began + schedule.length(now)).saturating_sub(now),
            State::Serving | State::Grace { .. } => Duration::MAX,
        }
    }

    /// Whether the time for closing is over.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        matches!(&*self.lock(), State::Closing(schedule) if now >= schedule.deadline)
    }

    /// How it stands at `now`.
    #[must_use]
    pub fn progress(&self, now: Duration) -> Progress {
        match *self.lock() {
            State::Serving => Progress::default(),
            State::Grace { until, rate } => Progress {
                stage: Stage::Grace,
                per_second: f64::from(rate),
                left: until.saturating_sub(now),
                ..Progress::default()
            },
            State::Closing(schedule) => Progress {
                stage: Stage::Closing,
                total: schedule.total,
                told: schedule.told,
                per_second: schedule.per_second,
                left: schedule.deadline.saturating_sub(now),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics with the lock held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    fn new(now: Duration, total: usize, plan: Plan) -> Self {
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
    fn changed(self, now: Duration, plan: Plan) -> Self {
        let left = self.total.saturating_sub(self.told) as f64;
        let within = |share: f64| left / plan.timeout.mul_f64(share).max(TELLING_MIN).as_secs_f64();
        let (at_once, per_second) = match plan.rate {
            0 => (AT_ONCE, within(TELLING_SHARE)),
            rate => (0, f64::from(rate).max(within(TELLING_SHARE_MAX))),
        };
        let deadline = now + plan.timeout;
        Self { deadline, since: now, told_before: self.told, at_once, per_second, ..self }
    }

    fn take(&mut self, now: Duration, wanted: usize) -> Slot {
        let elapsed = now.saturating_sub(self.since).as_secs_f64();
        let due = self.told_before + self.at_once + count(elapsed * self.per_second);
        let first = self.told;
        self.told = due.min(first.saturating_add(wanted)).max(first);
        let length = self.length(now);
        let returns = Duration::from_secs_f64(self.total as f64 / RETURNS_PER_SECOND);
        let spread = returns.saturating_sub(length).max(SPREAD_MIN);
        Slot { positions: first..self.told, length, spread }
    }

    /// From the first who is told to the last.
    fn length(&self, now: Duration) -> Duration {
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
        if elsewhere { spread } else { self.length + RESTART_PAUSE + spread }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn plan(rate: u32, timeout: u32) -> Plan {
        Plan { grace: Duration::ZERO, rate, timeout: SECOND * timeout }
    }

    fn told(drain: &Drain, now: Duration) -> usize {
        drain.take(now, usize::MAX);
        drain.progress(now).told
    }

    #[test]
    fn without_a_rate_all_are_told_after_six_tenths_of_the_time() {
        let drain = Drain::default();
        drain.close(SECOND, 10_256, plan(0, 10));
        assert_eq!(told(&drain, SECOND), 256, "a small node needs no pacing");
        assert_eq!(told(&drain, SECOND * 4), 256 + 5_128);
        assert!(told(&drain, SECOND * 7) >= 10_256);
        assert!(!drain.is_over(SECOND * 10) && drain.is_over(SECOND * 11));
    }

    #[test]
    fn a_rate_is_kept_and_changes_on_the_way() {
        let drain = Drain::default();
        drain.close(SECOND, 10_000, plan(100, 1_000));
        assert_eq!(told(&drain, SECOND), 0);
        assert_eq!(told(&drain, SECOND * 11), 1_000);
        assert_eq!(drain.all_told_in(SECOND * 11), SECOND * 90);
        drain.close(SECOND * 11, 0, plan(4_500, 100));
        assert_eq!(told(&drain, SECOND * 12), 5_500);
        assert_eq!(told(&drain, SECOND * 13), 10_000);
        assert_eq!(drain.progress(SECOND * 13).left, SECOND * 98);
        assert!(drain.is_over(SECOND * 111));
    }

    #[test]
    fn the_deadline_wins_over_the_rate() {
        let drain = Drain::default();
        drain.close(Duration::ZERO, 9_000, plan(1, 10));
        assert_eq!(told(&drain, SECOND * 9), 9_000);
    }

    #[test]
    fn slots_of_several_reactors_add_up() {
        let drain = Drain::default();
        drain.close(Duration::ZERO, 1_000, plan(100, 100));
        assert_eq!(drain.take(SECOND, 30).positions, 0..30);
        assert_eq!(drain.take(SECOND, 512).positions, 30..100);
        assert_eq!(drain.take(SECOND, 512).positions, 100..100, "it is not time yet");
    }

    #[test]
    fn clients_come_back_in_their_order_when_the_last_has_gone() {
        let drain = Drain::default();
        drain.close(Duration::ZERO, 6_000, plan(100, 100));
        let back = |seconds: u32| {
            let now = SECOND * seconds;
            let slot = drain.take(now, 100);
            slot.positions.clone().map(|at| now + slot.back_after(at, false)).collect::<Vec<_>>()
        };
        let first = back(1);
        assert!(first.iter().all(|at| *at >= SECOND * 61), "the last is told after 60 s");
        let second = back(2);
        let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
        assert!(*most - *least > SECOND * 9 / 10, "they are spread: {least:?} to {most:?}");
        assert!(second.iter().min().unwrap() >= &(*least + SECOND * 9 / 10));
        let elsewhere = drain.take(SECOND * 3, 1);
        assert!(elsewhere.back_after(7, true) < SECOND);
    }

    #[test]
    fn a_million_does_not_come_back_at_once() {
        let drain = Drain::default();
        drain.close(Duration::ZERO, 1_000_000, plan(0, 10));
        let slot = drain.take(SECOND, 1_000);
        let back: Vec<_> = slot.positions.clone().map(|at| slot.back_after(at, false)).collect();
        assert!(*back.iter().max().unwrap() > SECOND * 45, "{:?}", back.iter().max());
    }

    #[test]
    fn a_grace_can_be_taken_back_and_a_closing_cannot() {
        let drain = Drain::default();
        let wanted = Plan { grace: SECOND * 5, ..plan(7, 10) };
        drain.begin_grace(SECOND, wanted);
        let progress = drain.progress(SECOND * 2);
        assert_eq!((progress.stage, progress.left), (Stage::Grace, SECOND * 4));
        assert_eq!(drain.take(SECOND * 2, 5).positions, 0..0);
        assert!(drain.cancel());
        assert_eq!(drain.stage(), Stage::Serving);
        drain.close(SECOND, 3, wanted);
        assert!(!drain.cancel());
        assert_eq!(drain.stage(), Stage::Closing);
    }

    #[test]
    fn no_time_at_all_is_no_trouble() {
        let drain = Drain::default();
        drain.close(SECOND, 0, plan(0, 0));
        let slot = drain.take(SECOND, 10);
        assert_eq!(slot.positions, 0..10);
        assert!(slot.back_after(3, false) >= SECOND);
        assert!(drain.is_over(SECOND));
    }
}
