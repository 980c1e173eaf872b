//! Who is told when, and told to be back when.

use super::*;
use std::slice;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn plan(rate: u32, timeout: u32) -> Plan {
    Plan { grace: Duration::ZERO, rate, timeout: SECOND * timeout }
}

fn told(drain: &Drain, now: Duration) -> usize {
    drain.take(now, usize::MAX, drain.progress(now).total);
    drain.progress(now).told
}

#[test]
fn without_a_rate_all_are_told_after_six_tenths_of_the_time() {
    let drain = Drain::default();
    drain.close(SECOND, 10_256, plan(0, 10));
    assert_eq!(told(&drain, SECOND), 256, "a small node needs no pacing");
    assert_eq!(told(&drain, SECOND * 4), 256 + 5_128);
    assert!(told(&drain, SECOND * 7) >= 10_256);
    assert!(!drain.is_over(SECOND * 10) && drain.is_over(SECOND * 11));
}

#[test]
fn a_rate_is_kept_and_changes_on_the_way() {
    let drain = Drain::default();
    drain.close(SECOND, 10_000, plan(100, 1_000));
    assert_eq!(told(&drain, SECOND), 0);
    assert_eq!(told(&drain, SECOND * 11), 1_000);
    assert_eq!(drain.all_told_in(SECOND * 11), SECOND * 90);
    drain.close(SECOND * 11, 0, plan(4_500, 100));
    assert_eq!(told(&drain, SECOND * 12), 5_500);
    assert_eq!(told(&drain, SECOND * 13), 10_000);
    assert_eq!(drain.progress(SECOND * 13).left, SECOND * 98);
    assert!(drain.is_over(SECOND * 111));
}

#[test]
fn the_deadline_wins_over_the_rate() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 9_000, plan(1, 10));
    assert_eq!(told(&drain, SECOND * 9), 9_000);
}

#[test]
fn each_reactor_gets_the_part_that_is_its_own() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 1_000, plan(100, 100));
    assert_eq!(drain.take(SECOND, 512, 300).positions, 0..30);
    assert_eq!(drain.take(SECOND, 512, 700).positions, 30..81, "of the 70 that are left");
    assert_eq!(drain.take(SECOND, 512, 0).positions, 81..81);
    assert_eq!(drain.take(SECOND, 10, 919).positions, 81..91, "no more than wanted");
    assert_eq!(drain.take(SECOND, 512, 909).positions, 91..100);
    assert_eq!(drain.take(SECOND, 512, 900).positions, 100..100, "it is not time yet");
}

#[test]
fn reactors_of_any_size_come_to_their_end_together() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 10_000, plan(1_000, 100));
    let mut untold = [1_000_usize, 9_000];
    for step in 1..=500 {
        for left in &mut untold {
            *left -= drain.take(SECOND / 100 * step, 512, *left).positions.len();
        }
    }
    // After half of the time; each step may have given either of them one too many.
    let [small, large] = untold;
    assert!(small.abs_diff(500) <= 60 && large.abs_diff(4_500) <= 60, "{small} and {large}");
    for step in 501..=1_010 {
        for left in &mut untold {
            *left -= drain.take(SECOND / 100 * step, 512, *left).positions.len();
        }
    }
    assert_eq!(untold, [0, 0]);
}

/// Those who have left by themselves hold nobody up.
#[test]
fn who_has_gone_before_its_time_is_not_waited_for() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 10_000, plan(1_000, 100));
    let mut untold = 2_000_usize;
    for step in 1..=1_010 {
        untold -= drain.take(SECOND / 100 * step, 512, untold).positions.len();
    }
    assert_eq!(untold, 0);
}

#[test]
fn configured_refuges_come_before_offered_ones() {
    let drain = Drain::default();
    assert!(drain.refuges().is_empty());
    let [offered, configured] = ["ws://b/acc", "ws://c/acc"].map(str::to_owned);
    drain.offer_refuges(vec![offered.clone()]);
    assert_eq!(*drain.refuges(), *slice::from_ref(&offered));
    drain.configure_refuges(slice::from_ref(&configured));
    drain.offer_refuges(vec![offered.clone()]);
    assert_eq!(*drain.refuges(), [configured]);
    drain.configure_refuges(&[]);
    assert_eq!(*drain.refuges(), [offered]);
}

#[test]
fn clients_come_back_in_their_order_when_the_last_has_gone() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 6_000, plan(100, 100));
    let back = |seconds: u32| {
        let now = SECOND * seconds;
        let slot = drain.take(now, 100, 6_000);
        slot.positions.clone().map(|at| now + slot.back_after(at, false)).collect::<Vec<_>>()
    };
    let first = back(1);
    assert!(first.iter().all(|at| *at >= SECOND * 61), "the last is told after 60 s");
    let second = back(2);
    let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
    assert!(*most - *least > SECOND * 9 / 10, "they are spread: {least:?} to {most:?}");
    assert!(second.iter().min().unwrap() >= &(*least + SECOND * 9 / 10));
    let elsewhere = drain.take(SECOND * 3, 1, 6_000);
    assert!(elsewhere.back_after(7, true) < SECOND);
}

#[test]
fn a_million_does_not_come_back_at_once() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 1_000_000, plan(0, 10));
    let slot = drain.take(SECOND, 1_000, 1_000_000);
    let back: Vec<_> = slot.positions.clone().map(|at| slot.back_after(at, false)).collect();
    assert!(*back.iter().max().unwrap() > SECOND * 45, "{:?}", back.iter().max());
}

#[test]
fn a_grace_can_be_taken_back_and_a_closing_cannot() {
    let drain = Drain::default();
    let wanted = Plan { grace: SECOND * 5, ..plan(7, 10) };
    drain.begin_grace(SECOND, wanted);
    let progress = drain.progress(SECOND * 2);
    assert_eq!((progress.stage, progress.left), (Stage::Grace, SECOND * 4));
    assert_eq!(drain.take(SECOND * 2, 5, 5).positions, 0..0);
    assert!(drain.cancel());
    assert_eq!(drain.stage(), Stage::Serving);
    drain.close(SECOND, 3, wanted);
    assert!(!drain.cancel());
    assert_eq!(drain.stage(), Stage::Closing);
}

#[test]
fn no_time_at_all_is_no_trouble() {
    let drain = Drain::default();
    drain.close(SECOND, 0, plan(0, 0));
    let slot = drain.take(SECOND, 10, 10);
    assert_eq!(slot.positions, 0..10);
    assert!(slot.back_after(3, false) >= SECOND);
    assert!(drain.is_over(SECOND));
}
