//! Who hears of arrivals and departures: everybody in a small room, and a
//! digest in a large one, so that a million logins do not become a storm.

use super::directory::{Arrival, Noted};
use super::router::Router;
use crate::clock::{Clock, FreshId};
use crate::command::push;
use crate::config::Language;
use crate::envelope::{Envelope, Frame};
use crate::id::{AppId, UserId};
use crate::link::{Announcement, Change, Current, Fanout, Rate};
use crate::session::User;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Tells rooms who came and went.
#[derive(Debug)]
pub struct Announcer {
    router: Arc<Router>,
    ids: FreshId,
    clock: Clock,
    exact_up_to: AtomicUsize,
    /// What exact announcements may cost in each room.
    rate: Current<Option<Rate>>,
    silent: AtomicBool,
    language: Language,
}

impl Announcer {
    /// Rooms of up to `exact_up_to` users hear of each one; 0 means none does.
    #[must_use]
    pub fn new(router: Arc<Router>, exact_up_to: usize, language: Language) -> Self {
        Self {
            router,
            ids: FreshId::default(),
            clock: Clock::start(),
            exact_up_to: AtomicUsize::new(exact_up_to),
            rate: Current::new(None),
            silent: AtomicBool::new(false),
            language,
        }
    }

    /// From now on rooms of up to so many users hear of each one.
    pub fn set_exact_up_to(&self, members: usize) {
        self.exact_up_to.store(members, Ordering::Relaxed);
    }

    /// From now on these announcements cost each room at most so many messages a second; 0 means
    /// no limit. A room may fill up to the size bound at once.
    pub fn set_exact_rate(&self, per_second: u64) {
        let members = self.exact_up_to() as u64;
        let filling = members.saturating_mul(members + 1) / 2;
        self.rate.replace(Rate::new(per_second, filling.min(FILLING_MAX)));
    }

    fn exact_up_to(&self) -> usize {
        self.exact_up_to.load(Ordering::Relaxed)
    }

