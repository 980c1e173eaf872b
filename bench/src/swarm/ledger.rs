//! Which messages one connection has received, in 24 bytes.

/// Numbers received so far; the last 64 are known one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ledger {
    /// One above the highest number received.
    next: u32,
    /// Numbers received, each counted once.
    received: u32,
    /// Bit k: number `next − 1 − k` was received.
    window: u64,
    /// Sum of their delays, for fairness.
    delay_sum_us: u64,
}

const _: () = assert!(size_of::<Ledger>() <= 24);

/// What a number tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receipt {
    /// Higher than all before.
    InOrder,
    /// Not received before, but a higher one was.
    Late,
    /// Received before, or so long ago that it must have been.
    Duplicate,
}

impl Ledger {
    /// Enters a number and how long it was under way.
    pub(super) fn note(&mut self, number: u32, delay_us: u64) -> Receipt {
        if number >= self.next {
            let ahead = number - self.next + 1;
            self.window = self.window.checked_shl(ahead).unwrap_or(0) | 1;
            self.next = number.saturating_add(1);
            self.enter(delay_us);
            return Receipt::InOrder;
        }
        let bit = 1_u64.checked_shl(self.next - 1 - number).unwrap_or(0);
        if bit == 0 || self.window & bit != 0 {
            return Receipt::Duplicate;
        }
        self.window |= bit;
        self.enter(delay_us);
        Receipt::Late
    }

    fn enter(&mut self, delay_us: u64) {
        self.received += 1;
        self.delay_sum_us = self.delay_sum_us.saturating_add(delay_us);
    }

    /// Mean delay in microseconds; none before the first message.
    pub(super) fn mean_delay_us(&self) -> Option<f64> {
        (self.received > 0).then(|| self.delay_sum_us as f64 / f64::from(self.received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn numbers_are_judged() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.mean_delay_us(), None);
        assert_eq!(ledger.note(0, 10), Receipt::InOrder);
        assert_eq!(ledger.note(0, 10), Receipt::Duplicate);
        assert_eq!(ledger.note(3, 30), Receipt::InOrder);
        assert_eq!(ledger.note(1, 20), Receipt::Late);
        assert_eq!(ledger.note(1, 20), Receipt::Duplicate);
        assert_eq!(ledger.note(500, 20), Receipt::InOrder);
        assert_eq!(ledger.note(3, 20), Receipt::Duplicate);
        assert_eq!(ledger.received, 4);
        assert_eq!(ledger.mean_delay_us(), Some(20.0));
    }

    proptest! {
        /// Within the window the ledger agrees with a set of all numbers.
        #[test]
        fn a_set_agrees(numbers in prop::collection::vec(0..60_u32, 0..200)) {
            let mut ledger = Ledger::default();
            let mut seen = BTreeSet::new();
            for number in numbers {
                let highest = seen.last().copied();
                let expected = match (seen.insert(number), highest) {
                    (false, _) => Receipt::Duplicate,
                    (true, Some(highest)) if highest > number => Receipt::Late,
                    (true, _) => Receipt::InOrder,
                };
                prop_assert_eq!(ledger.note(number, 1), expected);
            }
            prop_assert_eq!(ledger.received as usize, seen.len());
        }
    }
}
