//! Admission against a simulated node that writes so many deliveries a second.

use super::window::{Answer, Window};
use super::*;
use crate::limits::FRAMES_PER_WAVE;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};

const RULES: BroadcastRules =
    BroadcastRules { wait: Duration::from_millis(200), messages: 1_024, bytes: 1 << 20 };

const ROOM: AppId = AppId(101);

fn size(deliveries: u64) -> BroadcastSize {
    BroadcastSize { deliveries, bytes: 100 }
}

/// A node that writes waves of up to 64 broadcasts of the same size. `per_second` members can be
/// written to with a single frame; a full wave takes three times as long.
struct Node {
    window: Window,
    now: Duration,
    per_second: u64,
    work: VecDeque<(u64, u64, Duration)>,
    /// How many of the work are in the wave under way.
    wave: usize,
    done_at: Duration,
    delivered: u64,
    waves: u64,
    ages: Vec<Duration>,
    /// Admitted broadcasts by sender.
    served: HashMap<UserId, u64>,
    places: Vec<(u64, AppId, UserId, u64, Duration)>,
}

impl Node {
    fn new(per_second: u64) -> Self {
        Self {
            window: Window::new(RULES),
            now: Duration::ZERO,
            per_second,
            work: VecDeque::new(),
            wave: 0,
            waves: 0,
            done_at: Duration::ZERO,
            delivered: 0,
            ages: Vec::new(),
            served: HashMap::new(),
            places: Vec::new(),
        }
    }

    fn send(&mut self, app: AppId, sender: &str, deliveries: u64) {
        let sender = UserId::from(sender);
        match self.window.ask(self.now, app, &sender, size(deliveries)) {
            Answer::Admitted(number) => self.begin(number, &sender, deliveries),
            Answer::Waits(number) => {
                self.places.push((number, app, sender, deliveries, self.now + RULES.wait));
            }
            Answer::Refused => {}
        }
    }

    fn begin(&mut self, number: u64, sender: &UserId, deliveries: u64) {
        *self.served.entry(sender.clone()).or_default() += 1;
        self.work.push_back((number, deliveries, self.now));
        if self.wave == 0 {
            self.begin_wave(self.now);
        }
    }

    fn begin_wave(&mut self, at: Duration) {
        let Some((_, members, _)) = self.work.front().copied() else { return };
        let alike = self.work.iter().take(FRAMES_PER_WAVE).take_while(|work| work.1 == members);
        self.wave = alike.count();
        self.waves += 1;
        let frames = 1.0 + self.wave as f64 / 32.0;
        let seconds = members as f64 / self.per_second as f64 * frames;
        self.done_at = at + Duration::from_secs_f64(seconds);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        while self.wave > 0 && self.done_at <= self.now {
            let at = self.done_at;
            for (number, deliveries, began) in self.work.drain(..self.wave) {
                self.delivered += deliveries;
                self.ages.push(at.saturating_sub(began));
                self.window.finish(at, number);
            }
            self.wave = 0;
            self.begin_wave(at);
        }
        for (number, app, sender, deliveries, until) in std::mem::take(&mut self.places) {
            if self.window.collect(self.now, number) {
                self.begin(number, &sender, deliveries);
            } else if self.now >= until {
                self.window.withdraw(self.now, app, &sender, number);
            } else {
                self.places.push((number, app, sender, deliveries, until));
            }
        }
    }

    /// Age that so many of a hundred do not exceed, of the later half.
    fn age(&self, percent: usize) -> Duration {
        let mut ages = self.ages[self.ages.len() / 2..].to_vec();
        ages.sort_unstable();
        ages[(ages.len() - 1) * percent / 100]
    }
}

#[test]
fn a_flood_travels_in_full_waves_and_none_gets_old() {
    for (per_second, members) in [(200_000, 2_000), (500_000, 12_000), (2_000_000, 990)] {
        let mut node = Node::new(per_second);
        for _ in 0..4_000 {
            for _ in 0..50 {
                node.send(ROOM, "ann", members);
                node.send(ROOM, "bob", members);
                node.send(ROOM, "cat", members);
            }
            node.pass(Duration::from_millis(2));
        }
        let frames = node.ages.len() as f64 / node.waves as f64;
        assert!(frames > 40.0, "{per_second} a second: {frames} in a wave");
        let busy = node.delivered as f64 / node.now.as_secs_f64();
        assert!(busy > per_second as f64 * 15.0, "{busy} deliveries a second");
        let age = node.age(99);
        assert!(age < RULES.wait * 3 / 2, "{per_second} a second: {age:?}");
    }
}

#[test]
fn what_the_node_carries_is_not_refused() {
    let mut node = Node::new(5_000_000);
    let mut sent = 0;
    for _ in 0..2_000 {
        node.send(ROOM, "ann", 12_000);
        node.pass(Duration::from_millis(3));
        sent += 1;
    }
    assert_eq!(node.served[&UserId::from("ann")], sent);
}

