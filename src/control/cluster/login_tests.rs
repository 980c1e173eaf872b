//! A model of nodes, of delayed notices and of a Redis that comes and goes, run by seeds.

use super::*;
use std::collections::{BTreeMap, VecDeque};

const NODES: usize = 3;
const SEEDS: u64 = 3_000;

/// What nodes know the time of a login to; as in the script and in [`crate::session::User`].
const UNIT: u64 = 10;
const CLOSE: u64 = 30;
const PROMPT: u64 = 50;
const AHEAD: u64 = 70;

/// Logins further apart have an order whenever they are written.
const APART: u64 = CLOSE + 2 * UNIT + 1;

/// One node as far as one user is concerned.
#[derive(Debug, Default)]
struct Node {
    /// When the login that holds the registration took place, as the node knows it.
    held: Option<u64>,
    /// A login or a logout waits to be written.
    is_dirty: bool,
}

/// What travels, or is being done, and may be late.
#[derive(Clone, Debug)]
enum Step {
    /// A node writes what it knows of the user, as the script in Redis decides.
    Write(usize),
    /// A notice of `from`'s login arrives at `to`.
    Notice { to: usize, from: usize, since: u64 },
    /// `at` has found `holder` in the record at a renewal, and asks it.
    Ask { at: usize, holder: usize },
}

struct Model {
    now: u64,
    nodes: Vec<Node>,
    /// The record: who holds the user, and since when.
    record: Option<(usize, u64)>,
    is_redis_up: bool,
    under_way: VecDeque<Step>,
    random: fastrand::Rng,
    /// How far ahead the time is that each node takes for that of Redis.
    skews: [u64; NODES],
    /// Where the newest login is; `None` after its logout.
    newest: Option<usize>,
}

fn login(node: usize, since_ms: u64) -> Login {
    Login { since_ms, node: NodeAddr::parse(&format!("10.0.0.{node}:9001")).unwrap() }
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let skews = [(); NODES].map(|()| random.u64(0..UNIT));
        Self {
            now: 1_000,
            nodes: (0..NODES).map(|_| Node::default()).collect(),
            record: None,
            is_redis_up: true,
            under_way: VecDeque::new(),
            random,
            skews,
            newest: None,
        }
    }

    fn log_in(&mut self, node: usize) {
        let known = (self.now + self.skews[node]) / UNIT * UNIT;
        let before = self.nodes[node].held;
        self.nodes[node] = Node { held: before.max(Some(known)), is_dirty: true };
        self.newest = Some(node);
        self.under_way.push_back(Step::Write(node));
    }

    fn log_out(&mut self) {
        let Some(node) = self.newest.take() else { return };
        self.nodes[node] = Node { held: None, is_dirty: true };
        // Elsewhere the older connections of the user may still be open; they are not online.
        self.under_way.push_back(Step::Write(node));
    }

    fn ours(&self, node: usize) -> Option<Login> {
        self.nodes[node].held.map(|since| login(node, since))
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Write(at) if !self.is_redis_up => self.under_way.push_back(Step::Write(at)),
            Step::Write(at) => self.write(at),
            Step::Notice { to, from, since } => {
                let Some(ours) = self.ours(to) else { return };
                match judge(Some(&ours), Some(&login(from, since))) {
                    Verdict::Yield => self.nodes[to].held = None,
                    Verdict::Stay | Verdict::Unclear => self.under_way.push_back(Step::Write(to)),
                }
            }
            Step::Ask { at, holder } => {
                let (Some(ours), theirs) = (self.ours(at), self.ours(holder)) else { return };
                match theirs.map(|theirs| judge(Some(&ours), Some(&theirs))) {
                    Some(Verdict::Yield) => self.nodes[at].held = None,
                    _ => {
                        // The record is out of date.
                        self.take(at, ours.since_ms);
                    }
                }
            }
        }
    }

    /// The script: `arrive` and `keep` compare, `depart` looks whose the record is.
    fn write(&mut self, at: usize) {
        let is_arrival = std::mem::take(&mut self.nodes[at].is_dirty);
        let Some(mut ours) = self.ours(at) else {
            if self.record.is_some_and(|(holder, _)| holder == at) {
                self.record = None;
            }
            return;
        };
        let record = self.record.filter(|(_, since)| *since <= self.now + AHEAD);
        if let Some((holder, since)) = record
            && is_arrival
            && holder != at
            && since >= ours.since_ms
            && (since - ours.since_ms <= CLOSE || since > self.now + UNIT)
            && self.now.saturating_sub(ours.since_ms) <= PROMPT
        {
            ours.since_ms = (since + UNIT).next_multiple_of(UNIT);
            self.nodes[at].held = Some(ours.since_ms);
        }
        match record {
            Some((holder, since)) if holder != at && login(holder, since) > ours => {
                self.under_way.push_back(Step::Ask { at, holder });
            }
            _ => self.take(at, ours.since_ms),
        }
    }

    fn take(&mut self, at: usize, since: u64) {
        let before = self.record.replace((at, since));
        if let Some((to, _)) = before.filter(|(holder, _)| *holder != at) {
            self.under_way.push_back(Step::Notice { to, from: at, since });
        }
    }

    /// One of all things that may happen, in any order.
    fn go_on(&mut self) {
        self.now += self.random.u64(0..20);
        match self.random.u32(0..20) {
            0..=3 => {
                let node = self.random.usize(0..NODES);
                // Closer together nobody knows the order, unless Redis hears of them at once.
                self.now += APART;
                self.log_in(node);
            }
            4 => self.log_out(),
            5 => self.is_redis_up = !self.is_redis_up,
            // Redis has lost everything, or comes back; all nodes tell it again.
            6 => {
                self.record = None;
                self.renew();
            }
            7 => self.renew(),
            _ if self.under_way.is_empty() => {}
            _ => {
                let at = self.random.usize(0..self.under_way.len());
                if let Some(step) = self.under_way.remove(at) {
                    self.run(step);
                }
            }
        }
    }

    fn renew(&mut self) {
        self.under_way.extend((0..NODES).map(Step::Write));
    }

    fn settle(&mut self) {
        self.is_redis_up = true;
        for _ in 0..4 {
            self.renew();
            let mut steps = 0;
            while let Some(step) = self.under_way.pop_front() {
                self.run(step);
                steps += 1;
                assert!(steps < 10_000, "it never comes to rest");
            }
        }
    }
}

