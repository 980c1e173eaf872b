//! How far the clock of another host is from ours.

use std::collections::VecDeque;

/// What pings have told of one clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Offset {
    first: Option<Reading>,
    recent: VecDeque<Reading>,
}

/// One question and its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Their clock less ours.
    pub(super) ahead_ns: i64,
    /// How wrong that may be: half of the round trip.
    pub(super) error_ns: i64,
}

/// Answers that the best is chosen of.
const RECENT_MAX: usize = 20;

impl Offset {
    /// Enters an answer.
    pub(super) fn note(&mut self, sent_ns: i64, theirs_ns: i64, received_ns: i64) {
        let round_trip = received_ns.saturating_sub(sent_ns);
        let middle = sent_ns.saturating_add(round_trip / 2);
        let ahead_ns = theirs_ns.saturating_sub(middle);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Reading { ahead_ns, error_ns: (round_trip + 1) / 2 });
    }

    /// The reading with the shortest round trip of late (the method of NTP's clock filter).
    pub(super) fn now(&self) -> Reading {
        self.recent.iter().copied().min_by_key(|reading| reading.error_ns).unwrap_or_default()
    }

    /// What a run that begins now is timed by.
    pub(super) fn fix(&mut self) {
        self.first = Some(self.now());
    }

    /// The reading at the start.
    pub(super) fn first(&self) -> Reading {
        self.first.unwrap_or_else(|| self.now())
    }

    /// How far their clock has run away from ours since the start, and how wrong that may be.
    pub(super) fn drift(&self) -> Reading {
        let (first, now) = (self.first(), self.now());
        Reading {
            ahead_ns: now.ahead_ns.saturating_sub(first.ahead_ns),
            error_ns: now.error_ns.saturating_add(first.error_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However long the ways are, the truth lies within the error.
        #[test]
        fn the_error_bounds_the_truth(
            truth in -1_000_000_000_i64..1_000_000_000,
            ways in prop::collection::vec((0..10_000_i64, 0..10_000_i64), 1..50),
        ) {
            let mut offset = Offset::default();
            for (index, (there, back)) in ways.iter().enumerate() {
                let sent = index as i64 * 1_000_000;
                offset.note(sent, sent + there + truth, sent + there + back);
            }
            let reading = offset.now();
            prop_assert!((reading.ahead_ns - truth).abs() <= reading.error_ns + 1);
        }
    }

    #[test]
    fn a_clock_that_runs_away_is_noticed() {
        let mut offset = Offset::default();
        offset.note(0, 500, 100);
        offset.fix();
        for second in 1..=RECENT_MAX as i64 {
            offset.note(second * 1_000, second * 1_000 + 950, second * 1_000 + 100);
        }
        assert_eq!(offset.first(), Reading { ahead_ns: 450, error_ns: 50 });
        assert_eq!(offset.drift(), Reading { ahead_ns: 450, error_ns: 100 });
    }
}
