//! The Universal Scalability Law, fitted to measurements.

use super::{nnls, regression};
use crate::result::Scalability;

/// Fits X(n) = λn / (1 + σ(n − 1) + κn(n − 1)) to points (n, X), with λ, σ, κ ≥ 0.
///
/// n is messages in flight, or cores; never idle connections, which do not work.
/// The law in its linear form, n/X = (1 + σ(n − 1) + κn(n − 1)) / λ, gives the
/// start; damped Gauss–Newton steps with the same bounds then fit X itself. A peak beyond
/// twice the largest n that was measured is not told: nobody has seen it.
///
/// # Errors
/// One line, when fewer than three different n were measured, or a number makes no sense.
pub fn fit(points: &[(f64, f64)]) -> Result<Scalability, String> {
    let sane = |(n, x): &(f64, f64)| n.is_finite() && x.is_finite() && *n >= 1.0 && *x > 0.0;
    if !points.iter().all(sane) {
        return Err("a scalability law needs counts from 1 up and throughputs above 0".into());
    }
    let mut counts: Vec<f64> = points.iter().map(|(n, _)| *n).collect();
    counts.sort_unstable_by(f64::total_cmp);
    counts.dedup();
    let (Some(measured_to), true) = (counts.last().copied(), counts.len() >= 3) else {
        return Err(format!("a scalability law needs 3 different counts, not {}", counts.len()));
    };
    let mut law = refined(start(points), points);
    law.sigma = law.sigma.min(1.0);
    let seen: Vec<f64> = points.iter().map(|(_, x)| *x).collect();
    let fitted: Vec<f64> = points.iter().map(|(n, _)| law.at(*n)).collect();
    let peak = law.peak().filter(|n| *n <= 2.0 * measured_to);
    Ok(Scalability {
        lambda: law.lambda,
        sigma: law.sigma,
        kappa: law.kappa,
        peak_in_flight: peak,
        peak_per_s: peak.map(|n| law.at(n)),
        measured_to,
        r_squared: regression::r_squared(&seen, &fitted),
    })
}

/// What the law says of so many in flight, per second.
#[must_use]
pub fn throughput(law: &Scalability, n: f64) -> f64 {
    Law { lambda: law.lambda, sigma: law.sigma, kappa: law.kappa }.at(n)
}

#[derive(Clone, Copy)]
struct Law {
    lambda: f64,
    sigma: f64,
    kappa: f64,
}

impl Law {
    fn at(self, n: f64) -> f64 {
        self.lambda * n / self.slowdown(n)
    }

    fn slowdown(self, n: f64) -> f64 {
        1.0 + self.sigma * (n - 1.0) + self.kappa * n * (n - 1.0)
    }

    /// Where dX/dn is 0: √((1 − σ)/κ), none if that is nowhere past 1.
    fn peak(self) -> Option<f64> {
        let n = ((1.0 - self.sigma) / self.kappa).sqrt();
        (n.is_finite() && n >= 1.0).then_some(n)
    }

    fn missed(self, points: &[(f64, f64)]) -> f64 {
        points.iter().map(|(n, x)| (x - self.at(*n)).powi(2)).sum()
    }
}

/// Each row is divided by its n/X, so that small throughputs do not outweigh the others.
fn start(points: &[(f64, f64)]) -> Law {
    let rows: Vec<[f64; 3]> = points
        .iter()
        .map(|(n, x)| [1.0, n - 1.0, n * (n - 1.0)].map(|term| term * x / n))
        .collect();
    let steepest = points.iter().map(|(n, x)| x / n).fold(0.0, f64::max);
    match nnls::non_negative(&rows, &vec![1.0; rows.len()]) {
        Some([inverse, sigma, kappa]) if inverse > 0.0 => {
            Law { lambda: 1.0 / inverse, sigma: sigma / inverse, kappa: kappa / inverse }
        }
        _ => Law { lambda: steepest, sigma: 0.0, kappa: 0.0 },
    }
}

/// Levenberg–Marquardt, whose every step is a least-squares fit with weights that are not negative.
fn refined(mut law: Law, points: &[(f64, f64)]) -> Law {
    let mut damping = 1e-3;
    let mut missed = law.missed(points);
    for _ in 0..STEPS_MAX {
        let Some(next) = step(law, points, damping) else { return law };
        let left = next.missed(points);
        if left < missed {
            let gained = (missed - left) / missed;
            (law, missed) = (next, left);
            damping /= 10.0;
            if gained < 1e-12 {
                return law;
            }
        } else {
            damping *= 10.0;
            if damping > 1e12 {
                return law;
            }
        }
    }
    law
}

