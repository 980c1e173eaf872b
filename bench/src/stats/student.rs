//! The quantile of Student's t distribution that a 95 % confidence interval takes.

/// t with P(|T| ≤ t) = 95 % at so many degrees of freedom; infinite at none.
///
/// Up to 30 from the table that every textbook has (NIST/SEMATECH e-Handbook
/// of Statistical Methods, 1.3.6.7.2); above it by the expansion around the
/// normal quantile in Abramowitz & Stegun, 26.7.5, which is good to 0.0001 there.
#[must_use]
pub fn two_sided_95(degrees: usize) -> f64 {
    match degrees {
        0 => f64::INFINITY,
        1..=30 => TABLE[degrees - 1],
        _ => {
            let z = NORMAL;
            let n = degrees as f64;
            let first = (z.powi(3) + z) / 4.0;
            let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
            z + first / n + second / (n * n)
        }
    }
}

/// The same quantile of the normal distribution.
const NORMAL: f64 = 1.959_963_985;

const TABLE: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expansion_agrees_with_printed_tables() {
        for (degrees, printed) in
            [(1, 12.706), (10, 2.228), (31, 2.0395), (40, 2.0211), (60, 2.0003), (120, 1.9799)]
        {
            assert!((two_sided_95(degrees) - printed).abs() < 1e-4, "{degrees}");
        }
        assert!(two_sided_95(0).is_infinite());
        assert!((two_sided_95(1_000_000) - NORMAL).abs() < 1e-5);
    }

    #[test]
    fn more_freedom_is_a_narrower_interval() {
        assert!((1..200).all(|n| two_sided_95(n) > two_sided_95(n + 1)));
    }
}
