//! Merged is as if one generator had done it all.

use super::merge::{Share, add_server, merge};
use crate::result::{
    Better, Connections, FORMAT, Fanout, FanoutRound, Figure, KernelSample, Latency, LoadPoint,
    Machine, Messages, Recovery, RunResult, Sample, ServerSample, Storm, Target, Verdict,
};
use crate::run::led::{FANOUT_ROUND, Part};
use crate::stats::fairness::jain;
use crate::stats::histogram::Histogram;
use proptest::prelude::*;

fn result() -> RunResult {
    RunResult {
        format: FORMAT.to_owned(),
        command: "echo".to_owned(),
        arguments: Vec::new(),
        version: "1".to_owned(),
        started_unix_s: 7,
        seconds: 1.0,
        seed: 1,
        machine: Machine { host: "a".into(), cores: 2, ..Machine::default() },
        target: Target::default(),
        connections: Connections::default(),
        messages: Messages::default(),
        figures: Vec::new(),
        timeline: Vec::new(),
        loads: Vec::new(),
        fanout: None,
        storm: None,
        come_back: None,
        hostile: None,
        plan: None,
        objectives: Vec::new(),
        stall: None,
        notes: Vec::new(),
    }
}

fn share(name: &str, result: RunResult) -> Share {
    Share { name: name.to_owned(), result, parts: Vec::new() }
}

fn of(values: &[u64]) -> Histogram {
    let mut histogram = Histogram::new();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

fn point(name: &str, stretches: &[Vec<u64>]) -> LoadPoint {
    let all = of(&stretches.concat()).to_quantiles();
    LoadPoint {
        name: name.to_owned(),
        connections: 10,
        active: 5,
        offered_per_s: Some(100.0),
        achieved_per_s: 99.0,
        seconds: 1.0,
        generator_cpu: 0.5,
        server_cpu_s: None,
        verdict: Verdict::Valid,
        latency: Latency { corrected: all.clone(), uncorrected: all.clone(), lag: all },
    }
}

fn figure(name: &str, unit: &str, samples: &[f64]) -> Figure {
    let (name, unit, samples) = (name.to_owned(), unit.to_owned(), samples.to_vec());
    Figure { name, unit, better: Better::Lower, samples, valid: true }
}

/// A generator that has measured `echo 1` in these stretches.
fn measured(name: &str, stretches: &[Vec<u64>]) -> Share {
    let mut result = result();
    result.loads = vec![point("echo 1", stretches)];
    let quantile = |values: &Vec<u64>| of(values).quantile(0.99) as f64 / 1e3;
    let p99: Vec<f64> = stretches.iter().map(quantile).collect();
    let rates: Vec<f64> = stretches.iter().map(|values| values.len() as f64).collect();
    result.figures =
        vec![figure("echo_1.p99", "ms", &p99), figure("echo_1.messages_per_second", "1/s", &rates)];
    let part = |(index, values): (usize, &Vec<u64>)| Part {
        name: "echo 1".to_owned(),
        began_s: index as f64,
        length_s: 1.0,
        histogram: of(values).to_base64(),
        ..Part::default()
    };
    Share { parts: stretches.iter().enumerate().map(part).collect(), ..share(name, result) }
}

fn stretches() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(1_u64..100_000_000, 0..40), 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn latencies_are_those_of_one_generator_that_saw_all(
        all in prop::collection::vec(stretches(), 1..5)
    ) {
        let shares = all.iter().enumerate();
        let shares = shares.map(|(index, one)| measured(&format!("{index}:1"), one)).collect();
        let whole: Vec<Vec<u64>> =
            (0..3).map(|index| all.iter().flat_map(|one| one[index].clone()).collect()).collect();
        let (merged, stretches) = merge(shares).unwrap();
        let expected = point("echo 1", &whole);
        prop_assert_eq!(&merged.loads[0].latency, &expected.latency);
        prop_assert_eq!(merged.loads.len(), 1);
        prop_assert_eq!(merged.loads[0].connections, 10 * all.len() as u64);
        let expected = measured("one", &whole).result.figures;
        prop_assert_eq!(merged.figures, expected);
        for (stretch, values) in stretches.iter().zip(&whole) {
            prop_assert_eq!(&stretch.corrected, &of(values));
        }
        prop_assert_eq!(stretches.len(), 3);
    }

    /// However the returns are spread over generators, the curve is that of all.
    #[test]
    fn recovery_is_that_of_all(returns in prop::collection::vec((0_usize..3, 1_u32..1_000), 1..60)) {
        let mut sorted = returns;
        sorted.sort_by_key(|(_, at)| *at);
        let curve = |of: &dyn Fn(usize) -> bool| -> Vec<Recovery> {
            let own = sorted.iter().filter(|(who, _)| of(*who)).zip(1..);
            own.map(|((_, at), returned)| Recovery { at_s: f64::from(*at), returned }).collect()
        };
        let storm = |curve: Vec<Recovery>| {
            let dropped = curve.len() as u64;
            Storm { dropped, returned: dropped, curve, ..Storm::default() }
        };
        let one = |who: usize| {
            let storm = Some(storm(curve(&|other| other == who)));
            share(&who.to_string(), RunResult { storm, ..result() })
        };
        let (merged, _) = merge((0..3).map(one).collect()).unwrap();
        let merged = merged.storm.unwrap();
        prop_assert_eq!(&merged.curve, &curve(&|_| true));
        prop_assert_eq!(merged.all_s, sorted.last().map(|(_, at)| f64::from(*at)));
        prop_assert_eq!(merged.dropped, sorted.len() as u64);
    }
}

