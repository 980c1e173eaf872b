//! How evenly something is shared.

/// Jain's index (R. Jain, 1984): 1 if all have the same, 1/n if one has all.
///
/// From sums, so that it can be added up over threads. Nothing at all is
/// shared evenly: 1.
#[must_use]
pub fn jain(count: u64, sum: f64, sum_of_squares: f64) -> f64 {
    if count == 0 || sum_of_squares <= 0.0 {
        return 1.0;
    }
    (sum * sum / (count as f64 * sum_of_squares)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shares: &[f64]) -> f64 {
        jain(shares.len() as u64, shares.iter().sum(), shares.iter().map(|x| x * x).sum())
    }

    #[test]
    fn even_is_one_and_all_for_one_is_a_share() {
        assert!((of(&[3.0; 7]) - 1.0).abs() < 1e-12);
        assert!((of(&[0.0, 0.0, 5.0, 0.0]) - 0.25).abs() < 1e-12);
        // (1 + 3)² / (2 · (1 + 9))
        assert!((of(&[1.0, 3.0]) - 0.8).abs() < 1e-12);
        assert!((of(&[]) - 1.0).abs() < 1e-12);
        assert!((of(&[0.0, 0.0]) - 1.0).abs() < 1e-12);
    }
}
