//! Who is logged in on this node: the one structure that all threads share.
//!
//! Invariant: a shard is locked at login, at logout, once for a message to one
//! user, and for one page of a list; never across I/O, and never for a
//! heartbeat or for a recipient of a broadcast.

use super::rooms::Rooms;
use crate::id::{AppId, ConnId, UserId};
use crate::limits::APPS_MAX;
use crate::link::{Rate, SharedRate};
use crate::session::User;
use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Users by app and name.
#[derive(Debug)]
pub struct Directory {
    rooms: Rooms<Room>,
    /// SipHash with a random key: names are chosen by strangers.
    hasher: RandomState,
}

/// There is no place for another app in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {APPS_MAX} apps since the start")]
pub struct TooManyApps;

/// One app: its users, in shards by the first bits of their hash.
#[derive(Debug)]
struct Room {
    app: AppId,
    shards: Box<[CachePadded<Shard>]>,
    members: AtomicUsize,
    joined: AtomicU64,
    left: AtomicU64,
    /// What exact announcements have cost.
    announced: SharedRate,
}

type Shard = Mutex<HashTable<Arc<User>>>;

/// What a login has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How many users the room has now.
    pub members: usize,
    /// The connection that has lost the registration, if the user was here already.
    pub displaced: Option<ConnId>,
}

impl Arrival {
    /// False if the user was here already and has only changed the connection.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.displaced.is_none()
    }
}

/// A piece of a room's list.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Users, in the order of their hashes.
    pub users: Vec<T>,
    /// Where the next piece begins; `None` after the last.
    pub next: Option<u64>,
}

/// 256 shards: at a million users in one room a page holds a lock for some
/// 4,000 pointers, and 64 reactors seldom meet.
const SHARD_BITS: u32 = 8;

impl Directory {
    /// A directory of these apps, nobody in it.
    #[must_use]
    pub fn new(apps: &[u32]) -> Self {
        let directory = Self { rooms: Rooms::new(), hasher: RandomState::new() };
        // The configuration has no more than fit.
        let _all_fit = directory.add_apps(apps);
        directory
    }

    /// Adds those of these apps that are not there yet. None ever goes: users
    /// who are in one that the configuration has no more stay until they leave.
    ///
    /// # Errors
    /// [`TooManyApps`] when they do not all fit; then none is added.
    pub fn add_apps(&self, apps: &[u32]) -> Result<(), TooManyApps> {
        let mut ids = apps.to_vec();
        ids.sort_unstable();
        ids.dedup();
        self.rooms.add(ids.into_iter().map(AppId).map(|app| (app, Room::new(app))).collect())
    }

