//! Lines through measurements: bytes per connection, CPU per event.

use super::nnls;
use super::student;
use crate::result::{CpuCosts, MemoryPlateau, MemorySlopes, Slope};

/// The least-squares line through points (x, y), with the 95 % confidence
/// interval of its slope (Student's t, n − 2 degrees of freedom).
///
/// # Errors
/// One line, when there are fewer than three points, all at one x, or a number is not finite.
pub fn line(points: &[(f64, f64)]) -> Result<Slope, String> {
    if points.len() < 3 {
        return Err(format!("a line with confidence needs 3 points, not {}", points.len()));
    }
    if points.iter().any(|(x, y)| !x.is_finite() || !y.is_finite()) {
        return Err("a line cannot be drawn through numbers that are not finite".into());
    }
    let n = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / n;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if spread <= 0.0 {
        return Err("a line needs points at two places at least".into());
    }
    let both: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = both / spread;
    let intercept = mean_y - slope * mean_x;
    let fitted = points.iter().map(|(x, _)| intercept + slope * x);
    let errors: f64 = points.iter().zip(fitted.clone()).map(|((_, y), f)| (y - f).powi(2)).sum();
    let deviation = (errors / (n - 2.0) / spread).sqrt();
    let reach = student::two_sided_95(points.len() - 2) * deviation;
    let seen: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
    Ok(Slope {
        per_connection: slope,
        low: slope - reach,
        high: slope + reach,
        intercept,
        r_squared: r_squared(&seen, &fitted.collect::<Vec<f64>>()),
    })
}

/// Bytes per connection of each kind, as slopes over plateaus.
///
/// # Errors
/// As [`line()`].
pub fn memory(plateaus: &[MemoryPlateau]) -> Result<MemorySlopes, String> {
    let slope = |bytes: fn(&MemoryPlateau) -> u64| {
        let points = plateaus.iter().map(|at| (at.connections as f64, bytes(at) as f64));
        line(&points.collect::<Vec<_>>())
    };
    Ok(MemorySlopes {
        user: slope(|at| at.user_bytes)?,
        slab: slope(|at| at.slab_bytes)?,
        socket: slope(|at| at.socket_bytes)?,
    })
}

/// What happened during one level of load, and the CPU time the server took for all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuLoad {
    /// Connections times seconds.
    pub connection_seconds: f64,
    /// Heartbeats that were answered.
    pub heartbeats: f64,
    /// Messages to one user.
    pub unicasts: f64,
    /// Receipts of messages to many.
    pub fanout_receipts: f64,
    /// Handshakes with their login.
    pub connects: f64,
    /// CPU time of the server, seconds.
    pub cpu_s: f64,
}

/// What each kind of event costs, by a least-squares fit without intercept and
/// without negative costs. An event that never happened costs 0.
///
/// What is measured errs by a share of itself: a storm of a million handshakes
/// that is off by 3 % must not outweigh a second of heartbeats. So every load
/// counts by the share, not by the seconds, that the fit misses.
///
/// # Errors
/// One line, when there are fewer loads than kinds of events, or the loads
/// cannot tell two kinds apart because they always came together.
pub fn cpu_costs(loads: &[CpuLoad]) -> Result<CpuCosts, String> {
    let rows: Vec<[f64; 5]> = loads
        .iter()
        .map(|load| {
            [
                load.connection_seconds,
                load.heartbeats,
                load.unicasts,
                load.fanout_receipts,
                load.connects,
            ]
        })
        .collect();
    let kinds = (0..5).filter(|kind| rows.iter().any(|row| row[*kind] > 0.0)).count();
    if kinds == 0 || rows.len() < kinds {
        return Err(format!("{} loads cannot tell {kinds} kinds of events apart", rows.len()));
    }
    if !nnls::independent(&rows) {
        return Err("two kinds of events always came together: vary them one by one".into());
    }
    let micros: Vec<f64> = loads.iter().map(|load| load.cpu_s * 1e6).collect();
    let weights: Vec<f64> = micros.iter().map(|micros| 1.0 / micros.max(NOISE_US)).collect();
    let weighted: Vec<[f64; 5]> =
        rows.iter().zip(&weights).map(|(row, weight)| row.map(|count| count * weight)).collect();
    let shares: Vec<f64> = micros.iter().zip(&weights).map(|(y, weight)| y * weight).collect();
    let costs = nnls::non_negative(&weighted, &shares)
        .ok_or("CPU costs cannot be fitted to numbers that are not finite")?;
    let fitted: Vec<f64> = rows
        .iter()
        .map(|row| row.iter().zip(costs).map(|(count, cost)| count * cost).sum())
        .collect();
    let [idle_second_us, heartbeat_us, unicast_us, fanout_receipt_us, connect_us] = costs;
    Ok(CpuCosts {
        idle_second_us,
        heartbeat_us,
        unicast_us,
        fanout_receipt_us,
        connect_us,
        r_squared: r_squared(&micros, &fitted),
    })
}

/// CPU time, microseconds, that comes and goes whatever the load: below it no share is meant.
const NOISE_US: f64 = 10_000.0;

