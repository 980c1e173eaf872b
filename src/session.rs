//! A user who is logged in.

use crate::id::{AppId, ConnId, UserId};
use crate::limits::{CONNECTIONS_PER_REACTOR_MAX, REACTORS_MAX};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The record of a login: stored once, shared by the connection and the directory.
///
/// Its fields are laid out so that an `Arc` of it is 56 bytes, which the
/// allocator serves from a block of 64.
#[derive(Debug)]
pub struct User {
    /// The name, unique within its app.
    pub id: UserId,
    /// The app (platform, room).
    pub app: AppId,
    /// Reactor and slot of the connection.
    place: u32,
    serial: u32,
    /// When the login took place, in units of [`UNIT_MS`], and the bit [`DISPLACED`].
    state: AtomicU32,
}

/// Set once another login has taken the registration over.
const DISPLACED: u32 = 1 << 31;

/// Milliseconds in one unit of a login's time. It wraps after 248 days: an older login
/// then looks newer than it is, which matters only if its user has moved meanwhile
/// and no notice of it has come.
const UNIT_MS: u64 = 10;

/// So many units the time of a login may lie ahead of the clock ([`User::postpone`]).
const AHEAD_MAX: u32 = 10;

/// Bits of [`User::place`] for the slot; the rest is for the reactor.
const SLOT_BITS: u32 = CONNECTIONS_PER_REACTOR_MAX.trailing_zeros();
const _: () = assert!(CONNECTIONS_PER_REACTOR_MAX.is_power_of_two());
const _: () = assert!(REACTORS_MAX <= 1 << (u32::BITS - SLOT_BITS));

impl User {
    /// A login of `id` in `app` on the connection `conn`, at time 0 of the node's clock.
    #[must_use]
    pub fn new(app: AppId, id: UserId, conn: ConnId) -> Self {
        Self::at(app, id, conn, Duration::ZERO)
    }

    /// The same at this time of the node's clock.
    #[must_use]
    pub fn at(app: AppId, id: UserId, conn: ConnId, time: Duration) -> Self {
        let ConnId { reactor, slot, serial } = conn;
        let place = u32::from(reactor) << SLOT_BITS | slot;
        Self { id, app, place, serial, state: AtomicU32::new(units(time)) }
    }

    /// The connection that logged in.
    #[must_use]
    pub fn conn(&self) -> ConnId {
        let reactor = u16::try_from(self.place >> SLOT_BITS).unwrap_or(u16::MAX);
        ConnId { reactor, slot: self.place & ((1 << SLOT_BITS) - 1), serial: self.serial }
    }

    /// When the login took place, by the node's clock, which shows `now`; to 10 ms.
    #[must_use]
    pub fn since(&self, now: Duration) -> Duration {
        let age = units(now).wrapping_sub(self.state.load(Ordering::Relaxed)) & !DISPLACED;
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX) / UNIT_MS;
        let ahead = DISPLACED - age;
        let since = if ahead <= AHEAD_MAX {
            now + u64::from(ahead)
        } else {
            now.saturating_sub(age.into())
        };
        Duration::from_millis(since * UNIT_MS)
    }

    /// Moves the time of the login, for all who compare it, to `time` or up to one unit later,
    /// if it is earlier. The node's clock shows `now`; a time that is far ahead of it moves nothing.
    pub(crate) fn postpone(&self, time: Duration, now: Duration) {
        let latest = now + Duration::from_millis(u64::from(AHEAD_MAX - 1) * UNIT_MS);
        if time <= self.since(now) || time > latest {
            return;
        }
        let moved = units(time + Duration::from_millis(UNIT_MS - 1));
        let keep_displaced = |state: u32| Some(state & DISPLACED | moved);
        // It cannot fail: the closure always answers.
        let _before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, keep_displaced);
    }

    /// True once a newer login of the same user has taken the registration over.
    #[must_use]
    pub fn is_displaced(&self) -> bool {
        self.state.load(Ordering::Acquire) & DISPLACED != 0
    }

    /// Takes the time of an earlier login of the user if that was postponed beyond this one's.
    pub(crate) fn follow(&self, earlier: &Self) {
        let theirs = earlier.state.load(Ordering::Relaxed) & !DISPLACED;
        let ours = self.state.load(Ordering::Relaxed);
        if theirs.wrapping_sub(ours) & !DISPLACED <= AHEAD_MAX {
            self.state.store(ours & DISPLACED | theirs, Ordering::Relaxed);
        }
    }

    /// Ends the registration; the connection stays open but receives nothing more.
    pub(crate) fn displace(&self) {
        self.state.fetch_or(DISPLACED, Ordering::Release);
    }
}

/// A time of the node's clock in units of [`UNIT_MS`], without the highest bit.
fn units(time: Duration) -> u32 {
    let units = time.as_millis() / u128::from(UNIT_MS) % u128::from(DISPLACED);
    u32::try_from(units).unwrap_or(0)
}

/// Two counts of 8 bytes that `Arc` puts before its content.
const ARC_COUNTS: usize = 16;
const _: () = assert!(size_of::<User>() + ARC_COUNTS <= 56);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_keeps_its_connection_and_its_time() {
        let last = u32::try_from(CONNECTIONS_PER_REACTOR_MAX - 1).unwrap();
        let reactor = u16::try_from(REACTORS_MAX - 1).unwrap();
        let conn = ConnId { reactor, slot: last, serial: u32::MAX };
        let month = Duration::from_secs(30 * 86_400);
        for start in [Duration::ZERO, Duration::from_millis(1_239), month * 8, month * 9] {
            let user = User::at(AppId(1), "ua".into(), conn, start);
            assert_eq!(user.conn(), conn);
            let rounded =
                Duration::from_millis(u64::try_from(start.as_millis()).unwrap() / 10 * 10);
            for later in [Duration::ZERO, Duration::from_secs(1), month] {
                assert_eq!(user.since(start + later), rounded, "{start:?} {later:?}");
            }
            user.displace();
            assert_eq!(user.since(start + month), rounded);
            assert!(user.is_displaced() && user.conn() == conn);
        }
    }

    #[test]
    fn a_login_is_postponed_and_never_brought_forward() {
        let ms = Duration::from_millis;
        let conn = ConnId { reactor: 0, slot: 1, serial: 1 };
        for start in [0, 5_000, u64::from(DISPLACED) * UNIT_MS - 30] {
            let user = User::at(AppId(1), "ua".into(), conn, ms(start));
            user.postpone(ms(start + 11), ms(start + 12));
            assert_eq!(user.since(ms(start + 12)), ms(start + 20), "one unit ahead of the clock");
            assert_eq!(user.since(ms(start + 60_000)), ms(start + 20));
            user.postpone(ms(start + 10), ms(start + 12));
            user.postpone(ms(start + 1_000), ms(start + 12));
            assert_eq!(user.since(ms(start + 12)), ms(start + 20));
            let next = User::at(AppId(1), "ua".into(), conn, ms(start + 5));
            next.follow(&user);
            assert_eq!(next.since(ms(start + 12)), ms(start + 20));
            let later = User::at(AppId(1), "ua".into(), conn, ms(start + 30));
            later.follow(&user);
            assert_eq!(later.since(ms(start + 30)), ms(start + 30));
            user.displace();
            user.postpone(ms(start + 50), ms(start + 12));
            assert!(user.is_displaced());
            assert_eq!(user.since(ms(start + 70)), ms(start + 50));
        }
    }
}
