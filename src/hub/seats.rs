//! The connections of each user, where their number is bounded
//! (`limits.connections_per_user`). Otherwise nothing is kept here.

use crate::id::{ConnId, UserKey};
use crate::session::User;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who sits where, in the order of their coming; some 150 bytes a user.
#[derive(Debug)]
pub struct Seats {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Somebody has been seated since the start; until then an end has nothing to give back.
    are_used: AtomicBool,
}

type Shard = HashMap<UserKey, VecDeque<ConnId>>;

const SHARDS: usize = 64;

impl Default for Seats {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, hasher: RandomState::new(), are_used: AtomicBool::new(false) }
    }
}

impl Seats {
    /// Seats a user who has logged in on one more connection. If there are now more than
    /// `max`, the oldest have to go, and are told of here no more. Returns them, oldest first.
    #[must_use]
    pub fn take(&self, user: &User, max: usize) -> Vec<ConnId> {
        self.seat(user, max, |seats| seats.push_back(user.conn()))
    }

    /// Seats a user who has logged in before connections were bounded, if he is not seated already:
    /// before those who have come since. Returns those that have to go, as [`Seats::take`] does.
    /// Which of two connections in different reactors is older is not known.
    #[must_use]
    pub fn settle(&self, user: &User, max: usize) -> Vec<ConnId> {
        let conn = user.conn();
        // Serials may begin anew after 2³².
        let is_older = |seat: &ConnId| {
            seat.reactor == conn.reactor && conn.serial.wrapping_sub(seat.serial) < 1 << 31
        };
        self.seat(user, max, |seats| {
            if !seats.contains(&conn) {
                let place = seats.iter().rposition(is_older).map_or(0, |last| last + 1);
                seats.insert(place, conn);
            }
        })
    }

    fn seat(
        &self,
        user: &User,
        max: usize,
        add: impl FnOnce(&mut VecDeque<ConnId>),
    ) -> Vec<ConnId> {
        self.are_used.store(true, Ordering::Relaxed);
        let key = key_of(user);
        let mut shard = self.shard(&key);
        let seats = shard.entry(key).or_default();
        add(seats);
        let excess = seats.len().saturating_sub(max);
        seats.drain(..excess).collect()
    }

    /// A connection has ended.
    pub fn leave(&self, user: &User) {
        if !self.are_used.load(Ordering::Relaxed) {
            return;
        }
        let key = key_of(user);
        let mut shard = self.shard(&key);
        if let Some(seats) = shard.get_mut(&key) {
            seats.retain(|conn| *conn != user.conn());
            if seats.is_empty() {
                shard.remove(&key);
            }
        }
    }

    /// Nothing panics with a lock held half-way through a change.
    fn shard(&self, key: &UserKey) -> MutexGuard<'_, Shard> {
        // Less than SHARDS, which fits any word.
        let index = (self.hasher.hash_one(key) % SHARDS as u64) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(user: &User) -> UserKey {
    UserKey { app: user.app, user: user.id.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AppId;

    fn user(name: &str, serial: u32) -> User {
        User::new(AppId(101), name.into(), ConnId { reactor: 0, slot: serial, serial })
    }

    #[test]
    fn the_oldest_has_to_go() {
        let seats = Seats::default();
        let [first, second, third] = [1, 2, 3].map(|serial| user("ann", serial));
        assert_eq!(seats.take(&first, 2), []);
        assert_eq!(seats.take(&second, 2), []);
        assert_eq!(seats.take(&user("bob", 9), 2), []);
        assert_eq!(seats.take(&third, 2), [first.conn()]);
        seats.leave(&first);
        seats.leave(&second);
        assert_eq!(seats.take(&user("ann", 4), 2), [], "who has left makes room");
        for gone in [&third, &user("ann", 4), &user("bob", 9)] {
            seats.leave(gone);
        }
        assert!(seats.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn a_lower_bound_closes_all_that_are_above_it() {
        let seats = Seats::default();
        let users = [1, 2, 3, 4].map(|serial| user("ann", serial));
        for user in &users {
            assert_eq!(seats.take(user, 4), []);
        }
        let first_two = [users[0].conn(), users[1].conn()];
        assert_eq!(seats.settle(&users[3], 2), first_two, "the order of coming counts");
        assert_eq!(seats.settle(&users[2], 2), []);
        assert_eq!(seats.take(&user("ann", 5), 1), [users[2].conn(), users[3].conn()]);
    }

    #[test]
    fn who_came_before_the_bound_is_older_than_who_came_after_it() {
        let seats = Seats::default();
        let [first, second, third] = [1, 2, 3].map(|serial| user("ann", serial));
        assert_eq!(seats.take(&third, 2), []);
        assert_eq!(seats.settle(&first, 2), []);
        assert_eq!(seats.settle(&second, 2), [first.conn()]);
    }
}
