//! Least squares with few columns, none of whose weights is negative.

/// The weights w ≥ 0 that make Σ wₖ·columnₖ come closest to `values`; none if
/// there is nothing to fit or a number is not finite.
///
/// Costs are never negative, so a fit that says so has only traded one noisy
/// column against another. With K columns the best fit is the unbounded one of
/// some subset: there are 2ᴷ of them, all are tried, and the result is exact
/// without a tolerance to choose. Meant for K up to about 8.
#[must_use]
pub fn non_negative<const K: usize>(rows: &[[f64; K]], values: &[f64]) -> Option<[f64; K]> {
    let columns = columns(rows);
    let finite = columns.iter().flatten().chain(values).all(|x| x.is_finite());
    if rows.len() != values.len() || rows.is_empty() || !finite {
        return None;
    }
    let mut best = ([0.0; K], dot(values, values));
    for subset in 1..1_usize << K {
        let chosen: Vec<usize> = (0..K).filter(|k| subset >> k & 1 == 1).collect();
        let picked: Vec<&[f64]> = chosen.iter().map(|k| columns[*k].as_slice()).collect();
        let Some((weights, residual)) = least_squares(&picked, values) else { continue };
        if residual < best.1 && weights.iter().all(|weight| *weight >= 0.0) {
            best = ([0.0; K], residual);
            chosen.iter().zip(weights).for_each(|(k, weight)| best.0[*k] = weight);
        }
    }
    Some(best.0)
}

/// Whether every column that is not all zero adds something to the others, so
/// that a fit can tell them apart.
#[must_use]
pub fn independent<const K: usize>(rows: &[[f64; K]]) -> bool {
    let columns = columns(rows);
    let used: Vec<&[f64]> =
        columns.iter().map(Vec::as_slice).filter(|column| dot(column, column) > 0.0).collect();
    least_squares(&used, &vec![0.0; rows.len()]).is_some()
}

fn columns<const K: usize>(rows: &[[f64; K]]) -> Vec<Vec<f64>> {
    (0..K).map(|k| rows.iter().map(|row| row[k]).collect()).collect()
}

/// Weights and squared residual by a QR decomposition (modified Gram–Schmidt,
/// each column twice, on columns of length 1); none if columns depend on each other.
fn least_squares(columns: &[&[f64]], values: &[f64]) -> Option<(Vec<f64>, f64)> {
    let mut directions: Vec<Vec<f64>> = Vec::with_capacity(columns.len());
    let mut upper = vec![vec![0.0; columns.len()]; columns.len()];
    let mut lengths = Vec::with_capacity(columns.len());
    for (j, column) in columns.iter().enumerate() {
        let length = dot(column, column).sqrt();
        let mut rest: Vec<f64> = column.iter().map(|x| x / length).collect();
        for _ in 0..2 {
            for (i, direction) in directions.iter().enumerate() {
                let along = dot(direction, &rest);
                upper[i][j] += along;
                subtract(&mut rest, direction, along);
            }
        }
        let left = dot(&rest, &rest).sqrt();
        // A column of zeros is not a number any more: divided by its length.
        if left.is_nan() || left <= DEPENDENT {
            return None;
        }
        upper[j][j] = left;
        directions.push(rest.iter().map(|x| x / left).collect());
        lengths.push(length);
    }
    let mut rest = values.to_vec();
    let mut weights = Vec::with_capacity(columns.len());
    for direction in &directions {
        let along = dot(direction, &rest);
        subtract(&mut rest, direction, along);
        weights.push(along);
    }
    for j in (0..weights.len()).rev() {
        let known: f64 = (j + 1..weights.len()).map(|k| upper[j][k] * weights[k]).sum();
        weights[j] = (weights[j] - known) / upper[j][j];
    }
    weights.iter_mut().zip(lengths).for_each(|(weight, length)| *weight /= length);
    Some((weights, dot(&rest, &rest)))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn subtract(from: &mut [f64], direction: &[f64], along: f64) {
    from.iter_mut().zip(direction).for_each(|(x, y)| *x -= along * y);
}

/// A column of length 1 of which no more than this is left depends on the others.
const DEPENDENT: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_weights_are_found() {
        let rows = [[1.0, 2e6], [2.0, 1e6], [5.0, 3e6], [0.0, 1e6]];
        let values: Vec<f64> = rows.iter().map(|row| 7.0 * row[0] + 3e-6 * row[1]).collect();
        let found = non_negative(&rows, &values).unwrap();
        assert!((found[0] - 7.0).abs() < 1e-9 && (found[1] - 3e-6).abs() < 1e-15, "{found:?}");
    }

    /// Lawson & Hanson's own point: setting negative weights to zero afterwards is not the best fit.
    #[test]
    fn a_negative_weight_leaves_and_the_others_are_fitted_anew() {
        let rows = [[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]];
        let values = [3.0, 2.0, 1.0];
        // Unbounded: 4 − x. Bounded: the mean alone.
        assert_eq!(
            non_negative(&rows, &values).map(|w| w.map(|x| (x * 1e9).round() / 1e9)),
            Some([2.0, 0.0])
        );
    }

    #[test]
    fn dependent_columns_are_seen() {
        assert!(!independent(&[[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]));
        assert!(independent(&[[1.0, 2.0], [2.0, 4.0], [3.0, 7.0]]));
        assert!(independent(&[[1.0, 0.0], [2.0, 0.0]]), "a column of zeros is left out");
    }

    #[test]
    fn nonsense_has_no_fit() {
        assert_eq!(non_negative::<1>(&[], &[]), None);
        assert_eq!(non_negative(&[[f64::NAN]], &[1.0]), None);
        assert_eq!(non_negative(&[[1.0]], &[1.0, 2.0]), None);
        assert_eq!(non_negative(&[[0.0]], &[1.0]), Some([0.0]));
    }

    proptest! {
        /// Kuhn–Tucker: the residual is at right angles to what is used and
        /// does not point along what is not.
        #[test]
        fn nothing_near_is_better(
            rows in prop::collection::vec(prop::array::uniform3(-5.0_f64..5.0), 4..12),
            seed in any::<u64>(),
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let values: Vec<f64> = rows.iter().map(|_| random.f64() * 10.0 - 5.0).collect();
            let found = non_negative(&rows, &values).unwrap();
            for k in 0..3 {
                let slope: f64 = rows.iter().zip(&values).map(|(row, value)| {
                    row[k] * (value - row.iter().zip(found).map(|(x, w)| x * w).sum::<f64>())
                }).sum();
                prop_assert!(found[k] >= 0.0 && slope < 1e-6, "{found:?} {slope}");
                prop_assert!(found[k] == 0.0 || slope.abs() < 1e-6, "{found:?} {slope}");
            }
        }
    }
}
