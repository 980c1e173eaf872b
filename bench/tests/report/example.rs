//! Invented results: one with everything in it, one with nothing, and some between.

use fastrand::Rng;
use millgate_bench::result::{
    Better, Connections, FORMAT, Figure, KernelSample, Latency, LoadPoint, Machine, Messages,
    Objective, Quantiles, RunResult, Sample, ServerSample, Stall, Target, Verdict,
};
use millgate_bench::stats::histogram::Histogram;
use std::collections::BTreeMap;

/// A run that found out nothing.
pub(crate) fn nothing() -> RunResult {
    RunResult {
        format: FORMAT.to_owned(),
        command: "hold".to_owned(),
        arguments: Vec::new(),
        version: "0.1.0".to_owned(),
        started_unix_s: 1_795_602_000,
        seconds: 0.0,
        seed: 0,
        machine: Machine::default(),
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

/// A million connections, held.
pub(crate) fn held() -> RunResult {
    let count = 1_000_000;
    RunResult {
        arguments: ["hold", "-c", "1m", "--server-pid", "4711"].map(str::to_owned).to_vec(),
        seconds: 632.4,
        seed: 42,
        machine: machine(),
        target: Target {
            url: "ws://127.0.0.1:8089/acc".to_owned(),
            loopback: true,
            server_pid: Some(4711),
            name: "millgate 0.1.0".to_owned(),
        },
        connections: Connections {
            asked: count,
            opened: count + 3,
            peak: count,
            logged_in: count,
            failed: 3,
            causes: BTreeMap::from([("connect: ETIMEDOUT".to_owned(), 3)]),
            open_seconds: 23.1,
            login_seconds: 22.4,
            ..Connections::default()
        },
        messages: Messages {
            sent: 10_000_000,
            received: 10_000_000,
            unnumbered: 4_812,
            bytes_out: 640_000_000,
            bytes_in: 512_000_000,
            ..Messages::default()
        },
        figures: vec![
            figure("hold.user_bytes_per_connection", "bytes", Better::Lower, &[61.9, 62.0, 62.1]),
            figure("hold.connects_per_s", "1/s", Better::Higher, &[43_100.0, 43_300.0, 43_900.0]),
        ],
        timeline: timeline(count, 632),
        ..nothing()
    }
}

/// Echoes at rising loads, the last two beyond what the generator could offer.
pub(crate) fn echoed() -> RunResult {
    let offered = [10e3, 20e3, 40e3, 80e3, 120e3, 160e3, 200e3, 240e3];
    let loads: Vec<LoadPoint> =
        offered.iter().enumerate().map(|(rung, load)| load_point("echo", *load, rung)).collect();
    RunResult {
        command: "echo".to_owned(),
        loads,
        objectives: vec![
            objective("p99<200ms", Some(31.2), true),
            objective("p99.9<20ms", Some(48.7), false),
            objective("rate>10k", None, false),
        ],
        figures: vec![figure(
            "echo.messages_per_server_cpu_second",
            "1/s",
            Better::Higher,
            &[181e3, 183e3, 184e3, 182e3, 185e3],
        )],
        ..held()
    }
}

/// A result in which every part is there, with names that are not friendly.
pub(crate) fn everything() -> RunResult {
    let mut run = echoed();
    run.command = "plan".to_owned();
    run.target.name = "<script>alert(\"it's & me\")</script>\u{1b}[31m".to_owned();
    run.connections.lost = 2;
    run.connections.causes.insert("close 1012 <b>".to_owned(), 2);
    run.messages.lost = 1;
    run.fanout = Some(crate::scenes::fanout());
    run.storm = Some(crate::scenes::storm());
    run.come_back = Some(crate::scenes::come_back());
    run.hostile = Some(crate::scenes::hostile());
    run.plan = Some(crate::scenes::plan());
    run.stall = Some(Stall {
        connections: 28_232,
        limit: "net.ipv4.ip_local_port_range".to_owned(),
        evidence: "28,232 ports from 32768 to 60999, EADDRNOTAVAIL from there on".to_owned(),
        remedy: "sysctl -w net.ipv4.ip_local_port_range='1024 65535'\nor --source-ip 127.0.0.0/24"
            .to_owned(),
    });
    run.notes = vec!["Both ends share two cores: the figures are of both together.".to_owned()];
    run
}

pub(crate) fn figure(name: &str, unit: &str, better: Better, samples: &[f64]) -> Figure {
    Figure {
        name: name.to_owned(),
        unit: unit.to_owned(),
        better,
        samples: samples.to_vec(),
        valid: true,
    }
}

/// Latencies that spread around a median with a long tail.
pub(crate) fn spread(median_us: f64, tail: f64, count: u64, seed: u64) -> Quantiles {
    let mut random = Rng::with_seed(seed);
    let mut histogram = Histogram::new();
    for _ in 0..count {
        // Twelve uniform numbers less six are close to a normal one.
        let normal: f64 = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        histogram.record((median_us * (normal * tail).exp()) as u64);
    }
    histogram.to_quantiles()
}

fn machine() -> Machine {
    Machine {
        host: "workshop".to_owned(),
        kernel: "Linux 6.18.3".to_owned(),
        cpu: "AMD EPYC 9R14".to_owned(),
        cores: 2,
        memory_bytes: 24 << 30,
        sysctl: BTreeMap::from([
            ("net.ipv4.ip_local_port_range".to_owned(), "1024 65535".to_owned()),
            ("net.core.somaxconn".to_owned(), "65535".to_owned()),
        ]),
        open_files_max: 20_000,
    }
}

fn objective(text: &str, measured: Option<f64>, met: bool) -> Objective {
    Objective { text: text.to_owned(), measured, met }
}

fn load_point(name: &str, offered: f64, rung: usize) -> LoadPoint {
    let beyond = offered > 190e3;
    let slower = 1.0 / (1.0 - (offered / 215e3).min(0.97));
    let seed = rung as u64;
    LoadPoint {
        name: name.to_owned(),
        connections: 10_000,
        active: 10_000,
        offered_per_s: Some(offered),
        achieved_per_s: if beyond { 183_500.0 } else { offered * 0.9996 },
        seconds: 30.0,
        generator_cpu: if beyond { 0.93 } else { offered / 240e3 },
        server_cpu_s: Some(offered.min(183.5e3) * 30.0 / 183e3),
        verdict: match beyond {
            true => Verdict::Invalid("the generator's CPU stood at 93 %".to_owned()),
            false => Verdict::Valid,
        },
        latency: Latency {
            corrected: spread(420.0 * slower, 0.55, 20_000, seed),
            uncorrected: spread(380.0 * slower.sqrt(), 0.45, 20_000, seed + 100),
            lag: spread(40.0 * slower, 0.6, 20_000, seed + 200),
        },
    }
}

fn timeline(count: u64, seconds: u32) -> Vec<Sample> {
    let sample = |second: u32| {
        let at_s = f64::from(second);
        let open = ((at_s / 23.0).min(1.0) * count as f64) as u64;
        let beats = (at_s - 23.0).max(0.0) * count as f64 / 60.0;
        Sample {
            at_s,
            open,
            logged_in: (((at_s - 2.0) / 23.0).clamp(0.0, 1.0) * count as f64) as u64,
            lost: 0,
            told: ((at_s - 100.0).clamp(0.0, 20.0) / 20.0 * 50_000.0) as u64,
            returned: ((at_s - 121.0).clamp(0.0, 20.0) / 20.0 * 50_000.0) as u64,
            sent: beats as u64,
            received: beats as u64,
            generator_cpu_s: at_s.min(23.0) * 0.9 + (at_s - 23.0).max(0.0) * 0.12,
            generator_bytes: (14 << 20) + open * 61,
            server: Some(ServerSample {
                resident_bytes: (9 << 20) + open * 176,
                cpu_s: at_s.min(23.0) * 0.95 + (at_s - 23.0).max(0.0) * 0.09,
            }),
            kernel: Some(KernelSample {
                sockets: 2 * open,
                time_wait: 0,
                orphans: 0,
                socket_bytes: 4096 * (second as u64 % 7),
                slab_bytes: (300 << 20) + open * 8_170,
                available_bytes: (22 << 30) - open * 8_500,
            }),
        }
    };
    (0..=seconds).map(sample).collect()
}
