//! Comparisons: what is worse is found, what is chance is not.

use crate::example::{self, figure};
use millgate_bench::diff::{Change, Comparison, THRESHOLD, compare};
use millgate_bench::exit::Exit;
use millgate_bench::result::{Better, Figure, RunResult};
use serde_json::Value;

fn with(figures: Vec<Figure>) -> RunResult {
    RunResult { figures, ..example::nothing() }
}

fn compared(better: Better, before: &[f64], after: &[f64]) -> Comparison {
    let before = with(vec![figure("a", "1/s", better, before)]);
    let after = with(vec![figure("a", "1/s", better, after)]);
    compare(&before, &after, THRESHOLD).unwrap()
}

fn change(better: Better, before: &[f64], after: &[f64]) -> Change {
    compared(better, before, after).rows[0].change
}

const STEADY: [f64; 5] = [99.0, 100.0, 100.5, 101.0, 100.2];

#[test]
fn changes_have_a_direction() {
    let more = STEADY.map(|x| x * 1.2);
    let less = STEADY.map(|x| x * 0.8);
    assert_eq!(change(Better::Higher, &STEADY, &more), Change::Better);
    assert_eq!(change(Better::Higher, &STEADY, &less), Change::Worse);
    assert_eq!(change(Better::Lower, &STEADY, &more), Change::Worse);
    assert_eq!(change(Better::Lower, &STEADY, &less), Change::Better);
    assert_eq!(change(Better::Lower, &STEADY, &STEADY.map(|x| x * 1.01)), Change::Same);
}

#[test]
fn chance_is_unclear() {
    let wild = [60.0, 140.0, 95.0, 180.0, 70.0];
    assert_eq!(change(Better::Higher, &STEADY, &wild), Change::Unclear);
    assert_eq!(change(Better::Higher, &[100.0], &[10.0]), Change::Unclear, "one repetition");
}

#[test]
fn from_nothing_there_is_no_ratio() {
    assert_eq!(change(Better::Lower, &[0.0; 3], &[0.0; 3]), Change::Same);
    assert_eq!(change(Better::Lower, &[0.0; 3], &[4.0, 5.0, 6.0]), Change::Worse);
    assert_eq!(change(Better::Lower, &[0.0, 3.0], &[1.0, 2.0]), Change::Unclear);
    assert_eq!(compared(Better::Lower, &[0.0; 3], &[4.0; 3]).rows[0].ratio, None);
}

#[test]
fn only_a_regression_ends_badly() {
    assert_eq!(compared(Better::Lower, &STEADY, &STEADY.map(|x| x * 2.0)).exit(), Exit::Regressed);
    assert_eq!(compared(Better::Lower, &STEADY, &STEADY.map(|x| x / 2.0)).exit(), Exit::Ok);
    assert_eq!(compared(Better::Lower, &[1.0], &[2.0]).exit(), Exit::Ok);
}

#[test]
fn what_cannot_be_compared_is_refused_or_left_out() {
    let run = with(vec![figure("a", "1/s", Better::Higher, &STEADY)]);
    let mut other = run.clone();
    other.command = "echo".to_owned();
    assert!(compare(&run, &other, THRESHOLD).unwrap_err().contains("\"hold\""));
    let mut other = run.clone();
    other.target.loopback = true;
    assert!(compare(&run, &other, THRESHOLD).unwrap_err().contains("another host"));
    let mut other = run.clone();
    other.figures[0].valid = false;
    assert!(compare(&run, &other, THRESHOLD).unwrap_err().contains("no valid figure"));
    assert!(compare(&run, &run, f64::NAN).is_err());

    let mut before = run.clone();
    before.figures.push(figure("gone", "1/s", Better::Higher, &STEADY));
    let mut after = run;
    after.figures.push(figure("new", "1/s", Better::Higher, &STEADY));
    let found = compare(&before, &after, THRESHOLD).unwrap();
    assert_eq!(found.rows.len(), 1);
    assert_eq!(found.left_out.len(), 2, "{:?}", found.left_out);
}

#[test]
fn another_machine_is_a_warning() {
    let mut other = example::held();
    other.machine.kernel = "Linux 6.1.0".to_owned();
    other.machine.sysctl.insert("net.core.somaxconn".to_owned(), "4096".to_owned());
    let found = compare(&example::held(), &other, THRESHOLD).unwrap();
    assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
    assert!(found.text().contains("warning: the kernel differs"));
}

#[test]
fn a_comparison_is_told_to_people_and_programs() {
    let found = compared(Better::Higher, &STEADY, &STEADY.map(|x| x * 0.8));
    let text = found.text();
    assert!(text.contains("100 → 80.2 1/s") && text.contains("WORSE"), "{text}");
    assert!(text.contains("1 worse, 0 better"), "{text}");
    let value: Value = serde_json::from_str(&found.json().unwrap()).unwrap();
    assert_eq!(value["rows"][0]["change"], "worse");
    assert_eq!(
        compared(Better::Higher, &STEADY, &STEADY),
        compared(Better::Higher, &STEADY, &STEADY)
    );
}
