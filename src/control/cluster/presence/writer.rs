//! Takes what waits and writes it, a few pipelines at a time.

use super::super::redis::Fault;
use super::super::redis::script::{self, Rival, Verb};
use super::backlog::Change;
use super::rounds::{MIXED_ROUND, RENEWAL_ROUND, Round};
use super::{Conflict, ConflictKind, Presence, State};
use crate::id::UserKey;
use crate::limits::{PRESENCE_BATCH, PRESENCE_BATCHES};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{Cmd, RedisResult, Value};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How finely the renewals are spread.
const TICK: Duration = Duration::from_millis(50);

/// Pause after commands have failed, so that a server in trouble is not asked at full speed.
const PAUSE: Duration = Duration::from_millis(500);

/// Users of the directory moved into the backlog at once when the node stops.
const FAREWELL_CHUNK: usize = 4 * PRESENCE_BATCH;

/// Commands that travel together.
struct Batch {
    number: u64,
    /// Whether the server may not know the script yet.
    brings_script: bool,
    items: Vec<Item>,
}

struct Item {
    user: UserKey,
    verb: Verb,
    /// When the user has logged in, by the clock of Redis, if that is known.
    login_ms: Option<u64>,
    /// The event behind it; a renewal has none.
    change: Option<Change>,
}

type Answers = Result<Vec<RedisResult<Value>>, Fault>;

