//! Who is on this node, told to the others in Redis; and where everybody else is.
//!
//! Redis holds a projection of the directory: whatever is lost on the way there
//! is told again, by the next renewal or by a sweep.

mod backlog;
mod located;
mod rounds;
mod soon;
mod writer;

pub(in crate::control) use located::Located;

use super::login::{Login, Verdict, judge};
use super::redis::{
    Link,
    script::{Records, Verb},
};
use super::registry::RedisTime;
use super::{Nodes, Starts};
use crate::address::ClientAddr;
use crate::clock::Clock;
use crate::control::grpc::Logins;
use crate::hub::Directory;
use crate::id::{AppId, NodeAddr, UserId, UserKey};
use crate::limits::{PRESENCE_WAITING_MAX, RENEWED_SOON_MAX, SWEEP_USERS_PER_SECOND_MAX};
use crate::link::{Event, News};
use crate::metrics::Metrics;
use crate::session::User;
use backlog::{Backlog, Full};
use located::Places;
use rounds::Rounds;
use soon::Soon;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// What presence is made of.
#[derive(Debug)]
pub(super) struct Parts {
    /// For what this node writes.
    pub(super) writes: Link,
    /// For questions that somebody waits for.
    pub(super) lookups: Link,
    /// This node.
    pub(super) here: NodeAddr,
    /// Who is on it: the truth.
    pub(super) directory: Arc<Directory>,
    /// The live nodes other than this one.
    pub(super) nodes: watch::Receiver<Nodes>,
    /// When they started.
    pub(super) starts: watch::Receiver<Starts>,
    /// Whether nodes of the reference are among them.
    pub(super) is_mixed: watch::Receiver<bool>,
    /// The time that records are measured by.
    pub(super) time: Arc<RedisTime>,
    /// Where users go whom another node claims.
    pub(super) conflicts: mpsc::Sender<Conflict>,
    /// This node's time.
    pub(super) clock: Clock,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
}

/// A user whom another live node claims too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) app: AppId,
    pub(super) user: UserId,
    /// The other node.
    pub(super) holder: NodeAddr,
    pub(super) kind: ConflictKind,
}

/// Who of the two has the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConflictKind {
    /// We do, since our login is the newer one: the other node is to be told.
    Arrived,
    /// They do. If they hold the user this node yields ([`Directory::displace`]);
    /// if they do not, [`Presence::claim`].
    Kept,
}

/// A login that is younger, and later than all that were noted, may not have been noted yet.
const NEWS_MAX: Duration = Duration::from_millis(200);

/// How long a node that ends waits for a Redis that cannot be reached.
const AWAY_MAX: Duration = Duration::from_secs(2);

/// Writes behind the directory, and looks up.
#[derive(Debug)]
pub(in crate::control) struct Presence {
    link: Link,
    here: NodeAddr,
    records: Records,
    directory: Arc<Directory>,
    nodes: watch::Receiver<Nodes>,
    is_mixed: watch::Receiver<bool>,
    conflicts: mpsc::Sender<Conflict>,
    clock: Clock,
    time: Arc<RedisTime>,
    metrics: Arc<Metrics>,
    places: Places,
    state: Mutex<State>,
    /// Rung when there is something to write.
    work: Notify,
    /// Time of the latest login or logout that was noted, in milliseconds of the node's clock.
    noted_ms: AtomicU64,
    /// True once everybody has been written off.
    is_written_off: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    rounds: Rounds,
    /// Logins beside nodes of the reference.
    soon: Soon,
    /// Who is still to be written off; once there is a list the node is stopping.
    farewell: Option<Vec<UserKey>>,
    /// Since when the oldest event of each batch under way waits.
    under_way: HashMap<u64, Duration>,
    batches: u64,
    /// Whether the server has seen the script of records since it was connected.
    script_is_known: bool,
    /// Lost events that a sweep was asked for.
    events_lost: u64,
    /// The task that writes has begun.
    has_begun: bool,
}

