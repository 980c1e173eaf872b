//! Worked examples, each computed by hand.

use super::*;
use crate::result::Slope;

fn exact(per_connection: f64, intercept: f64) -> Slope {
    Slope { per_connection, low: per_connection, high: per_connection, intercept, r_squared: 1.0 }
}

/// A million pairs on one host of two cores.
fn measured() -> Measured {
    Measured {
        memory: Some(MemorySlopes {
            user: exact(80.0, 10_000_000.0),
            slab: exact(8_170.0, 0.0),
            socket: exact(0.0, 0.0),
        }),
        loopback: true,
        connections: 1_000_000,
        cpu: Some(CpuCosts {
            idle_second_us: 0.0,
            heartbeat_us: 6.0,
            unicast_us: 10.0,
            fanout_receipt_us: 5.0,
            connect_us: 25.0,
            r_squared: 1.0,
        }),
        knee: Some(Knee { sustained_per_s: 150_000.0, broken_per_s: None, p99_bound_ms: 50.0 }),
        cores: 2,
        receipts_per_s: None,
        connects_per_s: None,
    }
}

fn question() -> Question {
    Question { memory_bytes: 8_210_000_000, cores: 4, heartbeat_s: 60.0, ..Question::default() }
}

fn found(measured: &Measured, question: &Question, limit: &str) -> Ceiling {
    let answer = answer(measured, question);
    answer.ceilings.into_iter().find(|ceiling| ceiling.limit == limit).unwrap()
}

#[test]
fn memory_by_hand() {
    // A server's side of 8,170 B is 4,020 B. (8.21 GB × 0.9 − 10 MB) / (80 + 4,020) = 1,799,756.
    let ram = found(&measured(), &question(), "RAM");
    assert_eq!(ram.connections, 1_799_756);
    assert!(!ram.extrapolated);
    assert!(ram.because.contains("both ends"), "{}", ram.because);
    // Twice the RAM is past twice the million that was measured.
    let more = Question { memory_bytes: 16_420_000_000, ..question() };
    assert!(found(&measured(), &more, "RAM").extrapolated);
    // Where the server is elsewhere, the kernel's memory there is not seen: 4,020 B by KERNEL's sum.
    let apart = Measured { loopback: false, ..measured() };
    assert_eq!(found(&apart, &question(), "RAM").connections, 1_799_756);
}

#[test]
fn cpu_by_hand() {
    // 70 % of 4 cores are 2,800,000 µs; 20,000 messages of 10 µs leave 2,600,000;
    // a heartbeat of 6 µs a minute is 0.1 µs a second: 26,000,000.
    let busy = Question { messages_per_s: 20_000.0, ..question() };
    let cpu = found(&measured(), &busy, "CPU at 70 % of the cores");
    assert_eq!(cpu.connections, 26_000_000);
    assert!(cpu.extrapolated);
    // A message a second to all costs 5 µs more for each: 2,600,000 / 5.1.
    let chatty = Question { fanouts_per_s: 1.0, ..busy };
    assert_eq!(found(&measured(), &chatty, "CPU at 70 % of the cores").connections, 509_803);
    // Ten a second to 1,000 cost 50,000 µs whatever the count: 2,550,000 / 0.1.
    let rooms = Question { fanouts_per_s: 10.0, fanout_receivers: Some(1_000), ..chatty };
    assert_eq!(found(&measured(), &rooms, "CPU at 70 % of the cores").connections, 25_500_000);
    let drowned = Question { messages_per_s: 1e6, ..rooms };
    assert_eq!(answer(&measured(), &drowned).connections, 0);
}

#[test]
fn the_knee_by_hand() {
    // 150,000/s on 2 cores are 300,000/s on 4; 70 % are 210,000; less 10,000 messages; 60 connections for each.
    let busy = Question { messages_per_s: 10_000.0, ..question() };
    assert_eq!(found(&measured(), &busy, "70 % of the knee").connections, 12_000_000);
    // Without anything to do for a connection, the knee is no limit.
    let silent = Question { heartbeat_s: 0.0, ..question() };
    assert!(
        answer(&measured(), &silent).ceilings.iter().all(|found| found.limit != "70 % of the knee")
    );
}

