//! How many broadcasts may be under way, and which of those that wait is next.
//!
//! Pure: the time is an argument, and nothing here knows a reactor. The size of the window adapts
//! to the age that broadcasts reach, as TCP's does to delay: a broadcast that is older than the
//! bound when its last reactor is done makes the window smaller, young ones make it larger.

use crate::id::{AppId, UserId};
use crate::limits::{
    BROADCASTS_MAX, BROADCASTS_WAITING_MAX, BROADCASTS_WAITING_OF_ROOM,
    BROADCASTS_WAITING_OF_SENDER, FRAMES_PER_WAVE,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Bounds of what is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastRules {
    /// Age that a broadcast should not exceed, and the longest wait for admission.
    pub wait: Duration,
    /// Broadcasts under way at a time.
    pub messages: usize,
    /// Bytes of their frames.
    pub bytes: usize,
}

impl Default for BroadcastRules {
    fn default() -> Self {
        Self { wait: Duration::from_millis(200), messages: BROADCASTS_MAX, bytes: 32 << 20 }
    }
}

/// What a broadcast costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BroadcastSize {
    /// Members that it goes to.
    pub deliveries: u64,
    /// Bytes of its frame.
    pub bytes: usize,
}

/// What a request for admission comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Under way by this number.
    Admitted(u64),
    /// Waits by this number.
    Waits(u64),
    /// Too much waits already.
    Refused,
}

/// Deliveries that may be under way at the start: few, since a node that carries more shows it soon.
const LIMIT_AT_START: u64 = 100_000;

/// The window never gets smaller than this, however slow the host.
const LIMIT_MIN: u64 = 10_000;

/// Nor larger: what many cores write in a fifth of a second.
const LIMIT_MAX: u64 = 100_000_000;

/// The window gets no smaller than this part of it at once.
const SHRINK_MAX: f64 = 0.25;

/// So many broadcasts to one room may be under way even if they are more than the window: a full
/// wave that is written, and the next one. What a wave costs is a system call for each member,
/// whether it carries one frame or many: with less under way a busy node would write less, and none
/// would be there earlier.
const AT_LEAST: u64 = 2 * FRAMES_PER_WAVE as u64;

/// Senders of a room that are remembered although nothing of theirs waits.
const SENDERS_REMEMBERED: usize = 1_024;

/// Everything that is under way or waits. Bounded by the rules and by `limits`.
#[derive(Debug)]
pub(super) struct Window {
    rules: BroadcastRules,
    /// Deliveries that may be under way.
    limit: u64,
    held: Held,
    under_way: BTreeMap<u64, UnderWay>,
    rooms: HashMap<AppId, Room>,
    waiting: usize,
    /// Admitted while somebody waited, not yet collected.
    admitted: Vec<u64>,
    next: u64,
    /// Virtual time of the node: the turn of the room that was served last.
    clock: u64,
    /// When the limit was lowered.
    lowered: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    deliveries: u64,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    room: AppId,
    size: BroadcastSize,
    at: Duration,
    /// Deliveries that were under way with it.
    load: u64,
}

#[derive(Debug, Default)]
struct Room {
    deliveries: u64,
    messages: usize,
    waiting: usize,
    /// Start-time fair queueing (Goyal 1996): when this room is served next, in virtual time.
    turn: u64,
    /// Virtual time within the room.
    clock: u64,
    senders: HashMap<UserId, Sender>,
}

#[derive(Debug, Default)]
struct Sender {
    turn: u64,
    queue: VecDeque<(u64, BroadcastSize)>,
}

impl Window {
    pub(super) fn new(rules: BroadcastRules) -> Self {
        Self {
            rules,
            limit: LIMIT_AT_START,
            held: Held::default(),
            under_way: BTreeMap::new(),
            rooms: HashMap::new(),
            waiting: 0,
            admitted: Vec::new(),
            next: 0,
            clock: 0,
            lowered: Duration::ZERO,
        }
    }

    pub(super) fn set_rules(&mut self, rules: BroadcastRules) {
        self.rules = rules;
    }

    /// Longest wait for admission.
    pub(super) fn wait(&self) -> Duration {
        self.rules.wait
    }

