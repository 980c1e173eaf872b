//! The search for the highest load that a server bears.

use crate::result::Knee;

/// What a load has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bound was met.
    Met,
    /// It was not.
    Missed,
    /// The generator did not get there: nothing is known about the server.
    GeneratorLimited,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Offer this load, messages a second, and tell [`Ladder::tell`] what came of it.
    Try(f64),
    /// The search is over.
    Done(Knee),
}

/// Climbs by doubling until a load fails, then halves the gap (on a
/// logarithmic scale) until it is within 5 %. A first load that fails makes it go down instead.
///
/// At most [`LOADS_MAX`] loads are tried. A load that the generator cannot
/// offer bounds the search like a miss, but is not told as one.
#[derive(Clone, Debug)]
pub struct Ladder {
    p99_bound_ms: f64,
    load: f64,
    load_max: f64,
    met: Option<f64>,
    failed: Option<(f64, Outcome)>,
    tried: usize,
}

impl Ladder {
    /// Begins at `start_per_s` and never offers more than `load_max_per_s`.
    /// Bounds that make no sense are set to some that do: at least one a second.
    #[must_use]
    pub fn new(start_per_s: f64, load_max_per_s: f64, p99_bound_ms: f64) -> Self {
        let load_max = if load_max_per_s.is_finite() { load_max_per_s.max(1.0) } else { f64::MAX };
        // `max` also turns what is not a number into 1.
        let load = start_per_s.max(1.0).min(load_max);
        Self { p99_bound_ms, load, load_max, met: None, failed: None, tried: 0 }
    }

    /// What to do now; the same until [`Ladder::tell`] is called.
    #[must_use]
    pub fn step(&self) -> Step {
        if self.is_done() { Step::Done(self.knee()) } else { Step::Try(self.load) }
    }

    /// Tells what came of the load that [`Ladder::step`] asked for.
    pub fn tell(&mut self, outcome: Outcome) {
        if self.is_done() {
            return;
        }
        self.tried += 1;
        match outcome {
            Outcome::Met => self.met = Some(self.load),
            Outcome::Missed | Outcome::GeneratorLimited => self.failed = Some((self.load, outcome)),
        }
        self.load = match (self.met, self.failed) {
            (Some(met), Some((failed, _))) => (met * failed).sqrt(),
            (Some(met), None) => (met * 2.0).min(self.load_max),
            (None, Some((failed, _))) => (failed / 2.0).max(1.0),
            (None, None) => self.load,
        };
    }

    /// What is known so far, also when the search is cut short.
    #[must_use]
    pub fn knee(&self) -> Knee {
        let broken = self.failed.filter(|(_, outcome)| *outcome == Outcome::Missed);
        Knee {
            sustained_per_s: self.met.unwrap_or(0.0),
            broken_per_s: broken.map(|(load, _)| load),
            p99_bound_ms: self.p99_bound_ms,
        }
    }

    fn is_done(&self) -> bool {
        let settled = match (self.met, self.failed) {
            (Some(met), Some((failed, _))) => failed <= met * WITHIN,
            (Some(met), None) => met >= self.load_max,
            (None, Some((failed, _))) => failed <= 1.0,
            (None, None) => false,
        };
        settled || self.tried >= LOADS_MAX
    }
}

/// Loads tried at most: 30 doublings and the five halvings that a gap of 2 needs to be 5 % fit into it.
pub const LOADS_MAX: usize = 40;

const WITHIN: f64 = 1.05;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Climbs on a server that bears `knee` with a generator that reaches `reach`.
    fn climb(start: f64, most: f64, knee: f64, reach: f64) -> (Knee, Vec<f64>) {
        let mut ladder = Ladder::new(start, most, 50.0);
        let mut tried = Vec::new();
        loop {
            match ladder.step() {
                Step::Done(found) => return (found, tried),
                Step::Try(load) => {
                    tried.push(load);
                    ladder.tell(match load {
                        load if load > reach => Outcome::GeneratorLimited,
                        load if load > knee => Outcome::Missed,
                        _ => Outcome::Met,
                    });
                }
            }
        }
    }

    #[test]
    fn it_doubles_and_then_halves() {
        let (found, tried) = climb(1_000.0, 1e9, 5_000.0, 1e9);
        assert_eq!(tried[..4], [1_000.0, 2_000.0, 4_000.0, 8_000.0]);
        assert!((tried[4] - 32e6_f64.sqrt()).abs() < 1e-6, "{tried:?}");
        assert!(found.sustained_per_s <= 5_000.0 && found.broken_per_s.unwrap() > 5_000.0);
        assert!((found.p99_bound_ms - 50.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_generator_that_gives_up_first_breaks_nothing() {
        let (found, _) = climb(1_000.0, 1e9, 1e9, 5_000.0);
        assert_eq!(found.broken_per_s, None);
        assert!(found.sustained_per_s > 4_700.0 && found.sustained_per_s <= 5_000.0);
        // The knee lies below what the generator reaches: it is found in spite of that.
        let (found, _) = climb(1_000.0, 1e9, 4_500.0, 7_000.0);
        assert!(found.broken_per_s.is_some_and(|broken| broken <= 7_000.0), "{found:?}");
    }

    #[test]
    fn a_start_too_high_goes_down() {
        let (found, tried) = climb(64_000.0, 1e9, 900.0, 1e9);
        assert_eq!(tried[1], 32_000.0);
        assert!(found.sustained_per_s > 850.0 && found.sustained_per_s <= 900.0);
        let (found, _) = climb(1_000.0, 1e9, 0.5, 1e9);
        assert_eq!((found.sustained_per_s, found.broken_per_s), (0.0, Some(1.0)));
    }

    #[test]
    fn it_stops_at_the_most() {
        let (found, tried) = climb(1_000.0, 3_000.0, 1e9, 1e9);
        assert_eq!(tried, [1_000.0, 2_000.0, 3_000.0]);
        assert_eq!((found.sustained_per_s, found.broken_per_s), (3_000.0, None));
    }

    proptest! {
        #[test]
        fn it_ends_within_five_per_cent(start in 1.0_f64..1e6, knee in 2.0_f64..1e7) {
            let (found, tried) = climb(start, 1e9, knee, 1e9);
            let broken = found.broken_per_s.unwrap();
            prop_assert!(tried.len() < LOADS_MAX);
            prop_assert!(found.sustained_per_s <= knee && knee < broken);
            prop_assert!(broken <= found.sustained_per_s * 1.05 + 1e-9);
        }
    }
}