#[test]
fn deadlines_by_hand() {
    let hurried = Question { fanout_within_s: Some(2.0), storm_within_s: Some(10.0), ..question() };
    // 2,800,000 µs / 5 µs = 560,000 receipts a second, for 2 s.
    assert_eq!(found(&measured(), &hurried, "fan-out within its time").connections, 1_120_000);
    // 4,000,000 µs / 25 µs = 160,000 handshakes; 70 % of them for 10 s.
    assert_eq!(found(&measured(), &hurried, "storm within its time").connections, 1_120_000);
    // What was measured goes before what was computed: 100,000/s and 40,000/s on 2 cores.
    let seen =
        Measured { receipts_per_s: Some(100_000.0), connects_per_s: Some(40_000.0), ..measured() };
    assert_eq!(found(&seen, &hurried, "fan-out within its time").connections, 400_000);
    assert_eq!(found(&seen, &hurried, "storm within its time").connections, 560_000);
}

#[test]
fn tables_of_the_kernel_by_hand() {
    let host = Host {
        open_files_max: Some(20_128),
        descriptor_tables: 50,
        files_max: Some(2_400_000),
        epoll_watches_max: Some(5_000_000),
        tcp_mem_pages_max: Some(500_000),
        conntrack_max: Some(262_144),
        packets_per_s: Some(1_000_000.0),
    };
    let asked = Question { host, proxy_tuples: Some(3), messages_per_s: 250_000.0, ..question() };
    let of = |limit: &str| found(&measured(), &asked, limit).connections;
    assert_eq!(of("descriptors"), 1_000_000);
    assert_eq!(of("fs.file-max"), 2_400_000);
    assert_eq!(of("fs.epoll.max_user_watches"), 5_000_000);
    assert_eq!(of("tcp_mem"), 500_000);
    assert_eq!(of("nf_conntrack_max"), 262_144);
    assert_eq!(of("ports behind the proxy"), 193_536);
    let lifts = |asked: &Question| found(&measured(), asked, "nf_conntrack_max").remedy;
    assert!(lifts(&asked).ends_with("nf_conntrack_max=524288"), "{}", lifts(&asked));
    let wanted = Question { wanted: Some(1_000_000), ..asked.clone() };
    assert!(lifts(&wanted).ends_with("nf_conntrack_max=1250000"), "{}", lifts(&wanted));
    // (1,000,000 − 2 × 250,000) packets, 3 for each heartbeat a minute.
    assert_eq!(of("network card"), 10_000_000);
    // 40 % of 8.21 GB are 801,757 pages: less than a tcp_mem that is too large.
    let loose = Host { tcp_mem_pages_max: Some(2_097_152), ..host };
    let asked = Question { host: loose, ..question() };
    assert_eq!(found(&measured(), &asked, "tcp_mem").connections, 801_757);
}

#[test]
fn the_tightest_comes_first_and_answers() {
    let host = Host { open_files_max: Some(1_128), descriptor_tables: 1, ..Host::default() };
    let asked = Question { host, wanted: Some(1_000_000), proxy_tuples: Some(1), ..question() };
    let answer = answer(&measured(), &asked);
    assert_eq!((answer.connections, answer.wanted), (1_000, Some(1_000_000)));
    assert_eq!(answer.ceilings[0].limit, "descriptors");
    assert_eq!(answer.ceilings[1].limit, "ports behind the proxy");
    assert!(answer.ceilings.is_sorted_by_key(|ceiling| ceiling.connections));
    let complete = |ceiling: &Ceiling| !ceiling.because.is_empty() && !ceiling.remedy.is_empty();
    assert!(answer.ceilings.iter().all(complete));
    assert!(
        answer.question.contains("1,000,000 connections, a heartbeat every 60 s, behind a proxy")
    );
}

#[test]
fn many_more_cores_are_foretold() {
    let large = Question { cores: 5, memory_bytes: 1 << 30, ..question() };
    assert!(found(&measured(), &large, "70 % of the knee").extrapolated);
    let hurried = Question { storm_within_s: Some(0.1), ..question() };
    assert!(!found(&measured(), &hurried, "storm within its time").extrapolated);
}

#[test]
fn what_is_not_known_is_said_or_left_out() {
    assert_eq!(answer(&Measured::default(), &question()).ceilings, []);
    let mut partly = measured();
    partly.cpu = Some(CpuCosts { idle_second_us: 0.01, ..CpuCosts::default() });
    let cpu = found(&partly, &question(), "CPU at 70 % of the cores");
    assert!(cpu.because.contains("no cost of heartbeats was measured"), "{}", cpu.because);
}
