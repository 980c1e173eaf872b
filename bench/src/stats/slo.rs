//! Service levels as people write them: `p99<200ms`, `loss<0.1%`, `rate>10k`.

use crate::result::{Objective, Quantiles, RunResult};
use crate::units;

/// One demand of `--slo`.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    text: String,
    metric: Metric,
    below: bool,
    or_equal: bool,
    bound: f64,
    unit: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Latency(Quantile),
    Loss,
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantile {
    P50,
    P90,
    P99,
    P999,
    P9999,
    Max,
    Mean,
}

/// What demands are held against; none where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Corrected latencies: each demand is held against the worst of them.
    pub latencies: Vec<Quantiles>,
    /// Share of the numbered messages that were never received: 0 to 1.
    pub loss: Option<f64>,
    /// Answers a second.
    pub rate_per_s: Option<f64>,
}

impl Measured {
    /// What a run has to show: every valid load and the delays of its fan-out;
    /// the rate is the best of the valid loads.
    #[must_use]
    pub fn of(run: &RunResult) -> Self {
        let valid = run.loads.iter().filter(|load| load.verdict.is_valid());
        let fanout = run.fanout.iter().map(|fanout| &fanout.delays);
        let latencies = valid.clone().map(|load| &load.latency.corrected).chain(fanout);
        let numbered = run.messages.lost + run.messages.received;
        Self {
            latencies: latencies.filter(|latency| latency.count > 0).cloned().collect(),
            loss: (numbered > 0).then(|| run.messages.lost as f64 / numbered as f64),
            rate_per_s: valid.map(|load| load.achieved_per_s).reduce(f64::max),
        }
    }
}

impl Slo {
    /// Reads a demand: one of p50 p90 p99 p99.9 p99.99 max mean with a
    /// duration, `loss` with a percentage or share, `rate` with a count a second; `<` `<=` `>` `>=` between.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("--slo {text:?}: {what}");
        let at = text
            .find(['<', '>'])
            .ok_or_else(|| wrong("a demand is like p99<200ms, loss<0.1% or rate>10k"))?;
        let (name, rest) = text.split_at(at);
        let below = rest.starts_with('<');
        let or_equal = rest[1..].starts_with('=');
        let value = rest[1 + usize::from(or_equal)..].trim();
        let metric = metric(name.trim()).ok_or_else(|| {
            wrong("what can be demanded is p50 p90 p99 p99.9 p99.99 max mean loss rate")
        })?;
        let (bound, unit) = match metric {
            Metric::Latency(_) => latency_bound(value),
            Metric::Loss => loss_bound(value),
            Metric::Rate => units::count(value).map(|count| (count as f64, 1.0)),
        }
        .map_err(|why| wrong(&why))?;
        Ok(Self { text: text.to_owned(), metric, below, or_equal, bound, unit })
    }

    /// Holds it against what was measured. What was not measured is not met.
    #[must_use]
    pub fn judge(&self, measured: &Measured) -> Objective {
        let value = match self.metric {
            Metric::Latency(quantile) => {
                let all = measured.latencies.iter().map(|latency| quantile.of(latency));
                all.reduce(if self.below { f64::max } else { f64::min })
            }
            Metric::Loss => measured.loss,
            Metric::Rate => measured.rate_per_s,
        };
        Objective {
            text: self.text.clone(),
            measured: value.map(|value| value / self.unit),
            met: value.is_some_and(|value| self.allows(value)),
        }
    }

    fn allows(&self, value: f64) -> bool {
        let strictly = if self.below { value < self.bound } else { value > self.bound };
        strictly || (self.or_equal && (value - self.bound).abs() <= f64::EPSILON * self.bound)
    }
}

impl Quantile {
    /// Microseconds.
    fn of(self, latency: &Quantiles) -> f64 {
        match self {
            Self::P50 => latency.p50_us as f64,
            Self::P90 => latency.p90_us as f64,
            Self::P99 => latency.p99_us as f64,
            Self::P999 => latency.p999_us as f64,
            Self::P9999 => latency.p9999_us as f64,
            Self::Max => latency.max_us as f64,
            Self::Mean => latency.mean_us,
        }
    }
}

