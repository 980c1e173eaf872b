//! Confidence of medians without assumptions about their distribution.

use fastrand::Rng;

/// An estimate and its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// From the samples as they are.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The median of the samples, by the percentile method (B. Efron, 1979) over
/// [`RESAMPLES`] resamples; none if there are none, or one is not finite.
///
/// One sample gives an interval of no width: whoever asks has to look at how many there are.
#[must_use]
pub fn median_interval(samples: &[f64], seed: u64) -> Option<Interval> {
    let estimate = median(samples)?;
    let mut random = Rng::with_seed(seed);
    interval(estimate, || resampled_median(samples, &mut random))
}

/// Median of `after` over median of `before`; none also if a sample of
/// `before` is not above zero, since nothing can be said relative to that.
#[must_use]
pub fn ratio_of_medians(before: &[f64], after: &[f64], seed: u64) -> Option<Interval> {
    if before.iter().any(|sample| *sample <= 0.0) {
        return None;
    }
    let estimate = median(after)? / median(before)?;
    let mut random = Rng::with_seed(seed);
    interval(estimate, || {
        resampled_median(after, &mut random) / resampled_median(before, &mut random)
    })
}

/// The middle of the samples, the mean of both middles if their count is even;
/// none if there are none, or one is not finite.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    let usable = !samples.is_empty() && samples.iter().all(|sample| sample.is_finite());
    usable.then(|| middle(&mut samples.to_vec()))
}

/// How often samples are drawn again: the ends of the interval then move by less than 1 % of its width.
pub const RESAMPLES: usize = 10_000;

fn interval(estimate: f64, mut draw: impl FnMut() -> f64) -> Option<Interval> {
    let mut drawn: Vec<f64> = (0..RESAMPLES).map(|_| draw()).collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let low = drawn[RESAMPLES / 40];
    let high = drawn[RESAMPLES - 1 - RESAMPLES / 40];
    (low.is_finite() && high.is_finite()).then_some(Interval { estimate, low, high })
}

fn resampled_median(samples: &[f64], random: &mut Rng) -> f64 {
    let mut drawn: Vec<f64> =
        samples.iter().map(|_| samples[random.usize(..samples.len())]).collect();
    middle(&mut drawn)
}

fn middle(values: &mut [f64]) -> f64 {
    let half = values.len() / 2;
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *upper;
    match below.iter().copied().reduce(f64::max) {
        Some(lower) if values.len().is_multiple_of(2) => f64::midpoint(lower, upper),
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_by_hand() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn equal_samples_have_no_width() {
        let interval = ratio_of_medians(&[2.0; 5], &[3.0; 5], 1).unwrap();
        assert_eq!(interval, Interval { estimate: 1.5, low: 1.5, high: 1.5 });
    }

    #[test]
    fn a_seed_gives_the_same_interval_again() {
        let samples = [9.0, 10.0, 10.5, 11.0, 14.0];
        let first = median_interval(&samples, 7).unwrap();
        assert_eq!(Some(first), median_interval(&samples, 7));
        assert!(first.low < first.estimate && first.estimate < first.high, "{first:?}");
    }

    /// Of 200 samples of 15, the interval has to hold the true median about 95 times in a hundred.
    #[test]
    fn intervals_hold_the_truth_about_as_often_as_they_claim() {
        let mut random = Rng::with_seed(42);
        let held = (0..200)
            .filter(|round| {
                let samples: Vec<f64> = (0..15).map(|_| random.f64()).collect();
                let interval = median_interval(&samples, *round).unwrap();
                interval.low <= 0.5 && 0.5 <= interval.high
            })
            .count();
        assert!((180..=199).contains(&held), "{held} of 200");
    }

    #[test]
    fn nothing_is_relative_to_zero() {
        assert_eq!(ratio_of_medians(&[0.0, 1.0], &[1.0], 1), None);
        assert_eq!(ratio_of_medians(&[], &[1.0], 1), None);
        assert_eq!(ratio_of_medians(&[1.0], &[], 1), None);
    }
}