#[test]
fn a_fan_out_is_one_over_all_hosts() {
    let receivers: [&[u64]; 2] = [&[1_000, 2_000, 3_000], &[500, 9_000]];
    let shares = receivers.iter().enumerate().map(|(index, delays)| {
        let histogram = of(delays);
        let received = delays.len() as u64;
        let round =
            FanoutRound { receivers: received + 1, received, lost: 1, ..Default::default() };
        let fanout =
            Fanout { rounds: vec![round], delays: histogram.to_quantiles(), fairness: 1.0 };
        let mut result = RunResult { fanout: Some(fanout), ..result() };
        result.figures = vec![figure("fanout.last", "ms", &[1.0])];
        let squares = delays.iter().map(|delay| (delay * delay) as f64).sum();
        let fairness = (received, delays.iter().sum::<u64>() as f64, squares);
        let part = Part {
            name: FANOUT_ROUND.to_owned(),
            histogram: histogram.to_base64(),
            fairness,
            ..Part::default()
        };
        Share { parts: vec![part], ..share(&index.to_string(), result) }
    });
    let (merged, stretches) = merge(shares.collect()).unwrap();
    let (fanout, whole) = (merged.fanout.clone().unwrap(), of(&receivers.concat()));
    let round = &fanout.rounds[0];
    assert_eq!((round.receivers, round.received, round.lost), (7, 5, 2));
    assert_eq!((round.first_us, round.last_us), (whole.min(), whole.max()));
    assert_eq!(round.p50_us, whole.quantile(0.5));
    assert_eq!(fanout.delays, whole.to_quantiles());
    assert!((fanout.fairness - jain(5, 15_500.0, 95_250_000.0)).abs() < 1e-12);
    assert_eq!(merged.figures, [figure("fanout.last", "ms", &[whole.max() as f64 / 1e3])]);
    assert!(stretches.is_empty());
}

