//! Figures of many generators: rates add up, times are read from merged
//! histograms, all else stays apart.

use super::merge::Share;
use crate::result::{FanoutRound, Figure, RunResult};
use crate::run::Stretch;

/// The figures of all, in the order in which they first appear.
pub(super) fn merge(shares: &[Share], merged: &RunResult, stretches: &[Stretch]) -> Vec<Figure> {
    let (mut figures, mut done): (Vec<Figure>, Vec<&str>) = Default::default();
    let all = || shares.iter().flat_map(|share| share.result.figures.iter());
    for figure in all() {
        if done.contains(&figure.name.as_str()) {
            continue;
        }
        done.push(&figure.name);
        let valid = all().filter(|same| same.name == figure.name).all(|same| same.valid);
        let samples = once(&figure.name, shares, merged)
            .or_else(|| time(&figure.name, merged, stretches))
            .or_else(|| rate(figure, shares));
        match samples {
            Some(samples) if !samples.is_empty() => {
                figures.push(Figure { samples, valid, ..figure.clone() });
            }
            Some(_) => {}
            None => figures.extend(apart(&figure.name, shares)),
        }
    }
    figures
}

/// Figures that the merged result itself tells.
fn once(name: &str, shares: &[Share], merged: &RunResult) -> Option<Vec<f64>> {
    // Events over the time until the last generator was done.
    let over = |seconds: fn(&RunResult) -> f64| {
        let events = shares.iter().filter_map(|share| {
            let rate = share.result.figure(name)?.samples.first()?;
            Some(rate * seconds(&share.result))
        });
        Some(vec![events.sum::<f64>() / seconds(merged).max(1e-9)])
    };
    let rounds = |value: fn(&FanoutRound) -> f64| {
        merged.fanout.as_ref().map(|fanout| fanout.rounds.iter().map(value).collect())
    };
    match name {
        "open.handshakes_per_second" => over(|result| result.connections.open_seconds),
        "login.logins_per_second" => over(|result| result.connections.login_seconds),
        "fanout.rate" => rounds(|round| round.rate_per_s),
        "fanout.p99" => rounds(|round| round.p99_us as f64 / 1e3),
        "fanout.last" => rounds(|round| round.last_us as f64 / 1e3),
        // If somebody never came back there is no such time.
        "storm.all_back" => merged.storm.as_ref().map(|storm| storm.all_s.into_iter().collect()),
        _ => None,
    }
}

/// `NAME.p99`: a sample for each stretch, or one from the load point of that name.
fn time(name: &str, merged: &RunResult, stretches: &[Stretch]) -> Option<Vec<f64>> {
    let (of, quantile) = name.rsplit_once('.')?;
    let share = match quantile {
        "p50" => 0.5,
        "p90" => 0.9,
        "p99" => 0.99,
        "p999" => 0.999,
        _ => return None,
    };
    let is_it = |name: &str| name.replace(' ', "_") == of;
    let measured = stretches.iter().filter(|stretch| is_it(&stretch.name));
    let samples = measured.map(|stretch| stretch.corrected.quantile(share) as f64 / 1e3);
    let samples: Vec<f64> = samples.collect();
    if !samples.is_empty() {
        return Some(samples);
    }
    let mut loads = merged.loads.iter();
    let point = loads.clone().find(|point| is_it(&point.name));
    // `unicast.p99` is of the load point `unicast through HTTP`.
    let point = point.or_else(|| loads.find(|point| point.name.split(' ').next() == Some(of)));
    let latency = &point?.latency.corrected;
    let micros = match quantile {
        "p50" => latency.p50_us,
        "p90" => latency.p90_us,
        "p99" => latency.p99_us,
        _ => latency.p999_us,
    };
    Some(vec![micros as f64 / 1e3])
}

/// A rate: the n-th samples add up, as far as every generator has come.
fn rate(figure: &Figure, shares: &[Share]) -> Option<Vec<f64>> {
    if figure.unit != "1/s" || figure.name.contains("cpu_second") {
        return None;
    }
    let of = shares.iter().map(|share| share.result.figure(&figure.name));
    let rows: Vec<&Vec<f64>> = of.flatten().map(|figure| &figure.samples).collect();
    let length = rows.iter().map(|row| row.len()).min().unwrap_or(0);
    Some((0..length).map(|index| rows.iter().map(|row| row[index]).sum()).collect())
}

fn apart<'a>(name: &'a str, shares: &'a [Share]) -> impl Iterator<Item = Figure> + 'a {
    shares.iter().filter_map(move |share| {
        let figure = share.result.figure(name)?.clone();
        Some(Figure { name: format!("{name}@{}", share.name), ..figure })
    })
}
