//! Whether a peer is worth a call, and when it is tried again.

use std::time::Duration;

/// Opens after some failures in a row, or when a connection breaks: calls fail
/// at once from then on. Closes when a try has succeeded. Time is an argument.
#[derive(Clone, Debug, Default)]
pub(super) struct Circuit {
    /// Since the last connection that lasted.
    failures: u32,
    is_open: bool,
    /// When the connection came about, if there is one.
    up_since: Option<Duration>,
}

/// Failures in a row that open the circuit.
const FAILURES_MAX: u32 = 3;

/// Pause after the first failure; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a connection must last for the pauses to begin anew: one that breaks at
/// once, again and again, is tried less and less often.
const LASTING: Duration = Duration::from_secs(5);

impl Circuit {
    /// Whether calls are to fail at once.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// A try has succeeded.
    pub(super) fn succeed(&mut self, now: Duration) {
        self.is_open = false;
        self.up_since = Some(now);
    }

    /// A try has failed.
    pub(super) fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.is_open |= self.failures >= FAILURES_MAX;
    }

    /// The connection has broken, or a try found a peer that says nothing:
    /// the next caller would wait just as long.
    pub(super) fn trip(&mut self, now: Duration) {
        if self.up_since.take().is_some_and(|since| now.saturating_sub(since) >= LASTING) {
            self.failures = 0;
        }
        self.fail();
        self.is_open = true;
    }

    /// The peer has said by another way that it lives: pauses begin anew.
    pub(super) fn hope(&mut self) {
        self.failures = 0;
    }

    /// How long to wait before the next try. `jitter`, from 0 to 1, takes up to half
    /// of it away, so that not all nodes come back at the same moment.
    pub(super) fn pause(&self, jitter: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = (PAUSE_MIN * (1 << doublings)).min(PAUSE_MAX);
        pause.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn three_failures_in_a_row_open_it_and_a_success_closes_it() {
        let mut circuit = Circuit::default();
        circuit.fail();
        circuit.fail();
        assert!(!circuit.is_open());
        circuit.fail();
        assert!(circuit.is_open());
        circuit.succeed(at(1));
        assert!(!circuit.is_open());
    }

    #[test]
    fn a_broken_connection_opens_it_at_once() {
        let mut circuit = Circuit::default();
        circuit.succeed(at(1));
        circuit.trip(at(2));
        assert!(circuit.is_open());
    }

    #[test]
    fn pauses_double_up_to_their_bound_and_jitter_takes_half_at_most() {
        let mut circuit = Circuit::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            circuit.fail();
            pauses.push(circuit.pause(0.0).as_millis());
            assert_eq!(circuit.pause(1.0) * 2, circuit.pause(0.0));
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        for _ in 0..100 {
            circuit.fail();
        }
        assert_eq!(circuit.pause(0.0), PAUSE_MAX, "and never overflow");
    }

    #[test]
    fn only_a_connection_that_lasted_shortens_the_pauses() {
        let mut circuit = Circuit::default();
        for second in 0..4 {
            circuit.succeed(at(second));
            circuit.trip(at(second));
        }
        assert_eq!(circuit.pause(0.0).as_millis(), 800);
        circuit.succeed(at(10));
        circuit.trip(at(15));
        assert_eq!(circuit.pause(0.0).as_millis(), 100);
    }
}