/// Share of the variance around the mean that a fit explains: 0 to 1. A fit
/// without a miss explains all of it, even where nothing varies.
#[must_use]
pub fn r_squared(seen: &[f64], fitted: &[f64]) -> f64 {
    let mean = seen.iter().sum::<f64>() / seen.len().max(1) as f64;
    let total: f64 = seen.iter().map(|y| (y - mean).powi(2)).sum();
    let missed: f64 = seen.iter().zip(fitted).map(|(y, f)| (y - f).powi(2)).sum();
    if missed <= 0.0 {
        return 1.0;
    }
    if total <= 0.0 { 0.0 } else { (1.0 - missed / total).clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, within: f64) {
        assert!((a - b).abs() <= within, "{a} is not {b}");
    }

    /// NIST StRD, data set Norris would be the usual check; this one can be done by hand:
    /// x = 1..5, y = 2, 4, 5, 4, 5 gives y = 2.2 + 0.6 x, SSE 2.4, s(b) = √(0.8/10).
    #[test]
    fn a_line_by_hand() {
        let slope = line(&[(1.0, 2.0), (2.0, 4.0), (3.0, 5.0), (4.0, 4.0), (5.0, 5.0)]).unwrap();
        near(slope.per_connection, 0.6, 1e-12);
        near(slope.intercept, 2.2, 1e-12);
        near(slope.r_squared, 0.6, 1e-12);
        let reach = 3.182 * 0.08_f64.sqrt();
        near(slope.low, 0.6 - reach, 1e-12);
        near(slope.high, 0.6 + reach, 1e-12);
    }

    #[test]
    fn an_exact_line_has_no_width() {
        let points: Vec<(f64, f64)> =
            (0..7).map(|k| (f64::from(k) * 1e5, 5e6 + 56.0 * f64::from(k) * 1e5)).collect();
        let slope = line(&points).unwrap();
        near(slope.per_connection, 56.0, 1e-9);
        near(slope.high - slope.low, 0.0, 1e-6);
        near(slope.r_squared, 1.0, 1e-12);
    }

    #[test]
    fn what_is_no_line_is_refused() {
        assert!(line(&[(1.0, 1.0), (2.0, 2.0)]).unwrap_err().contains("3 points"));
        assert!(line(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]).unwrap_err().contains("two places"));
        assert!(line(&[(1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)]).is_err());
    }

    #[test]
    fn memory_has_a_slope_of_each_kind() {
        let plateaus: Vec<MemoryPlateau> = (0..6_u64)
            .map(|k| MemoryPlateau {
                connections: k * 1000,
                user_bytes: 9_000 + k * 1000 * 62,
                slab_bytes: 1_000_000 + k * 1000 * 8_200,
                socket_bytes: 4096,
            })
            .collect();
        let slopes = memory(&plateaus).unwrap();
        near(slopes.user.per_connection, 62.0, 1e-9);
        near(slopes.slab.per_connection, 8_200.0, 1e-9);
        near(slopes.socket.per_connection, 0.0, 1e-9);
        near(slopes.socket.r_squared, 1.0, 0.0);
    }

    fn load(counts: [f64; 5]) -> CpuLoad {
        let [connection_seconds, heartbeats, unicasts, fanout_receipts, connects] = counts;
        let cost = [0.004, 1.5, 3.0, 0.9, 20.0];
        let cpu_s = counts.iter().zip(cost).map(|(n, us)| n * us).sum::<f64>() / 1e6;
        CpuLoad { connection_seconds, heartbeats, unicasts, fanout_receipts, connects, cpu_s }
    }

    #[test]
    fn costs_of_a_factorial_are_found() {
        let loads = [
            load([6e6, 0.0, 0.0, 0.0, 0.0]),
            load([6e6, 1e5, 0.0, 0.0, 0.0]),
            load([6e6, 0.0, 3e5, 0.0, 0.0]),
            load([6e6, 0.0, 0.0, 5e5, 0.0]),
            load([3e6, 1e5, 3e5, 5e5, 1e5]),
        ];
        let costs = cpu_costs(&loads).unwrap();
        near(costs.idle_second_us, 0.004, 1e-9);
        near(costs.heartbeat_us, 1.5, 1e-9);
        near(costs.unicast_us, 3.0, 1e-9);
        near(costs.fanout_receipt_us, 0.9, 1e-9);
        near(costs.connect_us, 20.0, 1e-9);
        near(costs.r_squared, 1.0, 1e-9);
        near(cpu_costs(&loads[..4]).unwrap().connect_us, 0.0, 0.0);
    }

    #[test]
    fn storms_measured_badly_do_not_hide_heartbeats() {
        let mut loads = [
            load([2e5, 0.0, 0.0, 0.0, 1e5]),
            load([9e6, 0.0, 0.0, 0.0, 1e5]),
            load([6e6, 0.0, 0.0, 0.0, 0.0]),
            load([6e6, 1e4, 0.0, 0.0, 0.0]),
            load([6e6, 2e4, 0.0, 0.0, 0.0]),
        ];
        // Seconds of CPU, off by more than all the heartbeats take.
        loads[0].cpu_s *= 1.05;
        loads[1].cpu_s *= 0.95;
        let costs = cpu_costs(&loads).unwrap();
        near(costs.heartbeat_us, 1.5, 0.3);
        near(costs.connect_us, 20.0, 1.5);
    }

    #[test]
    fn loads_that_tell_nothing_apart_are_refused() {
        assert!(cpu_costs(&[]).is_err());
        let together = [load([1e6, 1e4, 0.0, 0.0, 0.0]), load([2e6, 2e4, 0.0, 0.0, 0.0])];
        assert!(cpu_costs(&together).unwrap_err().contains("together"));
        assert!(cpu_costs(&together[..1]).unwrap_err().contains("1 loads cannot tell 2"));
    }
}