    /// From now on nothing is announced: the node stops, and everybody goes.
    pub fn silence(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// A user has come, or has changed the connection: a small room hears of
    /// both, as from the reference; the digest counts who is new.
    pub fn arrived(&self, user: &User, arrival: Arrival) {
        let change = if arrival.is_new() { Change::Joined } else { Change::Moved };
        if !self.told_exactly(user, arrival.members, change) {
            self.note(user.app, change);
        }
    }

    /// A user has gone, who leaves the room `members` strong.
    pub fn departed(&self, user: &User, members: usize) {
        if !self.told_exactly(user, members, Change::Left) {
            self.note(user.app, Change::Left);
        }
    }

    /// Whether a message that has waited is still to be written. In a storm of
    /// logins the room may have outgrown exact announcements while one waited;
    /// then the digest tells of it instead.
    pub fn is_due(&self, fanout: &Fanout) -> bool {
        let Some(announcement) = &fanout.announcement else { return true };
        if self.router.directory().members(fanout.app) <= self.exact_up_to() {
            return true;
        }
        if announcement.withdraw() {
            self.note(fanout.app, announcement.change);
        }
        false
    }

    /// Whether a room hears of each arrival and departure, as things are now.
    #[must_use]
    pub fn is_exact(&self, app: AppId) -> bool {
        let (members, max) = (self.router.directory().members(app), self.exact_up_to());
        max > 0 && members <= max && !self.silent.load(Ordering::Relaxed)
    }

    /// The push that tells a connection that `user` has logged in elsewhere.
    #[must_use]
    pub fn displacement(&self, user: &User) -> Frame {
        push::displaced(self.ids.next(), &user.id, self.language)
    }

    /// Leaves a change to the next digest.
    fn note(&self, app: AppId, change: Change) {
        match change {
            Change::Joined => self.router.directory().note_joined(app),
            Change::Left => self.router.directory().note_left(app),
            Change::Moved => {}
        }
    }

    /// Tells the room, if it is small enough and every reactor took the order;
    /// what could not be told goes into the digest.
    fn told_exactly(&self, user: &User, members: usize, change: Change) -> bool {
        if self.silent.load(Ordering::Relaxed) {
            return true;
        }
        if members > self.exact_up_to() {
            return false;
        }
        if members == 0 {
            return true;
        }
        if !self.may_tell(user.app, members) {
            return false;
        }
        let Ok(ticket) = self.router.broadcasts().announce() else { return false };
        let (cmd, msg) = change.words(self.language);
        let seq = self.ids.next().to_string();
        let frame = push::envelope(&Envelope { seq: &seq, cmd, target: "", msg, from: &user.id });
        let announcement = Some(Announcement::new(change));
        let fanout = Fanout { app: user.app, except: user.id.clone(), frame, announcement, ticket };
        self.router.fan_out(fanout).is_ok()
    }

    /// Whether a room of so many can be told once more within its rate.
    fn may_tell(&self, app: AppId, members: usize) -> bool {
        let Some(rate) = *self.rate.get() else { return true };
        let (directory, now) = (self.router.directory(), self.clock.now());
        let may = directory.may_announce(app, &rate, now, members as u64);
        if !may {
            self.router.metrics().shared.announcements_deferred.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Sends the digests that are due. What one overloaded reactor refuses is
    /// not told again: the others would hear it twice, and `online` in the next
    /// digest is right for all.
    pub fn send_digests(&self, digests: &mut Digests, now: Duration) {
        if self.silent.load(Ordering::Relaxed) {
            return;
        }
        for digest in digests.due(self.router.directory().noted(), now) {
            let (app, except) = (digest.app, UserId::default());
            // When so many announcements are under way the next digest tells `online`.
            let Ok(ticket) = self.router.broadcasts().announce() else { continue };
            let frame = self.encode(&digest);
            let fanout = Fanout { app, except, frame, announcement: None, ticket };
            if self.router.fan_out(fanout).is_ok() {
                self.router.metrics().shared.digests.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn encode(&self, digest: &Noted) -> Frame {
        push::presence(self.ids.next(), digest.joined, digest.left, digest.online)
    }
}

/// The largest room that may fill at once has some 2,000 members, if `exact_up_to` is larger.
const FILLING_MAX: u64 = 2_000_000;

/// When each room gets its next digest.
///
/// All rooms share one allowance: a digest to a room of n users is n messages,
/// and after it no room gets one for n / `per_second` seconds. Who has waited
/// longest is first. No room gets more than one a second.
#[derive(Debug)]
pub struct Digests {
    per_second: u64,
    rooms: Vec<Told>,
    /// Up to when the allowance is spent.
    spent_until: Duration,
}

/// What a room was told last.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    joined: u64,
    left: u64,
    /// When that was; none before the first.
    at: Option<Duration>,
}

const DIGEST_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What was not spent in this time is gone: as long as it takes until somebody
/// asks again, so that many small rooms can be told at once.
const UNSPENT_MAX: Duration = Duration::from_secs(1);

impl Digests {
    /// Digests that may cost `per_second` messages together; 0 means there are none.
    #[must_use]
    pub fn new(per_second: u64) -> Self {
        Self { per_second, rooms: Vec::new(), spent_until: Duration::ZERO }
    }

    /// Lets digests cost so many messages a second from now on.
    pub fn set_rate(&mut self, per_second: u64) {
        self.per_second = per_second;
    }

    /// The digests due at `now`: what has changed since each room's last one.
    /// Rooms come in the same order each time.
    fn due(&mut self, rooms: impl Iterator<Item = Noted>, now: Duration) -> Vec<Noted> {
        let mut due = Vec::new();
        if self.per_second == 0 {
            return due;
        }
        let rooms: Vec<Noted> = rooms.collect();
        self.rooms.resize(rooms.len(), Told::default());
        let nanos_each = 1_000_000_000 / self.per_second;
        self.spent_until = self.spent_until.max(now.saturating_sub(UNSPENT_MAX));
        let mut waiting: Vec<usize> = (0..rooms.len())
            .filter(|room| self.rooms[*room].is_waiting(&rooms[*room], now))
            .collect();
        waiting.sort_by_key(|room| self.rooms[*room].at);
        for room in waiting {
            if self.spent_until > now {
                break;
            }
            let (noted, told) = (&rooms[room], &mut self.rooms[room]);
            self.spent_until += Duration::from_nanos(noted.online as u64 * nanos_each);
            let (joined, left) = (noted.joined - told.joined, noted.left - told.left);
            *told = Told { joined: noted.joined, left: noted.left, at: Some(now) };
            due.push(Noted { joined, left, ..*noted });
        }
        due
    }
}

impl Told {
    fn is_waiting(&self, noted: &Noted, now: Duration) -> bool {
        let changed = noted.joined != self.joined || noted.left != self.left;
        changed && self.at.is_none_or(|at| now >= at + DIGEST_INTERVAL_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Directory;
    use super::*;
    use crate::id::ConnId;
    use crate::link::{Mail, mailbox};
    use crate::metrics::Metrics;

    fn noted(app: u32, joined: u64, left: u64, online: usize) -> Noted {
        Noted { app: AppId(app), joined, left, online }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_digest_tells_what_is_new_since_the_last() {
        let mut digests = Digests::new(10_000);
        assert_eq!(digests.due([noted(1, 5, 1, 4)].into_iter(), at(0)), [noted(1, 5, 1, 4)]);
        assert_eq!(digests.due([noted(1, 5, 1, 4)].into_iter(), at(9)), []);
        assert_eq!(digests.due([noted(1, 7, 2, 5)].into_iter(), at(9)), [noted(1, 2, 1, 5)]);
        assert_eq!(digests.due([noted(1, 8, 2, 5)].into_iter(), at(9)), [], "once a second");
    }

    /// What waits while the room grows past exactness is told in a digest, once.
    #[test]
    fn an_announcement_that_the_room_has_outgrown_is_withdrawn() {
        let (post, mailbox) = mailbox(64).unwrap();
        let directory = Arc::new(Directory::new(&[101]));
        let router = Router::new(Arc::clone(&directory), vec![post], Metrics::new(1));
        let announcer = Announcer::new(Arc::new(router), 2, Language::Reference);
        let log_in = |name: &str| {
            let conn = ConnId { reactor: 0, slot: 1, serial: 1 };
            let user = Arc::new(User::new(AppId(101), name.into(), conn));
            announcer.arrived(&user, directory.login(Arc::clone(&user)).unwrap());
        };
        log_in("ua");
        log_in("ub");
        let Some(Mail::Fanout(fanout)) = mailbox.take() else { panic!("told exactly") };
        assert!(announcer.is_due(&fanout));
        log_in("uc");
        let joined = || directory.noted().next().unwrap().joined;
        assert_eq!(joined(), 1, "the third is left to the digest");
        assert!(!announcer.is_due(&fanout));
        assert!(!announcer.is_due(&fanout));
        assert_eq!(joined(), 2, "and so is the first, counted once");
    }

    /// One user who logs in and out all the time must not cost the room a flood.
    #[test]
    fn what_is_above_the_rate_of_a_room_is_left_to_the_digest() {
        let (post, mailbox) = mailbox(4_096).unwrap();
        let directory = Arc::new(Directory::new(&[101, 102]));
        let router = Router::new(Arc::clone(&directory), vec![post], Metrics::new(1));
        let announcer = Announcer::new(Arc::new(router), 100, Language::Reference);
        announcer.set_exact_rate(1);
        let log_in = |app: u32, name: &str| {
            let conn = ConnId { reactor: 0, slot: 1, serial: 1 };
            let user = Arc::new(User::new(AppId(app), name.into(), conn));
            announcer.arrived(&user, directory.login(Arc::clone(&user)).unwrap());
            user
        };
        for number in 0..100 {
            log_in(101, &format!("u{number}"));
        }
        let told = || std::iter::from_fn(|| mailbox.take()).count();
        assert_eq!(told(), 100, "a room may fill at once");
        for _ in 0..50 {
            let user = log_in(101, "churner");
            announcer.departed(&user, directory.logout(&user).unwrap());
        }
        assert!(told() <= 1);
        let noted = directory.noted().next().unwrap();
        assert!(noted.joined >= 49 && noted.left >= 49, "{noted:?}");
        log_in(102, "ann");
        assert_eq!(told(), 1, "another room has a rate of its own");
    }

    /// Seconds at which a room of so many hears, if something changes all the time.
    fn told_at(online: usize, seconds: u64) -> Vec<u64> {
        let mut digests = Digests::new(10_000);
        let mut room =
            |second| digests.due([noted(1, second + 1, 0, online)].into_iter(), at(second));
        (100..100 + seconds).filter(|second| !room(*second).is_empty()).collect()
    }

    #[test]
    fn the_interval_grows_with_the_room() {
        assert_eq!(told_at(2_000, 3), [100, 101, 102]);
        assert_eq!(told_at(100_000, 30), [100, 109, 119, 129]);
        assert_eq!(told_at(1_000_000, 250), [100, 199, 299]);
    }

    /// Rooms that change by turns, each alone in its second, share the allowance too.
    #[test]
    fn rooms_that_change_by_turns_do_not_spend_more() {
        let mut digests = Digests::new(10);
        let (mut joined, mut messages) = ([0; 4], 0);
        for second in 0..400 {
            joined[second as usize % 4] += 1;
            let rooms = joined.iter().zip(1..).map(|(joined, app)| noted(app, *joined, 0, 30));
            messages += digests.due(rooms, at(second)).len() * 30;
        }
        assert!(messages <= 10 * 400 + 60, "{messages}");
        assert!(messages >= 10 * 390, "the allowance is used: {messages}");
    }

    #[test]
    fn all_digests_together_stay_below_the_allowance() {
        let mut digests = Digests::new(10_000);
        let sizes = [3_000_u64, 50_000, 400_000];
        let mut messages = 0;
        let seconds = 4_000;
        for second in 0..seconds {
            let rooms = sizes
                .iter()
                .zip(1..)
                .map(|(size, app)| noted(app, second + 1, 0, usize::try_from(*size).unwrap()));
            let due = digests.due(rooms, at(second));
            messages += due.iter().map(|digest| digest.online as u64).sum::<u64>();
        }
        assert!(messages <= 10_000 * seconds + sizes[2], "{messages}");
        assert!(messages >= 8_000 * seconds, "the allowance is used: {messages}");
    }

    #[test]
    fn an_allowance_of_nothing_means_no_digests() {
        assert_eq!(Digests::new(0).due([noted(1, 5, 1, 4)].into_iter(), at(0)), []);
    }
}