    /// The apps in the order of their numbers, those too that the configuration
    /// had before: ascending as they were at the start, then as they came.
    pub fn apps(&self) -> impl Iterator<Item = AppId> + '_ {
        self.rooms.iter().map(|room| room.app)
    }

    /// How many apps there are.
    #[must_use]
    pub fn apps_len(&self) -> usize {
        self.rooms.len()
    }

    /// The number of an app, below [`Directory::apps_len`] and always the same;
    /// `None` if there is no such app.
    #[must_use]
    pub fn room_of(&self, app: AppId) -> Option<usize> {
        self.rooms.position(app)
    }

    /// Registers a login, displacing an earlier one of the same user; `None`
    /// if there is no such app.
    pub fn login(&self, user: Arc<User>) -> Option<Arrival> {
        let room = self.rooms.get(user.app)?;
        let hash = self.hasher.hash_one(user.id.as_str());
        let mut shard = room.shard(hash);
        let found = shard.find_mut(slot_hash(hash), |other| other.id == user.id);
        if let Some(earlier) = found {
            user.follow(earlier);
            earlier.displace();
            let displaced = Some(earlier.conn());
            *earlier = user;
            return Some(Arrival { members: room.members.load(Ordering::Relaxed), displaced });
        }
        let rehash = |user: &Arc<User>| slot_hash(self.hasher.hash_one(user.id.as_str()));
        shard.insert_unique(slot_hash(hash), user, rehash);
        let members = room.members.fetch_add(1, Ordering::Relaxed) + 1;
        Some(Arrival { members, displaced: None })
    }

    /// Removes a login if it still holds the registration. Returns how many
    /// users the room has left; `None` if a newer login had displaced it.
    pub fn logout(&self, user: &Arc<User>) -> Option<usize> {
        let room = self.rooms.get(user.app)?;
        let hash = self.hasher.hash_one(user.id.as_str());
        let mut shard = room.shard(hash);
        let entry = shard.find_entry(slot_hash(hash), |other| Arc::ptr_eq(other, user)).ok()?;
        entry.remove();
        Some(room.members.fetch_sub(1, Ordering::Relaxed) - 1)
    }

    /// Whether an announcement to a room may cost `messages` by this rate; then they are spent.
    pub fn may_announce(&self, app: AppId, rate: &Rate, now: Duration, messages: u64) -> bool {
        self.rooms.get(app).is_some_and(|room| room.announced.take_many(rate, now, messages))
    }

    /// The connection that holds a user's registration.
    #[must_use]
    pub fn find(&self, app: AppId, user: &str) -> Option<ConnId> {
        let room = self.rooms.get(app)?;
        let hash = self.hasher.hash_one(user);
        let shard = room.shard(hash);
        shard.find(slot_hash(hash), |other| other.id == user).map(|user| user.conn())
    }

    /// The login that holds a user's registration.
    #[must_use]
    pub fn registration(&self, app: AppId, user: &str) -> Option<Arc<User>> {
        let room = self.rooms.get(app)?;
        let hash = self.hasher.hash_one(user);
        let shard = room.shard(hash);
        shard.find(slot_hash(hash), |other| other.id == user).map(Arc::clone)
    }

    /// Ends the registration of this login in favour of another node's; false if it is
    /// not registered any more, for example because a newer login has taken its place. The
    /// connection stays open, as one that was displaced on its own node, and receives nothing more.
    pub fn displace(&self, user: &Arc<User>) -> bool {
        let Some(room) = self.rooms.get(user.app) else { return false };
        let hash = self.hasher.hash_one(user.id.as_str());
        let mut shard = room.shard(hash);
        let found = shard.find_entry(slot_hash(hash), |other| Arc::ptr_eq(other, user));
        let Ok(entry) = found else { return false };
        entry.remove();
        user.displace();
        room.members.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Users of one room; 0 for an app that does not exist.
    #[must_use]
    pub fn members(&self, app: AppId) -> usize {
        self.rooms.get(app).map_or(0, |room| room.members.load(Ordering::Relaxed))
    }

    /// Users of all rooms.
    #[must_use]
    pub fn users(&self) -> usize {
        self.rooms.iter().map(|room| room.members.load(Ordering::Relaxed)).sum()
    }

    /// The users of a room from position `from` on (0 is the beginning): one
    /// shard at a time, so that the lock is short; a page may be empty and
    /// still have a next one. Whoever is logged in through the whole walk is
    /// listed exactly once.
    #[must_use]
    pub fn page(&self, app: AppId, from: u64, max: usize) -> Page<UserId> {
        self.page_of(app, from, max, |user| user.id.clone())
    }

    /// The same with the whole registrations.
    #[must_use]
    pub fn registrations(&self, app: AppId, from: u64, max: usize) -> Page<Arc<User>> {
        self.page_of(app, from, max, Arc::clone)
    }

    fn page_of<T>(
        &self,
        app: AppId,
        from: u64,
        max: usize,
        of: impl Fn(&Arc<User>) -> T,
    ) -> Page<T> {
        let Some(room) = self.rooms.get(app) else {
            return Page { users: Vec::new(), next: None };
        };
        let shard = room.shard(from);
        let hashed = shard.iter().map(|user| (self.hasher.hash_one(user.id.as_str()), user));
        let mut found: Vec<(u64, &Arc<User>)> = hashed.filter(|(hash, _)| *hash >= from).collect();
        let next = if found.len() > max {
            let (_, (next, _), _) = found.select_nth_unstable_by_key(max, |(hash, _)| *hash);
            Some(*next)
        } else {
            let shard = from >> (u64::BITS - SHARD_BITS);
            (shard + 1 < 1 << SHARD_BITS).then(|| (shard + 1) << (u64::BITS - SHARD_BITS))
        };
        // Only who is on this page is sorted and copied.
        found.truncate(max);
        found.sort_unstable_by_key(|(hash, _)| *hash);
        Page { users: found.into_iter().map(|(_, user)| of(user)).collect(), next }
    }

    /// Notes an arrival that only the next digest tells.
    pub(super) fn note_joined(&self, app: AppId) {
        if let Some(room) = self.rooms.get(app) {
            room.joined.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes a departure that only the next digest tells.
    pub(super) fn note_left(&self, app: AppId) {
        if let Some(room) = self.rooms.get(app) {
            room.left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Arrivals and departures noted so far, for each room in the order of their numbers.
    pub(super) fn noted(&self) -> impl Iterator<Item = Noted> + '_ {
        self.rooms.iter().map(|room| Noted {
            app: room.app,
            joined: room.joined.load(Ordering::Relaxed),
            left: room.left.load(Ordering::Relaxed),
            online: room.members.load(Ordering::Relaxed),
        })
    }
}

/// Totals of a room since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) app: AppId,
    pub(super) joined: u64,
    pub(super) left: u64,
    pub(super) online: usize,
}

impl Room {
    fn new(app: AppId) -> Self {
        Self {
            app,
            shards: (0..1_usize << SHARD_BITS).map(|_| CachePadded::default()).collect(),
            members: AtomicUsize::new(0),
            joined: AtomicU64::new(0),
            left: AtomicU64::new(0),
            announced: SharedRate::default(),
        }
    }

    /// A thread that panicked with the lock held leaves a table that is whole:
    /// no operation on it panics half-way.
    fn shard(&self, hash: u64) -> MutexGuard<'_, HashTable<Arc<User>>> {
        let index = usize::try_from(hash >> (u64::BITS - SHARD_BITS)).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first bits chose the shard and are alike in all of it; the table takes
/// its tags from the first bits, so it gets others.
fn slot_hash(hash: u64) -> u64 {
    hash.rotate_left(SHARD_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: AppId = AppId(101);

    fn conn(serial: u32) -> ConnId {
        ConnId { reactor: 3, slot: 7, serial }
    }

    fn user(name: &str, serial: u32) -> Arc<User> {
        Arc::new(User::new(APP, name.into(), conn(serial)))
    }

    #[test]
    fn the_newest_login_holds_the_registration() {
        let directory = Directory::new(&[102, 101]);
        let (old, new) = (user("ua", 1), user("ua", 2));
        assert_eq!(
            directory.login(Arc::clone(&old)),
            Some(Arrival { members: 1, displaced: None })
        );
        assert_eq!(
            directory.login(Arc::clone(&new)),
            Some(Arrival { members: 1, displaced: Some(conn(1)) })
        );
        assert!(old.is_displaced() && !new.is_displaced());
        assert_eq!(directory.find(APP, "ua"), Some(conn(2)));
        assert_eq!(directory.logout(&old), None, "the older one announces nothing");
        assert_eq!(directory.find(APP, "ua"), Some(conn(2)));
        assert_eq!(directory.logout(&new), Some(0));
        assert_eq!(directory.find(APP, "ua"), None);
    }

    #[test]
    fn only_the_login_that_is_meant_is_displaced() {
        let directory = Directory::new(&[101]);
        let (old, new) = (user("ua", 1), user("ua", 2));
        directory.login(Arc::clone(&old));
        let meant = directory.registration(APP, "ua").unwrap();
        directory.login(Arc::clone(&new));
        assert!(!directory.displace(&meant), "a newer login has come meanwhile");
        assert!(!new.is_displaced());
        assert_eq!(directory.find(APP, "ua"), Some(conn(2)));
        assert!(directory.displace(&new) && new.is_displaced());
        assert_eq!((directory.find(APP, "ua"), directory.members(APP)), (None, 0));
    }

    #[test]
    fn apps_are_rooms_of_their_own() {
        let directory = Directory::new(&[101, 102]);
        directory.login(user("ua", 1));
        assert_eq!(directory.find(AppId(102), "ua"), None);
        assert_eq!((directory.members(APP), directory.members(AppId(102))), (1, 0));
        let stranger = Arc::new(User::new(AppId(9), "ua".into(), conn(1)));
        assert_eq!(directory.login(stranger), None);
        assert_eq!(directory.users(), 1);
    }

    #[test]
    fn an_app_comes_while_others_are_used() {
        let directory = Directory::new(&[101, 300]);
        assert_eq!(directory.login(user("ua", 1)).unwrap().members, 1);
        let (before, none) = (directory.room_of(APP), directory.room_of(AppId(200)));
        assert_eq!(none, None);
        directory.add_apps(&[200, 101]).unwrap();
        assert_eq!(directory.room_of(APP), before, "numbers stay");
        assert_eq!(directory.room_of(AppId(200)), Some(2));
        assert_eq!(directory.apps().collect::<Vec<_>>(), [APP, AppId(300), AppId(200)]);
        assert_eq!(directory.find(APP, "ua"), Some(conn(1)));
        let many: Vec<u32> = (1_000..1_000 + u32::try_from(APPS_MAX).unwrap()).collect();
        assert_eq!(directory.add_apps(&many), Err(TooManyApps));
        assert_eq!(directory.apps_len(), 3, "none of them was added");
        directory.add_apps(&many[..APPS_MAX - 3]).unwrap();
        for app in directory.apps().collect::<Vec<_>>() {
            assert!(directory.room_of(app).is_some());
        }
        assert_eq!(directory.room_of(AppId(7)), None);
    }

    #[test]
    fn pages_list_everybody_once_whatever_their_size() {
        let directory = Directory::new(&[101]);
        let mut names: Vec<UserId> = (0..5_000).map(|n| format!("user-{n}").into()).collect();
        for name in &names {
            directory.login(user(name, 1));
        }
        names.sort_unstable();
        for max in [1, 7, 1_000_000] {
            let (mut listed, mut from) = (Vec::new(), Some(0));
            while let Some(at) = from {
                let page = directory.page(APP, at, max);
                assert!(page.users.len() <= max);
                listed.extend(page.users);
                from = page.next;
            }
            listed.sort_unstable();
            assert_eq!(listed, names);
        }
        assert_eq!(directory.page(AppId(7), 0, 10), Page { users: Vec::new(), next: None });
    }
}