    /// Deliveries that may be under way now.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Broadcasts under way, and those that wait for admission.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.under_way.len(), self.waiting)
    }

    /// Age of the oldest broadcast that is under way.
    pub(super) fn oldest(&self, now: Duration) -> Duration {
        let oldest = self.under_way.values().next();
        oldest.map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest.at))
    }

    /// Asks for the admission of a broadcast. Nobody overtakes those of the same room that wait.
    pub(super) fn ask(
        &mut self,
        now: Duration,
        app: AppId,
        sender: &UserId,
        size: BroadcastSize,
    ) -> Answer {
        let here = self.rooms.entry(app).or_default();
        let is_alone = here.messages == 0 && here.waiting == 0;
        if (self.waiting == 0 || is_alone) && self.fits(app, size) {
            return Answer::Admitted(self.admit(now, app, sender, size));
        }
        let Some(here) = self.rooms.get_mut(&app) else { return Answer::Refused };
        let own = here.senders.get(sender).map_or(0, |sender| sender.queue.len());
        if own >= BROADCASTS_WAITING_OF_SENDER
            || here.waiting >= BROADCASTS_WAITING_OF_ROOM
            || self.waiting >= BROADCASTS_WAITING_MAX
        {
            self.forget_if_idle(app);
            return Answer::Refused;
        }
        let number = self.next;
        self.next += 1;
        here.senders.entry(sender.clone()).or_default().queue.push_back((number, size));
        here.waiting += 1;
        self.waiting += 1;
        Answer::Waits(number)
    }

    /// Admits a broadcast that other nodes have admitted already: half of the cluster may have it,
    /// so it waits for nobody, and the bounds are twice as large.
    pub(super) fn ask_for_peer(
        &mut self,
        now: Duration,
        app: AppId,
        sender: &UserId,
        size: BroadcastSize,
    ) -> Answer {
        let is_first = self.rooms.get(&app).is_none_or(|room| room.messages == 0);
        let bound = |limit: u64| limit.max(size.deliveries * AT_LEAST) * 2;
        let fits = self.under_way.len() < self.rules.messages * 2
            && self.held.bytes + size.bytes <= self.rules.bytes * 2
            && (is_first || self.held.deliveries + size.deliveries <= bound(self.limit));
        if fits || self.under_way.is_empty() {
            return Answer::Admitted(self.admit(now, app, sender, size));
        }
        Answer::Refused
    }

    /// Admits of those that wait as many as there is room for, each room and each of its senders
    /// in turn; then whether this one is among them.
    pub(super) fn collect(&mut self, now: Duration, number: u64) -> bool {
        self.serve(now);
        let found = self.admitted.iter().position(|admitted| *admitted == number);
        found.map(|at| self.admitted.swap_remove(at)).is_some()
    }

    /// A broadcast that waits is given up; one that was admitted meanwhile is over.
    pub(super) fn withdraw(&mut self, now: Duration, app: AppId, sender: &UserId, number: u64) {
        if let Some(at) = self.admitted.iter().position(|admitted| *admitted == number) {
            self.admitted.swap_remove(at);
            self.finish(now, number);
            return;
        }
        let Some(room) = self.rooms.get_mut(&app) else { return };
        let Some(own) = room.senders.get_mut(sender) else { return };
        let before = own.queue.len();
        own.queue.retain(|(waiting, _)| *waiting != number);
        let gone = before - own.queue.len();
        room.waiting -= gone;
        self.waiting -= gone;
        self.forget_if_idle(app);
    }

    /// All reactors are done with a broadcast. Returns its age.
    pub(super) fn finish(&mut self, now: Duration, number: u64) -> Duration {
        let Some(done) = self.under_way.remove(&number) else { return Duration::ZERO };
        self.held.deliveries -= done.size.deliveries;
        self.held.bytes -= done.size.bytes;
        if let Some(room) = self.rooms.get_mut(&done.room) {
            room.deliveries -= done.size.deliveries;
            room.messages -= 1;
        }
        self.forget_if_idle(done.room);
        let age = now.saturating_sub(done.at);
        self.adapt(now, &done, age);
        age
    }

    /// The window follows the age of those that have found it well filled.
    fn adapt(&mut self, now: Duration, done: &UnderWay, age: Duration) {
        let could_be_less = done.load > done.size.deliveries * AT_LEAST;
        if age > self.rules.wait {
            // Once for all that were under way at that time.
            if could_be_less && done.at >= self.lowered {
                let share = self.rules.wait.as_secs_f64() / age.as_secs_f64();
                self.limit = scaled(self.limit, share.max(SHRINK_MAX)).max(LIMIT_MIN);
                self.lowered = now;
            }
            return;
        }
        let is_wanted = self.waiting > 0 || done.load > self.limit / 4 * 3;
        if age < self.rules.wait / 2 && is_wanted {
            self.limit = (self.limit + done.size.deliveries).min(LIMIT_MAX);
        }
    }

    fn fits(&self, app: AppId, size: BroadcastSize) -> bool {
        let Some(room) = self.rooms.get(&app) else { return false };
        let fits_here = self.under_way.len() < self.rules.messages
            && (self.under_way.is_empty() || self.held.bytes + size.bytes <= self.rules.bytes);
        if !fits_here || room.messages == 0 {
            return fits_here;
        }
        let at_least = size.deliveries.saturating_mul(AT_LEAST);
        let busy = self.rooms.len().max(1) as u64;
        room.deliveries + size.deliveries <= (self.limit / busy).max(at_least)
            && self.held.deliveries + size.deliveries <= self.limit.max(at_least)
    }

    fn serve(&mut self, now: Duration) {
        while self.waiting > 0 {
            let mut candidates: Vec<(u64, AppId)> = self
                .rooms
                .iter()
                .filter(|(_, room)| room.waiting > 0)
                .map(|(app, room)| (room.turn, *app))
                .collect();
            candidates.sort_unstable_by_key(|(turn, app)| (*turn, app.0));
            let next = candidates.into_iter().find_map(|(_, app)| {
                let (sender, number, size) = self.rooms.get(&app)?.first()?;
                self.fits(app, size).then(|| (app, sender.clone(), number, size))
            });
            let Some((app, sender, number, size)) = next else { return };
            if let Some(room) = self.rooms.get_mut(&app)
                && let Some(own) = room.senders.get_mut(&sender)
            {
                own.queue.pop_front();
                room.waiting -= 1;
            }
            self.waiting -= 1;
            self.begin(now, app, &sender, size, number);
            self.admitted.push(number);
        }
    }

    fn admit(&mut self, now: Duration, app: AppId, sender: &UserId, size: BroadcastSize) -> u64 {
        let number = self.next;
        self.next += 1;
        self.begin(now, app, sender, size, number);
        number
    }

    fn begin(
        &mut self,
        at: Duration,
        app: AppId,
        sender: &UserId,
        size: BroadcastSize,
        number: u64,
    ) {
        self.held.deliveries += size.deliveries;
        self.held.bytes += size.bytes;
        let load = self.held.deliveries;
        self.under_way.insert(number, UnderWay { room: app, size, at, load });
        let (cost, clock) = (size.deliveries.max(1), self.clock);
        let room = self.rooms.entry(app).or_default();
        room.deliveries += size.deliveries;
        room.messages += 1;
        let start = room.turn.max(clock);
        room.turn = start + cost;
        let own = room.senders.entry(sender.clone()).or_default();
        let own_start = own.turn.max(room.clock);
        own.turn = own_start + cost;
        room.clock = own_start;
        if room.senders.len() > SENDERS_REMEMBERED {
            room.senders.retain(|_, sender| !sender.queue.is_empty());
        }
        self.clock = start;
    }

    fn forget_if_idle(&mut self, app: AppId) {
        if self.rooms.get(&app).is_some_and(|room| room.messages == 0 && room.waiting == 0) {
            self.rooms.remove(&app);
        }
    }
}

/// Far below 2⁵³, and never negative.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a limit")]
fn scaled(limit: u64, part: f64) -> u64 {
    (limit as f64 * part) as u64
}

impl Room {
    /// The first broadcast of the sender whose turn it is.
    fn first(&self) -> Option<(&UserId, u64, BroadcastSize)> {
        let waiting = self.senders.iter().filter_map(|(name, sender)| {
            let (number, size) = *sender.queue.front()?;
            Some((sender.turn.max(self.clock), number, name, size))
        });
        let first = waiting.min_by_key(|(turn, number, ..)| (*turn, *number));
        first.map(|(_, number, name, size)| (name, number, size))
    }
}
