//! Invented parts of results: fan-out, storm, hostile clients, a plan.

use crate::example::spread;
use millgate_bench::capacity::{self, Host, Measured, Question};
use millgate_bench::result::{
    BadClients, ComeBack, CpuCosts, Fanout, FanoutRound, Hostile, Knee, Latency, MemoryPlateau,
    Plan, Recovery, Scalability, Storm, Throughput,
};
use millgate_bench::stats::regression;

pub(crate) fn fanout() -> Fanout {
    let round = |seed: u64| {
        let delays = spread(2_100_000.0, 0.35, 4_000, seed);
        FanoutRound {
            receivers: 1_000_000,
            received: 1_000_000,
            lost: 0,
            duplicates: 0,
            first_us: 840,
            first_by_url_us: vec![840, 1_630, 1_910],
            p50_us: delays.p50_us,
            p99_us: delays.p99_us,
            last_us: delays.max_us,
            rate_per_s: 1e12 / delays.max_us as f64,
            server_cpu_s: Some(4.2),
        }
    };
    Fanout {
        rounds: (1..=5).map(round).collect(),
        delays: spread(2_100_000.0, 0.35, 20_000, 9),
        fairness: 0.9912,
    }
}

pub(crate) fn storm() -> Storm {
    let back = |at: f64| (200_000.0 * (1.0 - (-at / 1.7).exp())).min(200_000.0) as u64;
    let mut curve: Vec<Recovery> = (0..60)
        .map(|step| f64::from(step) * 0.25)
        .map(|at_s| Recovery { at_s, returned: back(at_s) })
        .collect();
    curve.push(Recovery { at_s: 15.0, returned: 200_000 });
    Storm {
        before: 400_000,
        dropped: 200_000,
        policy: "exponential 1s..30s".to_owned(),
        returned: 200_000,
        survivors_lost: 0,
        half_s: Some(1.18),
        p99_s: Some(7.8),
        all_s: Some(15.0),
        listen_overflows: 12,
        syn_retransmits: 340,
        curve,
    }
}

pub(crate) fn come_back() -> ComeBack {
    let late = |median: f64, seed: u64| spread(median, 0.6, 20_000, seed);
    ComeBack {
        told: 50_000,
        returned: 50_000,
        retried: 12,
        moved: 0,
        late: Latency {
            corrected: late(9_000.0, 11),
            uncorrected: late(8_000.0, 12),
            lag: late(700.0, 13),
        },
    }
}

pub(crate) fn hostile() -> Hostile {
    let kind = |kind: &str, closed_by_server: u64, server: f64, socket: Option<f64>| BadClients {
        kind: kind.to_owned(),
        clients: 500,
        closed_by_server,
        server_bytes_each: Some(server),
        socket_bytes_each: socket,
    };
    Hostile {
        kinds: vec![
            kind("slow-reader", 0, 16_820.0, Some(212_000.0)),
            kind("stuck-reader", 500, 262_144.0, Some(412_000.0)),
            kind("half-open", 500, 0.4, None),
            kind("mid-frame", 500, 96.0, None),
            kind("slow-loris", 500, 128.5, None),
        ],
        good_lost: 0,
    }
}

pub(crate) fn plan() -> Plan {
    let plateaus: Vec<MemoryPlateau> = (0..=8_u64)
        .map(|step| {
            let connections = step * 125_000;
            let wobble = step * step % 5 * 90_000;
            MemoryPlateau {
                connections,
                user_bytes: (9 << 20) + connections * 62 + wobble,
                slab_bytes: (300 << 20) + connections * 8_170 + wobble * 7,
                socket_bytes: 65_536 + wobble / 9,
            }
        })
        .collect();
    let mut plan = Plan {
        memory: Some(regression::memory(&plateaus).unwrap()),
        plateaus,
        cpu: Some(CpuCosts {
            idle_second_us: 0.0041,
            heartbeat_us: 4.1,
            unicast_us: 6.2,
            fanout_receipt_us: 4.6,
            connect_us: 23.0,
            r_squared: 0.9987,
        }),
        knee: Some(Knee {
            sustained_per_s: 171_000.0,
            broken_per_s: Some(178_000.0),
            p99_bound_ms: 50.0,
        }),
        throughputs: [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]
            .map(|in_flight| Throughput { in_flight, per_s: LAW.at(in_flight) * 0.98 })
            .to_vec(),
        scalability: Some(LAW),
        answers: Vec::new(),
    };
    plan.answers.push(capacity::answer(&measured(&plan), &question()));
    plan
}

const LAW: Scalability = Scalability {
    lambda: 21_400.0,
    sigma: 0.081,
    kappa: 0.000_21,
    peak_in_flight: Some(66.2),
    peak_per_s: Some(178_300.0),
    measured_to: 256.0,
    r_squared: 0.9921,
};

fn measured(plan: &Plan) -> Measured {
    Measured {
        memory: plan.memory,
        loopback: true,
        connections: 1_000_000,
        cpu: plan.cpu,
        knee: plan.knee,
        cores: 2,
        receipts_per_s: Some(155_000.0),
        connects_per_s: Some(43_200.0),
    }
}

fn question() -> Question {
    Question {
        memory_bytes: 32 << 30,
        cores: 8,
        heartbeat_s: 60.0,
        messages_per_s: 20_000.0,
        fanout_within_s: Some(2.0),
        storm_within_s: Some(60.0),
        wanted: Some(2_000_000),
        host: Host {
            open_files_max: Some(1_048_576),
            descriptor_tables: 1,
            files_max: Some(3_200_000),
            tcp_mem_pages_max: Some(2_097_152),
            ..Host::default()
        },
        ..Question::default()
    }
}