/// Whatever is late, lost or repeated: after quiet the newest login has the user, alone.
#[test]
fn the_newest_login_of_a_user_is_never_lost() {
    for seed in 0..SEEDS {
        let mut model = Model::new(seed);
        for _ in 0..60 {
            model.go_on();
        }
        // A login ends it, since older connections may come to life again after a logout.
        model.now += APART;
        let last = model.random.usize(0..NODES);
        model.log_in(last);
        model.settle();
        let holders: BTreeMap<usize, u64> = model
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(node, state)| Some((node, state.held?)))
            .collect();
        assert_eq!(holders.keys().copied().collect::<Vec<_>>(), [last], "seed {seed}");
        assert_eq!(model.record, Some((last, holders[&last])), "seed {seed}");
    }
}

/// However close together they are, and whatever the nodes take for the time.
#[test]
fn logins_that_are_written_at_once_have_the_order_of_their_writes() {
    for seed in 0..SEEDS {
        let mut model = Model::new(seed);
        let mut last = 0;
        for _ in 0..model.random.usize(2..6) {
            last = model.random.usize(0..NODES);
            model.now += model.random.u64(1..4);
            model.log_in(last);
            model.now += model.random.u64(1..4);
            // Notices of earlier conflicts are still under way, in any order.
            let write = model.under_way.pop_back().unwrap();
            model.run(write);
        }
        model.random.shuffle(model.under_way.make_contiguous());
        model.settle();
        let holders: Vec<usize> =
            (0..NODES).filter(|node| model.nodes[*node].held.is_some()).collect();
        assert_eq!(holders, [last], "seed {seed}");
        assert_eq!(model.record.map(|(node, _)| node), Some(last), "seed {seed}");
    }
}

#[test]
fn a_notice_without_a_time_decides_nothing() {
    let (a, b) = (login(1, 5), login(2, 5));
    assert_eq!(judge(Some(&a), Some(&b)), Verdict::Yield, "the greater address is newer");
    assert_eq!(judge(Some(&b), Some(&a)), Verdict::Stay);
    assert_eq!(judge(Some(&b), Some(&b)), Verdict::Stay, "it is the same");
    assert_eq!(judge(None, Some(&b)), Verdict::Unclear);
    assert_eq!(judge(Some(&a), None), Verdict::Unclear);
}
