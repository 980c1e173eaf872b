//! What the timeline says about both processes.

use crate::example;
use millgate_bench::report::side;

#[test]
fn totals_are_from_the_first_sample_to_the_last() {
    let run = example::held();
    let server = side::server(&run).unwrap();
    let cpu_s = 23.0 * 0.95 + 609.0 * 0.09;
    assert!((server.cpu_s - cpu_s).abs() < 1e-6, "{server:?}");
    assert!((server.cores - cpu_s / 632.0).abs() < 1e-9);
    assert_eq!(server.peak_bytes, (9 << 20) + 176_000_000);
    assert!((server.bytes_each.unwrap() - 176.0).abs() < 1e-6);
    assert!((side::generator(&run).unwrap().bytes_each.unwrap() - 61.0).abs() < 1e-6);
    assert_eq!(side::kernel(&run).unwrap().sockets, 2_000_000);
}

#[test]
fn few_connections_have_no_memory_each() {
    let mut run = example::held();
    run.timeline.truncate(1);
    let server = side::server(&run).unwrap();
    assert_eq!(server.bytes_each, None);
    assert!(server.cores.abs() < f64::EPSILON, "one sample has no duration");
    run.timeline[0].server = None;
    assert_eq!(side::server(&run), None);
    assert_eq!(side::generator(&example::nothing()), None);
}