#[test]
fn counts_add_up_and_what_neither_adds_nor_merges_stays_apart() {
    let one = |host: &str, seconds: f64, rate: f64| {
        let mut result = result();
        result.machine.host = host.to_owned();
        result.connections.opened = (rate * seconds) as u64;
        result.connections.open_seconds = seconds;
        result.connections.causes.insert("close 1012".into(), 2);
        result.messages.sent = 10;
        result.figures = vec![
            figure("open.handshakes_per_second", "1/s", &[rate]),
            figure("odd", "bytes", &[rate]),
        ];
        result.loads = vec![point("ping", &[vec![1]])];
        result.loads[0].verdict = Verdict::Invalid("late".into());
        result.notes = vec!["a note".into()];
        result
    };
    let all = vec![share("x:1", one("a", 2.0, 100.0)), share("y:1", one("b", 1.0, 400.0))];
    let (merged, _) = merge(all).unwrap();
    assert_eq!((merged.connections.opened, merged.messages.sent), (600, 20));
    assert_eq!(merged.connections.causes["close 1012"], 4);
    assert_eq!((merged.machine.host.as_str(), merged.machine.cores), ("a + b", 4));
    // 600 handshakes, the last of them after two seconds.
    assert_eq!(merged.figures[0].samples, [300.0]);
    let apart: Vec<&str> = merged.figures[1..].iter().map(|figure| figure.name.as_str()).collect();
    assert_eq!(apart, ["odd@x:1", "odd@y:1"]);
    assert_eq!(merged.loads[0].verdict, Verdict::Invalid("x:1: late".into()));
    assert_eq!(merged.notes, ["x:1: a note", "y:1: a note"]);
    assert!(merge(Vec::new()).is_err());
}

/// `unicast.p99` is of `unicast through HTTP`: its figure is read from both generators' values.
#[test]
fn a_time_without_stretches_is_read_from_its_load_point() {
    let one = |values: &[u64]| {
        let mut result = result();
        result.loads = vec![point("unicast through HTTP", &[values.to_vec()])];
        result.figures = vec![figure("unicast.p99", "ms", &[0.0])];
        share("x:1", result)
    };
    let (merged, _) = merge(vec![one(&[1_000; 9]), one(&[5_000])]).unwrap();
    let whole = of(&[[1_000; 9].as_slice(), &[5_000]].concat());
    assert_eq!(merged.figures, [figure("unicast.p99", "ms", &[whole.quantile(0.99) as f64 / 1e3])]);
}

#[test]
fn the_timeline_says_each_second_what_all_had_said_by_then() {
    let line = |times: &[(f64, u64)]| {
        let kernel = Some(KernelSample { sockets: 100, ..KernelSample::default() });
        let sample = |(at_s, open): &(f64, u64)| Sample {
            at_s: *at_s,
            open: *open,
            kernel,
            ..Sample::default()
        };
        RunResult { timeline: times.iter().map(sample).collect(), ..result() }
    };
    let all = [line(&[(0.0, 1), (1.02, 5), (2.04, 9)]), line(&[(0.9, 10), (3.1, 20)])];
    let shares = all.into_iter().map(|one| share("x:1", one)).collect();
    let (mut merged, _) = merge(shares).unwrap();
    let open: Vec<(f64, u64)> = merged.timeline.iter().map(|at| (at.at_s, at.open)).collect();
    assert_eq!(open, [(0.0, 11), (1.0, 15), (2.0, 19), (3.0, 29)]);
    // Both run on one host: its sockets count once.
    assert!(merged.timeline.iter().all(|at| at.kernel.is_some_and(|kernel| kernel.sockets == 100)));
    let seen = |at_s, cpu_s| (at_s, ServerSample { cpu_s, resident_bytes: 1 });
    add_server(&mut merged.timeline, &[seen(1.3, 5.0), seen(2.2, 6.0)]);
    let cpu = merged.timeline.iter().map(|at| at.server.map(|server| server.cpu_s));
    assert_eq!(cpu.collect::<Vec<_>>(), [None, Some(5.0), Some(6.0), Some(6.0)]);
}

#[test]
fn a_histogram_that_is_none_is_refused() {
    let mut broken = measured("x:1", &[vec![1]]);
    broken.parts[0].histogram = "none".into();
    assert!(merge(vec![broken]).is_err());
}