impl Presence {
    /// Nothing is written before [`Presence::run`].
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let now = parts.clock.now();
        let state = State {
            backlog: Backlog::new(PRESENCE_WAITING_MAX),
            rounds: Rounds::new(SWEEP_USERS_PER_SECOND_MAX, now),
            soon: Soon::new(RENEWED_SOON_MAX),
            farewell: None,
            under_way: HashMap::new(),
            batches: 0,
            script_is_known: false,
            events_lost: 0,
            has_begun: false,
        };
        let time = Arc::clone(&parts.time);
        let places =
            Places::new(parts.lookups, parts.nodes.clone(), parts.starts, parts.time, parts.clock);
        Arc::new(Self {
            link: parts.writes,
            records: Records::new(parts.here.clone()),
            here: parts.here,
            directory: parts.directory,
            nodes: parts.nodes,
            is_mixed: parts.is_mixed,
            conflicts: parts.conflicts,
            clock: parts.clock,
            time,
            metrics: parts.metrics,
            places,
            state: Mutex::new(state),
            work: Notify::new(),
            noted_ms: AtomicU64::new(0),
            is_written_off: watch::Sender::new(false),
        })
    }

    /// Notes a login or a logout; it is written soon.
    pub(super) fn note(&self, news: &News) {
        let (user, verb) = match &news.event {
            Event::Arrived { user, client, .. } => {
                (user, Verb::Arrive((*client != ClientAddr::Unknown).then_some(*client)))
            }
            Event::Departed(user) => (user, Verb::Depart),
        };
        self.note_verb(UserKey { app: user.app, user: user.id.clone() }, verb, news.since);
        if matches!(news.event, Event::Arrived { .. }) && self.is_mixed() {
            let user = UserKey { app: user.app, user: user.id.clone() };
            self.state().soon.begin(user, self.clock.now());
        }
        let since_ms = u64::try_from(news.since.as_millis()).unwrap_or(u64::MAX);
        self.noted_ms.fetch_max(since_ms, Ordering::Relaxed);
    }

    /// Writes this node into the record of a user who is here, whatever it says now.
    pub(super) fn claim(&self, app: AppId, user: &str) {
        self.note_verb(UserKey { app, user: user.into() }, Verb::Claim, self.clock.now());
    }

    /// Whether nodes of the reference live.
    pub(super) fn is_mixed(&self) -> bool {
        *self.is_mixed.borrow()
    }

    /// Whether what has happened to a user here may not be in Redis yet. A login gets here
    /// some milliseconds after the directory has it.
    pub(super) fn is_pending(&self, app: AppId, user: &str) -> bool {
        let now = self.clock.now();
        let held = self.directory.registration(app, user);
        let noted = Duration::from_millis(self.noted_ms.load(Ordering::Relaxed));
        let is_on_its_way = |since: Duration| since > noted && now.saturating_sub(since) < NEWS_MAX;
        held.is_some_and(|held| is_on_its_way(held.since(now)))
            || self.state().backlog.is_pending(&UserKey { app, user: user.into() })
    }

    /// Renews the record of a user who is here before its time, unless another node's is live.
    pub(super) fn renew_now(&self, app: AppId, user: &str) {
        self.note_verb(UserKey { app, user: user.into() }, Verb::Keep, self.clock.now());
    }

    /// When a user of this node has logged in, by the clock of Redis; `None` until Redis was asked.
    pub(super) fn login_ms(&self, user: &User) -> Option<u64> {
        self.time.ms_at(user.since(self.clock.now()))
    }

    /// What to do with a login of this node when another node has one of the same user.
    pub(super) fn judge(&self, held: &User, theirs: Option<&Login>) -> Verdict {
        let ours = self.login_ms(held);
        let ours = ours.map(|since_ms| Login { since_ms, node: self.here.clone() });
        judge(ours.as_ref(), theirs)
    }

    /// Another node says that the user has logged in there.
    fn yield_to(&self, app: AppId, user: &str, theirs: Option<&Login>) {
        let Some(held) = self.directory.registration(app, user) else { return };
        match self.judge(&held, theirs) {
            Verdict::Yield => {
                // A login that has come since then is newer, and stays.
                let _is_displaced = self.directory.displace(&held);
            }
            // The record may be the other node's all the same.
            Verdict::Stay | Verdict::Unclear => self.renew_now(app, user),
        }
    }

    fn note_verb(&self, user: UserKey, verb: Verb, since: Duration) {
        let mut state = self.state();
        if let Err(Full) = state.backlog.note(user, verb, since) {
            let stats = &self.metrics.cluster;
            if verb == Verb::Depart {
                stats.departures_dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                stats.arrivals_dropped.fetch_add(1, Ordering::Relaxed);
                state.rounds.sweep();
            }
        }
        drop(state);
        self.work.notify_one();
    }

    /// Tells the whole directory again, at a pace that Redis can bear.
    pub(super) fn sweep(&self) {
        self.state().rounds.sweep();
    }

    /// Marks every user of this node as gone, who are here when it is called and
    /// who leave later: call it before the reactors are emptied. Returns how
    /// many records are not written when `limit` is over.
    pub(super) async fn write_off_all(&self, limit: Duration) -> usize {
        let everybody = self.everybody();
        self.state().farewell = Some(everybody);
        self.work.notify_one();
        let mut written = self.is_written_off.subscribe();
        let in_time = tokio::select! {
            written = tokio::time::timeout(limit, written.wait_for(|done| *done)) => written.is_ok(),
            () = self.is_given_up() => false,
        };
        if in_time {
            return 0;
        }
        let state = self.state();
        let left = state.farewell.as_ref().map_or(0, Vec::len) + state.backlog.len();
        if left > 0 {
            tracing::warn!(users = left, "their records stay in Redis until they run out");
        }
        left
    }

    /// Returns when Redis has been away for so long that a node which ends waits no more.
    async fn is_given_up(&self) {
        let mut live = self.link.watch();
        while live.wait_for(Option::is_none).await.is_ok() {
            let back = tokio::time::timeout(AWAY_MAX, live.wait_for(Option::is_some));
            if back.await.is_err() {
                return;
            }
        }
    }

    fn everybody(&self) -> Vec<UserKey> {
        let mut everybody = Vec::with_capacity(self.directory.users());
        for app in self.directory.apps() {
            let mut from = Some(0);
            while let Some(at) = from {
                let page = self.directory.page(app, at, usize::MAX);
                everybody.extend(page.users.into_iter().map(|user| UserKey { app, user }));
                from = page.next;
            }
        }
        everybody
    }

    /// Where a user of another node is, as Redis says now.
    pub(in crate::control) async fn locate(&self, app: AppId, user: &str) -> Located {
        self.places.locate(app, user).await
    }

    /// The same; where the user was a moment ago is good enough.
    pub(in crate::control) async fn recall(&self, app: AppId, user: &str) -> Located {
        self.places.recall(app, user).await
    }

    /// Whether no node has seen a message id in the last 12 hours; from now on
    /// it is seen. `None` if Redis cannot say.
    pub(in crate::control) async fn first_seen(&self, msg_id: &str) -> Option<bool> {
        self.places.first_seen(msg_id).await
    }

    /// Forgets a message id whose message could not be sent.
    pub(in crate::control) async fn forget_seen(&self, msg_id: &str) {
        self.places.forget_seen(msg_id).await;
    }

    /// What a panic leaves behind is whole: no operation on it panics half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Logins for Presence {
    fn since_ms(&self, user: &User) -> u64 {
        self.login_ms(user).unwrap_or(0)
    }

    fn displaced(&self, app: AppId, user: &str, since_ms: u64, node: &str) {
        let theirs = NodeAddr::parse(node).filter(|_| since_ms > 0);
        self.yield_to(app, user, theirs.map(|node| Login { since_ms, node }).as_ref());
    }
}

#[cfg(test)]
mod tests;
