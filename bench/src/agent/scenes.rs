//! What `fanout`, `storm` and `hostile` have seen from many hosts.

use super::merge::{Share, histogram, latency, quantiles, together};
use crate::result::{
    BadClients, ComeBack, Fanout, FanoutRound, Hostile, Recovery, RunResult, Storm,
};
use crate::run::led::FANOUT_ROUND;
use crate::stats::fairness::jain;

pub(super) fn fanout(shares: &[Share]) -> Result<Option<Fanout>, String> {
    let all: Vec<&Fanout> =
        shares.iter().filter_map(|share| share.result.fanout.as_ref()).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let parts = together(shares, FANOUT_ROUND);
    let mut rounds = Vec::with_capacity(parts.len());
    let (mut count, mut sum, mut squares) = (0, 0.0, 0.0);
    for (index, parts) in parts.iter().enumerate() {
        // Means over all rounds so far: those of the last round say it all.
        (count, sum, squares) = parts.iter().fold((0, 0.0, 0.0), |(count, sum, squares), part| {
            let (more, plus, further) = part.fairness;
            (count + more, sum + plus, squares + further)
        });
        let delays = histogram(parts)?;
        let of: Vec<&FanoutRound> = all.iter().filter_map(|one| one.rounds.get(index)).collect();
        let total = |value: fn(&FanoutRound) -> u64| of.iter().map(|round| value(round)).sum();
        let (first_us, last_us) = (delays.min(), delays.max());
        let received: u64 = total(|round| round.received);
        rounds.push(FanoutRound {
            receivers: total(|round| round.receivers),
            received,
            lost: total(|round| round.lost),
            duplicates: total(|round| round.duplicates),
            first_us,
            first_by_url_us: Vec::new(),
            p50_us: delays.quantile(0.5),
            p99_us: delays.quantile(0.99),
            last_us,
            rate_per_s: received as f64 * 1e6 / last_us.saturating_sub(first_us).max(1) as f64,
            server_cpu_s: None,
        });
    }
    let delays = quantiles(all.iter().map(|one| &one.delays))?;
    Ok(Some(Fanout { rounds, delays, fairness: jain(count, sum, squares) }))
}

pub(super) fn storm(results: &[&RunResult]) -> Option<Storm> {
    let all: Vec<&Storm> = results.iter().filter_map(|result| result.storm.as_ref()).collect();
    let policy = all.first()?.policy.clone();
    let total = |value: fn(&Storm) -> u64| -> u64 { all.iter().map(|storm| value(storm)).sum() };
    let dropped = total(|storm| storm.dropped);
    let curve = curve(&all);
    let until = |share: f64| {
        let point = curve.iter().find(|point| point.returned as f64 >= dropped as f64 * share);
        point.map(|point| point.at_s)
    };
    Some(Storm {
        before: total(|storm| storm.before),
        dropped,
        policy,
        returned: total(|storm| storm.returned),
        survivors_lost: total(|storm| storm.survivors_lost),
        half_s: until(0.5),
        p99_s: until(0.99),
        all_s: until(1.0),
        listen_overflows: total(|storm| storm.listen_overflows),
        syn_retransmits: total(|storm| storm.syn_retransmits),
        curve,
    })
}

/// Curves that add up: at every point of one, all the others stand where they last were.
fn curve(all: &[&Storm]) -> Vec<Recovery> {
    let points = all.iter().enumerate();
    let mut steps: Vec<(usize, Recovery)> =
        points.flat_map(|(of, storm)| storm.curve.iter().map(move |point| (of, *point))).collect();
    steps.sort_by(|a, b| a.1.at_s.total_cmp(&b.1.at_s));
    let mut stands = vec![0; all.len()];
    let add_up = |(of, point): (usize, Recovery)| {
        stands[of] = point.returned;
        Recovery { at_s: point.at_s, returned: stands.iter().sum() }
    };
    steps.into_iter().map(add_up).collect()
}

pub(super) fn come_back(results: &[&RunResult]) -> Result<Option<ComeBack>, String> {
    let all: Vec<&ComeBack> = results.iter().filter_map(|one| one.come_back.as_ref()).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let total = |value: fn(&ComeBack) -> u64| all.iter().map(|one| value(one)).sum();
    Ok(Some(ComeBack {
        told: total(|one| one.told),
        returned: total(|one| one.returned),
        retried: total(|one| one.retried),
        moved: total(|one| one.moved),
        late: latency(all.iter().map(|one| &one.late))?,
    }))
}

pub(super) fn hostile(results: &[&RunResult]) -> Option<Hostile> {
    let all: Vec<&Hostile> = results.iter().filter_map(|result| result.hostile.as_ref()).collect();
    all.first()?;
    let mut kinds: Vec<BadClients> = Vec::new();
    for more in all.iter().flat_map(|hostile| &hostile.kinds) {
        let Some(sum) = kinds.iter_mut().find(|known| known.kind == more.kind) else {
            kinds.push(more.clone());
            continue;
        };
        // Bytes for each, times so many, are bytes again.
        let each = |a: Option<f64>, b: Option<f64>| {
            let bytes = a? * sum.clients as f64 + b? * more.clients as f64;
            Some(bytes / (sum.clients + more.clients).max(1) as f64)
        };
        let server_bytes_each = each(sum.server_bytes_each, more.server_bytes_each);
        let socket_bytes_each = each(sum.socket_bytes_each, more.socket_bytes_each);
        sum.clients += more.clients;
        sum.closed_by_server += more.closed_by_server;
        (sum.server_bytes_each, sum.socket_bytes_each) = (server_bytes_each, socket_bytes_each);
    }
    Some(Hostile { kinds, good_lost: all.iter().map(|hostile| hostile.good_lost).sum() })
}