fn step(law: Law, points: &[(f64, f64)], damping: f64) -> Option<Law> {
    let here = [law.lambda, law.sigma, law.kappa];
    let mut rows = Vec::with_capacity(points.len() + 3);
    let mut values = Vec::with_capacity(points.len() + 3);
    for (n, x) in points {
        let slowdown = law.slowdown(*n);
        let steep = -law.at(*n) * (n - 1.0) / slowdown;
        let row = [n / slowdown, steep, steep * n];
        values.push(x - law.at(*n) + row.iter().zip(here).map(|(d, p)| d * p).sum::<f64>());
        rows.push(row);
    }
    for k in 0..3 {
        let length = rows[..points.len()].iter().map(|row| row[k] * row[k]).sum::<f64>().sqrt();
        let weight = damping.sqrt() * length;
        let mut row = [0.0; 3];
        row[k] = weight;
        rows.push(row);
        values.push(weight * here[k]);
    }
    let [lambda, sigma, kappa] = nnls::non_negative(&rows, &values)?;
    (lambda > 0.0).then_some(Law { lambda, sigma, kappa })
}

const STEPS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn points(law: Law, noise: f64) -> Vec<(f64, f64)> {
        let mut random = fastrand::Rng::with_seed(5);
        [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
            .map(|n| (n, law.at(n) * (1.0 + noise * (random.f64() - 0.5))))
            .to_vec()
    }

    fn near(a: f64, b: f64, share: f64) {
        assert!((a - b).abs() <= share * b.abs().max(1e-12), "{a} is not {b}");
    }

    #[test]
    fn a_known_law_is_found() {
        let law = Law { lambda: 12_000.0, sigma: 0.03, kappa: 0.0004 };
        let fit = fit(&points(law, 0.0)).unwrap();
        near(fit.lambda, law.lambda, 1e-6);
        near(fit.sigma, law.sigma, 1e-6);
        near(fit.kappa, law.kappa, 1e-6);
        near(fit.peak_in_flight.unwrap(), (0.97_f64 / 0.0004).sqrt(), 1e-6);
        near(fit.peak_per_s.unwrap(), law.at((0.97_f64 / 0.0004).sqrt()), 1e-6);
        near(fit.r_squared, 1.0, 1e-9);
        near(throughput(&fit, 32.0), law.at(32.0), 1e-6);
    }

    #[test]
    fn noise_moves_it_little() {
        let law = Law { lambda: 12_000.0, sigma: 0.03, kappa: 0.0004 };
        let fit = fit(&points(law, 0.04)).unwrap();
        near(fit.lambda, law.lambda, 0.1);
        near(fit.peak_per_s.unwrap(), law.at(law.peak().unwrap()), 0.05);
        assert!(fit.r_squared > 0.99);
    }

    #[test]
    fn no_weight_becomes_negative() {
        // Better than linear: σ and κ would have to be negative.
        let fit = fit(&[(1.0, 10.0), (2.0, 22.0), (4.0, 48.0), (8.0, 100.0)]).unwrap();
        near(fit.sigma, 0.0, 0.0);
        near(fit.kappa, 0.0, 0.0);
        assert_eq!((fit.peak_in_flight, fit.peak_per_s), (None, None));
        assert!((fit.measured_to - 8.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_peak_that_nobody_has_come_near_is_not_told() {
        let law = Law { lambda: 100.0, sigma: 0.0, kappa: 1e-6 };
        assert_eq!(fit(&points(law, 0.0)).unwrap().peak_in_flight, None);
    }

    #[test]
    fn too_little_is_refused() {
        assert!(fit(&[(1.0, 5.0), (2.0, 9.0), (2.0, 9.1)]).unwrap_err().contains("3 different"));
        assert!(fit(&[(0.0, 5.0), (2.0, 9.0), (3.0, 9.1)]).is_err());
        assert!(fit(&[(1.0, 0.0), (2.0, 9.0), (3.0, 9.1)]).is_err());
    }
}
