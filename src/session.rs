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
        Duration::from_millis(now.saturating_sub(age.into()) * UNIT_MS)
    }

    /// True once a newer login of the same user has taken the registration over.
    #[must_use]
    pub fn is_displaced(&self) -> bool {
        self.state.load(Ordering::Acquire) & DISPLACED != 0
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
}
