//! A user who is logged in.

use crate::id::{AppId, ConnId, UserId};
use std::sync::atomic::{AtomicBool, Ordering};

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
    slot: u32,
    serial: u32,
    reactor: u16,
    displaced: AtomicBool,
}

impl User {
    /// A login of `id` in `app` on the connection `conn`.
    #[must_use]
    pub fn new(app: AppId, id: UserId, conn: ConnId) -> Self {
        let ConnId { reactor, slot, serial } = conn;
        Self { id, app, slot, serial, reactor, displaced: AtomicBool::new(false) }
    }

    /// The connection that logged in.
    #[must_use]
    pub fn conn(&self) -> ConnId {
        ConnId { reactor: self.reactor, slot: self.slot, serial: self.serial }
    }

    /// True once a newer login of the same user has taken the registration over.
    #[must_use]
    pub fn is_displaced(&self) -> bool {
        self.displaced.load(Ordering::Acquire)
    }

    /// Ends the registration; the connection stays open but receives nothing more.
    pub(crate) fn displace(&self) {
        self.displaced.store(true, Ordering::Release);
    }
}

/// Two counts of 8 bytes that `Arc` puts before its content.
const ARC_COUNTS: usize = 16;
const _: () = assert!(size_of::<User>() + ARC_COUNTS <= 56);