fn metric(name: &str) -> Option<Metric> {
    Some(match name {
        "p50" => Metric::Latency(Quantile::P50),
        "p90" => Metric::Latency(Quantile::P90),
        "p99" => Metric::Latency(Quantile::P99),
        "p99.9" => Metric::Latency(Quantile::P999),
        "p99.99" => Metric::Latency(Quantile::P9999),
        "max" => Metric::Latency(Quantile::Max),
        "mean" => Metric::Latency(Quantile::Mean),
        "loss" => Metric::Loss,
        "rate" => Metric::Rate,
        _ => return None,
    })
}

/// Microseconds, and how many of them the unit of the text has. A bare number
/// is refused: 200 seconds are hardly ever meant.
fn latency_bound(value: &str) -> Result<(f64, f64), String> {
    let duration = units::duration(value)?;
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || "._ ".contains(c));
    let unit = match unit.to_ascii_lowercase().as_str() {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        "h" => 3600e6,
        _ => return Err(format!("{value:?} needs a unit: us, ms or s")),
    };
    Ok((duration.as_secs_f64() * 1e6, unit))
}

/// A share of 1, and what its unit is worth.
fn loss_bound(value: &str) -> Result<(f64, f64), String> {
    let (number, unit) = match value.strip_suffix('%') {
        Some(number) => (number.trim(), 0.01),
        None => (value, 1.0),
    };
    let share = number.parse::<f64>().ok().map(|number| number * unit);
    match share {
        Some(share) if (0.0..=1.0).contains(&share) => Ok((share, unit)),
        _ => Err(format!("{value:?} is not a share such as 0.1% or 0.001")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured() -> Measured {
        let fast = Quantiles { count: 5, p99_us: 90_000, mean_us: 10.0, ..Quantiles::default() };
        let slow = Quantiles { count: 5, p99_us: 150_000, mean_us: 20.0, ..Quantiles::default() };
        Measured { latencies: vec![fast, slow], loss: Some(0.001), rate_per_s: Some(9_000.0) }
    }

    fn judged(text: &str) -> (Option<f64>, bool) {
        let objective = Slo::parse(text).unwrap().judge(&measured());
        assert_eq!(objective.text, text);
        (objective.measured, objective.met)
    }

    #[test]
    fn demands_are_judged_in_their_own_unit() {
        assert_eq!(judged("p99<200ms"), (Some(150.0), true));
        assert_eq!(judged("p99 < 0.1s"), (Some(0.15), false));
        assert_eq!(judged("p99>100us"), (Some(90_000.0), true));
        assert_eq!(judged("p99<150ms"), (Some(150.0), false));
        assert_eq!(judged("p99<=150ms"), (Some(150.0), true));
        assert_eq!(judged("mean<1ms"), (Some(0.02), true));
        assert_eq!(judged("loss<0.1%"), (Some(0.1), false));
        assert_eq!(judged("loss<0.01"), (Some(0.001), true));
        assert_eq!(judged("rate>10k"), (Some(9_000.0), false));
        assert_eq!(judged("rate>=9k"), (Some(9_000.0), true));
        for name in ["p50", "p90", "p99.9", "p99.99", "max"] {
            assert!(Slo::parse(&format!("{name}<1s")).is_ok(), "{name}");
        }
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for text in [
            "",
            "p99",
            "p99=5ms",
            "p98<5ms",
            "p99<",
            "p99<200",
            "p99<fast",
            "loss<200%",
            "rate>x",
            "loss<nan",
        ] {
            let error = Slo::parse(text).unwrap_err();
            assert!(error.starts_with("--slo ") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        for text in ["p99<1s", "loss<1", "rate>1"] {
            let objective = Slo::parse(text).unwrap().judge(&Measured::default());
            assert_eq!((objective.measured, objective.met), (None, false), "{text}");
        }
    }
}