impl Presence {
    /// Writes for as long as the node runs; never returns.
    /// When it begins anew after a failure, what was under way may not have been written.
    pub(in crate::control::cluster) async fn run(&self) {
        self.begin_anew();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut live = self.link.watch();
        let mut under_way = FuturesUnordered::new();
        let mut paused_until = Duration::ZERO;
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tick(),
                () = self.work.notified() => {}
                Some((batch, answers)) = under_way.next() => {
                    if !self.settle(batch, answers) {
                        paused_until = self.clock.now() + PAUSE;
                    }
                }
                Ok(()) = live.changed() => {
                    if live.borrow_and_update().is_some() {
                        self.state().script_is_known = false;
                        self.sweep();
                    }
                }
            }
            while under_way.len() < PRESENCE_BATCHES && self.clock.now() >= paused_until {
                let Some(batch) = self.next_batch() else { break };
                under_way.push(self.write(batch));
            }
        }
    }

    /// After the first time: nothing is under way, and the directory is told again.
    fn begin_anew(&self) {
        let mut state = self.state();
        if !std::mem::replace(&mut state.has_begun, true) {
            return;
        }
        state.under_way.clear();
        state.backlog.forget_under_way();
        state.script_is_known = false;
        state.rounds.sweep();
    }

    /// Lets time pass.
    fn tick(&self) {
        let now = self.clock.now();
        let lost = self.metrics.shared.events_lost.load(Ordering::Relaxed);
        let mut state = self.state();
        if lost != state.events_lost {
            state.events_lost = lost;
            state.rounds.sweep();
        }
        if self.link.is_up() {
            let renewal = if *self.is_mixed.borrow() { MIXED_ROUND } else { RENEWAL_ROUND };
            state.rounds.advance(now, self.directory.users(), renewal);
            self.renew_soon(&mut state, now);
        }
        let oldest = state.under_way.values().copied().chain(state.backlog.oldest()).min();
        let lag = oldest.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let stats = &self.metrics.cluster;
        stats
            .presence_lag_ms
            .store(lag.as_millis().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        stats
            .presence_waiting
            .store(state.backlog.len().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Events first; what room they leave is for renewals.
    fn next_batch(&self) -> Option<Batch> {
        if !self.link.is_up() {
            return None;
        }
        let mut state = self.state();
        let is_stopping = state.farewell.is_some();
        self.say_farewell(&mut state);
        let events = state.backlog.take(PRESENCE_BATCH);
        let oldest = events.iter().map(|(_, change)| change.since).min();
        let mut items: Vec<Item> = events
            .into_iter()
            .map(|(user, change)| {
                let held = self.directory.registration(user.app, &user.user);
                let verb = if is_stopping {
                    Verb::Depart
                } else {
                    up_to_date(change.verb, held.is_some())
                };
                let login_ms = held.filter(|_| !is_stopping).and_then(|held| self.login_ms(&held));
                Item { user, verb, login_ms, change: Some(change) }
            })
            .collect();
        if !is_stopping {
            self.renew(&mut state, &mut items);
        }
        if items.is_empty() {
            let is_over = is_stopping && state.backlog.is_idle();
            self.is_written_off
                .send_if_modified(|done| !std::mem::replace(done, is_over) && is_over);
            return None;
        }
        state.batches += 1;
        let number = state.batches;
        if let Some(oldest) = oldest {
            state.under_way.insert(number, oldest);
        }
        let brings_script = !state.script_is_known;
        Some(Batch { number, brings_script, items })
    }

    /// Renews those who have logged in a moment ago.
    fn renew_soon(&self, state: &mut State, now: Duration) {
        let is_here = |user: &UserKey| self.directory.registration(user.app, &user.user).is_some();
        while let Some(user) = state.soon.next(now, is_here) {
            // Without room the round does it.
            let _noted = state.backlog.note(user, Verb::Keep, now);
        }
    }

    fn renew(&self, state: &mut State, items: &mut Vec<Item>) {
        let apps = self.directory.apps_len();
        while let Some((place, max)) = state.rounds.next(PRESENCE_BATCH - items.len()) {
            if max == 0 {
                return;
            }
            let Some(app) = self.directory.apps().nth(place.app) else { return };
            let counter = match state.rounds.round() {
                Round::Renewal => &self.metrics.cluster.renewals,
                Round::Sweep => &self.metrics.cluster.swept,
            };
            let page = self.directory.registrations(app, place.from, max);
            counter.fetch_add(page.users.len().try_into().unwrap_or(0), Ordering::Relaxed);
            let is_over = state.rounds.read(page.users.len(), page.next, apps);
            for held in page.users {
                let user = UserKey { app, user: held.id.clone() };
                if state.backlog.begin_renewal(&user) {
                    let login_ms = self.login_ms(&held);
                    items.push(Item { user, verb: Verb::Keep, login_ms, change: None });
                }
            }
            if is_over {
                return;
            }
        }
    }

    /// Moves some of those who are to be written off into the backlog.
    fn say_farewell(&self, state: &mut State) {
        let now = self.clock.now();
        let Some(left) = &mut state.farewell else { return };
        while state.backlog.len() < FAREWELL_CHUNK {
            let Some(user) = left.pop() else { return };
            // There is room: the chunk is far below the backlog's bound.
            let _noted = state.backlog.note(user, Verb::Depart, now);
        }
    }

    async fn write(&self, batch: Batch) -> (Batch, Answers) {
        // In one pipeline the first command brings the script along, if it has to. Servers
        // of a Redis Cluster have different parts of the batch, and each is told by each command.
        let is_pipeline = !self.link.is_cluster();
        let is_known = |at: usize| is_pipeline && (at > 0 || !batch.brings_script);
        let commands: Vec<Cmd> = batch
            .items
            .iter()
            .enumerate()
            .map(|(at, Item { user, verb, login_ms, .. })| {
                self.records.command(user.app, &user.user, *verb, *login_ms, is_known(at))
            })
            .collect();
        let answers = self.link.ask_all(&commands).await;
        (batch, answers)
    }

    /// Draws the conclusions; false if something has failed.
    fn settle(&self, batch: Batch, answers: Answers) -> bool {
        let mut conflicts = Vec::new();
        let mut state = self.state();
        state.under_way.remove(&batch.number);
        let (mut answers, mut all_well, mut is_round_lost) =
            (answers.unwrap_or_default().into_iter(), true, false);
        for Item { user, change, .. } in batch.items {
            match (answers.next(), change) {
                (Some(Ok(answer)), _) => {
                    state.backlog.finish(&user);
                    if let Some(rival) = script::rival(&answer) {
                        conflicts.push((user, rival));
                    }
                    continue;
                }
                (_, Some(change)) => state.backlog.fail(user, change),
                (_, None) => {
                    state.backlog.finish(&user);
                    is_round_lost = true;
                }
            }
            all_well = false;
        }
        state.script_is_known = all_well;
        if is_round_lost {
            state.rounds.sweep();
        }
        drop(state);
        for (user, rival) in conflicts {
            self.tell(user, rival);
        }
        all_well
    }

    fn tell(&self, user: UserKey, Rival { node: holder, is_newer, moved_to }: Rival) {
        // A login that has come since then is later, or as well off at this time.
        if let Some(time) = moved_to.and_then(|ms| self.time.time_at(ms))
            && let Some(held) = self.directory.registration(user.app, &user.user)
        {
            held.postpone(time, self.clock.now());
        }
        let kind = if is_newer { ConflictKind::Kept } else { ConflictKind::Arrived };
        if !self.nodes.borrow().contains(&holder) {
            // A record that has outlived its node.
            if kind == ConflictKind::Kept {
                self.claim(user.app, &user.user);
            }
            return;
        }
        let stats = &self.metrics.cluster;
        stats.conflicts.fetch_add(1, Ordering::Relaxed);
        let conflict = Conflict { app: user.app, user: user.user, holder, kind };
        if self.conflicts.try_send(conflict).is_err() {
            stats.conflicts_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An event may have been lost, or be late: what the directory says now counts.
fn up_to_date(verb: Verb, is_here: bool) -> Verb {
    match verb {
        Verb::Depart if is_here => Verb::Keep,
        Verb::Arrive(_) | Verb::Claim | Verb::Keep if !is_here => Verb::Depart,
        verb => verb,
    }
}