#[test]
fn one_message_of_many_to_a_room_larger_than_the_window_is_always_under_way() {
    let mut node = Node::new(5_000_000);
    for _ in 0..2_000 {
        node.send(ROOM, "ann", 1_000_000);
        node.pass(Duration::from_millis(10));
    }
    assert!(node.delivered >= 300_000_000, "{} in 20 s", node.delivered);
}

#[test]
fn a_flooder_takes_nothing_from_another_sender_of_the_room() {
    let mut node = Node::new(1_000_000);
    for step in 0..4_000 {
        for _ in 0..20 {
            node.send(ROOM, "flooder", 12_000);
        }
        if step % 100 == 0 {
            node.send(ROOM, "ann", 12_000);
        }
        node.pass(Duration::from_millis(5));
    }
    assert_eq!(node.served[&UserId::from("ann")], 40, "all that she has sent");
}

#[test]
fn many_flooders_share_and_a_second_room_has_its_own_share() {
    let mut node = Node::new(1_000_000);
    for step in 0..4_000 {
        for flooder in 0..20 {
            node.send(ROOM, &format!("flooder {flooder}"), 10_000);
        }
        if step % 20 == 0 {
            node.send(AppId(102), "ann", 1_000);
        }
        node.pass(Duration::from_millis(5));
    }
    assert_eq!(node.served.remove(&UserId::from("ann")), Some(200), "all that she has sent");
    let (least, most) = (node.served.values().min(), node.served.values().max());
    assert!(least.unwrap() * 2 > *most.unwrap(), "{least:?} to {most:?}");
}

#[test]
fn messages_and_bytes_are_bounded_and_one_always_fits() {
    let mut window = Window::new(BroadcastRules { messages: 3, ..RULES });
    let ann = UserId::from("ann");
    let large = BroadcastSize { deliveries: 1, bytes: 2 << 20 };
    let Answer::Admitted(first) = window.ask(Duration::ZERO, ROOM, &ann, large) else { panic!() };
    assert!(matches!(window.ask(Duration::ZERO, ROOM, &ann, size(1)), Answer::Waits(_)));
    window.finish(Duration::ZERO, first);
    for number in 0..10 {
        window.ask(Duration::ZERO, AppId(200 + number), &ann, size(1));
    }
    assert_eq!(window.len().0, 3);
}

#[test]
fn tickets_and_places_are_given_back() {
    let broadcasts = Broadcasts::new(BroadcastRules { messages: 1, ..RULES });
    let ann = UserId::from("ann");
    let Asked::Admitted(ticket) = broadcasts.ask(ROOM, &ann, size(5), Duration::ZERO) else {
        panic!()
    };
    let Asked::Waits(mut place) = broadcasts.ask(ROOM, &ann, size(5), Duration::ZERO) else {
        panic!()
    };
    let Asked::Waits(given_up) = broadcasts.ask(ROOM, &ann, size(5), Duration::ZERO) else {
        panic!()
    };
    assert!(place.poll().is_none());
    drop(ticket);
    let second = place.poll().unwrap().unwrap();
    drop((place, given_up, second));
    let state = broadcasts.state();
    assert_eq!((state.under_way, state.waiting), (0, 0));
    assert_eq!((state.admitted, state.refused), (2, 1));
}

#[test]
fn announcements_have_a_bound_of_their_own() {
    let broadcasts = Broadcasts::new(BroadcastRules { messages: 1, ..RULES });
    let Asked::Admitted(_ticket) =
        broadcasts.ask(ROOM, &UserId::default(), size(5), Duration::ZERO)
    else {
        panic!()
    };
    let tickets: Vec<_> = (0..ANNOUNCEMENTS_MAX).map(|_| broadcasts.announce().unwrap()).collect();
    assert!(broadcasts.announce().is_err());
    drop(tickets);
    assert!(broadcasts.announce().is_ok());
}

proptest! {
    /// Whatever is asked, withdrawn and done in whatever order: nothing is left over.
    #[test]
    fn nothing_is_left_over(
        steps in prop::collection::vec((0_u32..4, 0_u32..5, 0_u64..50_000, 0_u32..4), 1..400),
    ) {
        let mut node = Node::new(1_000_000);
        for (app, sender, deliveries, pause) in steps {
            node.send(AppId(app), &sender.to_string(), deliveries);
            prop_assert!(node.window.len().0 <= RULES.messages);
            node.pass(Duration::from_millis(pause.into()));
        }
        node.pass(Duration::from_secs(100));
        node.pass(Duration::from_secs(100));
        prop_assert_eq!(node.window.len(), (0, 0));
        prop_assert_eq!(node.window.oldest(node.now), Duration::ZERO);
    }
}
