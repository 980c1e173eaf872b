//! Orders to a reactor.

use super::broadcast::Ticket;
use super::whom::{Find, Kick, Trace};
use crate::address::ClientAddr;
use crate::config::Language;
use crate::envelope::Frame;
use crate::id::{AppId, UserId};
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One order to a reactor.
#[derive(Clone, Debug)]
pub enum Mail {
    /// Write `frame` to the connection in `slot`, if it is still the one with this `serial`.
    Deliver {
        /// Index in the reactor's slab.
        slot: u32,
        /// Stamp of the connection meant.
        serial: u32,
        /// What to write.
        frame: Frame,
    },
    /// Write to every member of an app that this reactor owns.
    Fanout(Arc<Fanout>),
    /// Show that this reactor takes its mail, by this number in its counters.
    Canary(u64),
    /// A budget is spent, of output or of what has not wholly arrived, and this reactor holds
    /// most: give some back.
    Shed,
    /// Close this connection: its user has logged in on too many others since.
    Replaced {
        /// Index in the reactor's slab.
        slot: u32,
        /// Stamp of the connection meant.
        serial: u32,
    },
    /// Tell this connection that a newer login of its user has taken its place.
    Displaced {
        /// Index in the reactor's slab.
        slot: u32,
        /// Stamp of the connection meant.
        serial: u32,
    },
    /// The settings have been replaced: look again.
    Reload,
    /// Tell where the clients are whose connections begin at this slot, as many as
    /// fit a page.
    Clients {
        /// The first slot.
        from: u32,
        /// Where the page goes: a box with room for it, or it is lost.
        to: Sender<ClientPage>,
    },
    /// Close some of the connections.
    Kick(Arc<Kick>),
    /// Tell of some of the connections from now on.
    Trace(Arc<Trace>),
    /// Tell of these connections as they are now.
    Find(Arc<Find>),
    /// Tell no more for the trace of this number.
    EndTrace(u64),
    /// Close everything by the schedule of [`super::Drain`], then end.
    Drain,
}

/// Where some clients are.
#[derive(Clone, Debug)]
pub struct ClientPage {
    /// Their addresses.
    pub clients: Vec<ClientAddr>,
    /// The slot that the next page begins at; `None` if this was the last.
    pub next: Option<u32>,
}

/// One message to a whole app; every reactor gets a pointer to the same one.
#[derive(Debug)]
pub struct Fanout {
    /// Whose members.
    pub app: AppId,
    /// The one user to leave out, by name; empty leaves out nobody.
    pub except: UserId,
    /// What to write.
    pub frame: Frame,
    /// What it announces, if it is an announcement.
    pub announcement: Option<Announcement>,
    /// Its admission, which ends when the last reactor is done with it.
    pub ticket: Ticket,
}

/// That somebody came or went. As long as it waits it can still be withdrawn,
/// to be told in a digest instead.
#[derive(Debug)]
pub struct Announcement {
    /// What has happened.
    pub change: Change,
    withdrawn: AtomicBool,
}

/// What has happened to a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Somebody has joined.
    Joined,
    /// Somebody has left.
    Left,
    /// Somebody who was there has another connection now.
    Moved,
}

impl Change {
    /// The push's cmd, as clients of the reference know it, and its text.
    #[must_use]
    pub fn words(self, language: Language) -> (&'static str, &'static str) {
        match (self, language) {
            (Self::Joined | Self::Moved, Language::Reference) => ("enter", "哈喽~"),
            (Self::Joined | Self::Moved, Language::English) => ("enter", "Hello"),
            (Self::Left, Language::Reference) => ("exit", "用户已经离开~"),
            (Self::Left, Language::English) => ("exit", "The user has left"),
        }
    }
}

impl Announcement {
    /// A fresh one.
    #[must_use]
    pub fn new(change: Change) -> Self {
        Self { change, withdrawn: AtomicBool::new(false) }
    }

    /// Withdraws it; true for the first of the reactors to do so.
    pub fn withdraw(&self) -> bool {
        !self.withdrawn.swap(true, Ordering::Relaxed)
    }
}
