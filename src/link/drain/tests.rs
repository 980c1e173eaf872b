//! Who is told when, and told to be back when.

use super::*;
use std::slice;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn plan(rate: u32, timeout: u32) -> Plan {
    Plan { grace: Duration::ZERO, rate, timeout: SECOND * timeout }
}

fn told(drain: &Drain, now: Duration) -> usize {
    let Progress { total, told, .. } = drain.progress(now);
    drain.take(now, usize::MAX, Share { total, told });
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
fn a_drain_that_was_taken_back_leaves_nothing_behind() {
    let drain = Drain::default();
    assert!(drain.cancel());
    assert_eq!(drain.times_taken_back(), 0, "there was none");
    drain.begin_grace(SECOND, plan(5, 10));
    assert!(drain.cancel());
    assert_eq!((drain.times_taken_back(), drain.progress(SECOND)), (1, Progress::default()));
    drain.begin_grace(SECOND, plan(0, 10));
    drain.close(SECOND, 10, plan(0, 10));
    assert!(!drain.cancel());
    assert_eq!(drain.times_taken_back(), 1);
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
    let share = |total, told| Share { total, told };
    assert_eq!(drain.take(SECOND, 512, share(300, 0)).positions, 0..30);
    assert_eq!(drain.take(SECOND, 512, share(300, 30)).positions, 30..30, "however often it asks");
    assert_eq!(drain.take(SECOND, 50, share(700, 0)).positions, 30..80, "no more than wanted");
    assert_eq!(drain.take(SECOND, 512, share(700, 50)).positions, 80..100);
    assert_eq!(drain.take(SECOND * 2, 512, share(0, 0)).positions, 100..100);
}

/// One wakes a hundred times as often as the other.
#[test]
fn reactors_of_any_size_come_to_their_end_together() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 10_000, plan(1_000, 100));
    let [mut calm, mut busy] = [1_000, 9_000].map(|total| Share { total, told: 0 });
    for step in 1..=10_100 {
        let now = SECOND / 1_000 * step;
        busy.told += drain.take(now, 512, busy).positions.len();
        if step % 100 == 0 {
            calm.told += drain.take(now, 512, calm).positions.len();
        }
        if step == 5_000 {
            assert_eq!((calm.told, busy.told), (500, 4_500));
        }
    }
    assert_eq!((calm.told, busy.told), (1_000, 9_000));
}

/// Those who have left by themselves hold nobody up, and hurry nobody.
#[test]
fn who_has_gone_before_its_time_is_not_waited_for() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 10_000, plan(1_000, 100));
    let mut share = Share { total: 2_000, told: 0 };
    for step in 1..=1_010 {
        share.told += drain.take(SECOND / 100 * step, 512, share).positions.len();
    }
    assert_eq!(share.told, 2_000);
}

/// More than were counted when it began: some were about to be let in.
#[test]
fn all_are_told_however_many_there_are() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 10, plan(10, 100));
    let share = Share { total: 15, told: 0 };
    assert_eq!(drain.take(SECOND * 2, 512, share).positions, 0..15);
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
        let share = Share { total: 6_000, told: 100 * (seconds as usize - 1) };
        let slot = drain.take(now, 100, share);
        slot.positions.clone().map(|at| now + slot.back_after(at, false)).collect::<Vec<_>>()
    };
    let first = back(1);
    assert!(first.iter().all(|at| *at >= SECOND * 61), "the last is told after 60 s");
    let second = back(2);
    let (least, most) = (first.iter().min().unwrap(), first.iter().max().unwrap());
    assert!(*most - *least > SECOND * 9 / 10, "they are spread: {least:?} to {most:?}");
    assert!(second.iter().min().unwrap() >= &(*least + SECOND * 9 / 10));
    let elsewhere = drain.take(SECOND * 3, 1, Share { total: 6_000, told: 200 });
    assert!(elsewhere.back_after(7, true) < SECOND);
}

#[test]
fn a_million_does_not_come_back_at_once() {
    let drain = Drain::default();
    drain.close(Duration::ZERO, 1_000_000, plan(0, 10));
    let slot = drain.take(SECOND, 1_000, Share { total: 1_000_000, told: 0 });
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
    assert_eq!(drain.take(SECOND * 2, 5, Share { total: 5, told: 0 }).positions, 0..0);
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
    let slot = drain.take(SECOND, 10, Share { total: 10, told: 0 });
    assert_eq!(slot.positions, 0..10);
    assert!(slot.back_after(3, false) >= SECOND);
    assert!(drain.is_over(SECOND));
}
