//! The summary in the terminal.

use crate::example;
use millgate_bench::report::text;

#[test]
fn a_run_is_told_in_full() {
    let summary = text::summary(&example::everything(), false);
    println!("{summary}");
    for expected in [
        "1,000,000",
        "connect: ETIMEDOUT",
        "in 22.4 s",
        "INVALID: the generator's CPU stood at 93 %",
        "corrected",
        "uncorrected",
        "generator lag",
        "round 5",
        "fairness 0.9912",
        "200,000 of 400,000 dropped at once, back exponential 1s..30s",
        "slow-loris",
        "server's own",
        "a handshake with login",
        "171,000/s",
        "descriptors",
        "past twice what was measured",
        "to lift it: a private table for each reactor",
        "at 28,232 connections",
        "or --source-ip 127.0.0.0/24",
        "p99.9<20ms",
        "MISSED",
        "not measured",
        "Both ends share two cores",
    ] {
        assert!(summary.contains(expected), "{expected:?} is missing");
    }
}

#[test]
fn invalid_points_show_no_times() {
    let mut run = example::echoed();
    run.loads.retain(|load| !load.verdict.is_valid());
    let summary = text::summary(&run, false);
    assert_eq!(summary.matches("INVALID").count(), run.loads.len());
    assert!(!summary.contains("corrected  "), "{summary}");
}

#[test]
fn a_run_without_findings_is_told_too() {
    let summary = text::summary(&example::nothing(), false);
    assert!(summary.contains("Connections") && !summary.contains("Latency"), "{summary}");
}

#[test]
fn only_colour_brings_escape_sequences() {
    let run = example::everything();
    assert!(!text::summary(&run, false).contains('\u{1b}'));
    let coloured = text::summary(&run, true);
    assert!(coloured.contains("\u{1b}[31;1m"));
    assert!(!coloured.contains("\u{1b}[31m"), "a server's name gives orders to the terminal");
}

#[test]
fn lines_fit_a_terminal() {
    let summary = text::summary(&example::everything(), false);
    let longest = summary.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(longest.chars().count() <= 120, "{longest}");
}

#[test]
fn columns_line_up() {
    let summary = text::summary(&example::everything(), false);
    let ends = |name: &str| {
        let line = summary.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.chars().count()
    };
    assert_eq!(ends("corrected"), ends("generator lag"));
    assert_eq!(ends("50 % back after"), ends("survivors lost"));
}
