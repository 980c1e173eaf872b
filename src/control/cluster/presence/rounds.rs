//! At what pace the directory is told again. No I/O, no clock.

use std::time::Duration;

/// How long one renewal of everybody takes. Records of users who live are to be
/// renewed every 120 s at least.
pub(super) const RENEWAL_ROUND: Duration = Duration::from_secs(100);

/// The same beside nodes of the reference. Such a node may write a user off who has logged in
/// elsewhere meanwhile, when an older connection ends there: so records are written again soon.
pub(super) const MIXED_ROUND: Duration = Duration::from_secs(5);

/// What a sweep aims at, where its bound allows.
const SWEEP_ROUND: Duration = Duration::from_secs(12);

/// Least users a second, so that a small directory is soon gone through.
const SWEEP_MIN: f64 = 2_000.0;

/// Why users are told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Because time has passed: records run out.
    Renewal,
    /// Because something was lost.
    Sweep,
}

/// A place in the directory: which app, and where in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) app: usize,
    pub(super) from: u64,
}

/// Goes round and round the directory.
#[derive(Debug)]
pub(super) struct Rounds {
    round: Round,
    place: Place,
    /// Users who may be told now.
    credit: f64,
    /// Another sweep was asked for meanwhile.
    again: bool,
    sweep_max: f64,
    last: Duration,
}

impl Rounds {
    /// Begins with a renewal; a sweep tells at most so many users a second.
    pub(super) fn new(sweep_max: usize, now: Duration) -> Self {
        let sweep_max = f64::from(u32::try_from(sweep_max).unwrap_or(u32::MAX));
        let place = Place::default();
        Self { round: Round::Renewal, place, credit: 0.0, again: false, sweep_max, last: now }
    }

    /// Asks for a sweep of the whole directory.
    pub(super) fn sweep(&mut self) {
        if self.round == Round::Sweep && self.place != Place::default() {
            self.again = true;
            return;
        }
        self.begin(Round::Sweep);
    }

    fn begin(&mut self, round: Round) {
        self.round = round;
        self.place = Place::default();
    }

    pub(super) fn round(&self) -> Round {
        self.round
    }

    /// Lets time pass; there are `users` in the directory, to be renewed in `renewal`.
    pub(super) fn advance(&mut self, now: Duration, users: usize, renewal: Duration) {
        let passed = now.saturating_sub(self.last).as_secs_f64();
        self.last = now;
        let users = f64::from(u32::try_from(users).unwrap_or(u32::MAX));
        let per_second = match self.round {
            Round::Renewal => (users / renewal.as_secs_f64()).min(self.sweep_max),
            Round::Sweep => (users / SWEEP_ROUND.as_secs_f64()).max(SWEEP_MIN).min(self.sweep_max),
        };
        // What could not be told in a second, because Redis was slow, is not made up for in a rush.
        self.credit = (self.credit + per_second * passed).min(per_second.max(1.0));
    }

    /// Where to read on, and how many users at most; `None` if it is too early.
    pub(super) fn next(&self, max: usize) -> Option<(Place, usize)> {
        let credit = self.credit as usize;
        (credit > 0).then(|| (self.place, credit.min(max)))
    }

    /// So many users were read, and the app goes on at `next`, or ends. True at the end of a round.
    pub(super) fn read(&mut self, users: usize, next: Option<u64>, apps: usize) -> bool {
        self.credit -= f64::from(u32::try_from(users).unwrap_or(u32::MAX));
        match next {
            Some(from) => self.place.from = from,
            None => self.place = Place { app: self.place.app + 1, from: 0 },
        }
        let is_over = self.place.app >= apps;
        if is_over {
            let round = if self.again { Round::Sweep } else { Round::Renewal };
            self.again = false;
            self.begin(round);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes on until `seconds` have passed; who is at each position of one app with so many users.
    fn told(rounds: &mut Rounds, from: u64, seconds: u64, users: u64) -> u64 {
        let mut told = 0;
        for step in 1..=seconds * 20 {
            let now = Duration::from_secs(from) + Duration::from_millis(50 * step);
            rounds.advance(now, usize::try_from(users).unwrap(), RENEWAL_ROUND);
            while let Some((place, max)) = rounds.next(512) {
                let end = users.min(place.from + max as u64);
                let count = end - place.from;
                told += count;
                if rounds.read(usize::try_from(count).unwrap(), (end < users).then_some(end), 1) {
                    break;
                }
            }
        }
        told
    }

    #[test]
    fn a_renewal_is_spread_over_its_time() {
        let mut rounds = Rounds::new(50_000, Duration::ZERO);
        let first = told(&mut rounds, 0, 50, 100_000);
        assert!((49_000..=51_000).contains(&first), "{first}");
        let all = first + told(&mut rounds, 50, 50, 100_000);
        assert!((98_000..=102_000).contains(&all), "{all}");
    }

    #[test]
    fn a_lonely_user_is_renewed_in_time() {
        let mut rounds = Rounds::new(50_000, Duration::ZERO);
        assert_eq!(told(&mut rounds, 0, 101, 1), 1);
    }

    #[test]
    fn a_sweep_is_fast_but_bounded_and_renewal_follows() {
        let mut rounds = Rounds::new(50_000, Duration::ZERO);
        rounds.sweep();
        let first = told(&mut rounds, 0, 1, 1_000_000);
        assert!((45_000..=50_000).contains(&first), "{first}");
        let rest = told(&mut rounds, 1, 15, 120_000);
        assert!((70_000..82_000).contains(&rest), "{rest}");
        assert_eq!(rounds.round(), Round::Renewal);
    }

    #[test]
    fn a_sweep_asked_for_during_a_sweep_comes_after_it() {
        let mut rounds = Rounds::new(50_000, Duration::ZERO);
        rounds.sweep();
        rounds.read(10, Some(5), 1);
        rounds.sweep();
        rounds.read(10, None, 1);
        assert_eq!(rounds.round(), Round::Sweep);
        rounds.read(10, None, 1);
        assert_eq!(rounds.round(), Round::Renewal);
    }
}
