//! When things are meant to happen: evenly, whatever happens meanwhile.

/// An even sequence of times. A late caller gets all that it has missed, each
/// with the time that it was meant for: this is what makes latencies honest
/// (G. Tene, "coordinated omission").
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacer {
    start_us: u64,
    interval_us: f64,
    given: u64,
}

impl Pacer {
    /// `per_s` times a second from `start_us` on; never for a rate that is not positive.
    pub(super) fn new(start_us: u64, per_s: f64) -> Self {
        let interval_us = if per_s > 0.0 { 1e6 / per_s } else { f64::INFINITY };
        Self { start_us, interval_us, given: 0 }
    }

    /// The next time.
    pub(super) fn next_us(&self) -> u64 {
        let after = self.given as f64 * self.interval_us;
        if after.is_finite() { self.start_us.saturating_add(after as u64) } else { u64::MAX }
    }

    /// The next time if it has come, and how many there were before.
    pub(super) fn take(&mut self, now_us: u64) -> Option<(u64, u64)> {
        let due = self.next_us();
        if due > now_us || self.interval_us.is_infinite() {
            return None;
        }
        self.given += 1;
        Some((self.given - 1, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_made_up_for() {
        let mut pacer = Pacer::new(1_000, 1_000.0);
        assert_eq!(pacer.take(999), None);
        let due: Vec<_> = std::iter::from_fn(|| pacer.take(4_500)).collect();
        assert_eq!(due, [(0, 1_000), (1, 2_000), (2, 3_000), (3, 4_000)]);
        assert_eq!(pacer.next_us(), 5_000);
    }

    #[test]
    fn a_million_steps_do_not_drift() {
        let mut pacer = Pacer::new(0, 3.0);
        for _ in 0..1_000_000 {
            pacer.take(u64::MAX).unwrap();
        }
        assert_eq!(pacer.next_us(), 333_333_333_333);
    }

    #[test]
    fn no_rate_means_never() {
        for rate in [0.0, -1.0, f64::NAN] {
            let mut pacer = Pacer::new(5, rate);
            assert_eq!(pacer.take(u64::MAX - 1), None);
        }
    }
}
