//! Orders that are about some of the connections: closing them, watching them.

use super::Tap;
use crate::address::Network;
use crate::id::{AppId, UserId};
use std::fmt;

/// Which connections are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One, if it is still the one with this serial.
    Conn {
        /// Index in the reactor's slab.
        slot: u32,
        /// Stamp given at accept.
        serial: u32,
    },
    /// Those on which a user is logged in, also where a newer login has taken over.
    User {
        /// On which app; `None` on any.
        app: Option<AppId>,
        /// The name.
        user: UserId,
    },
    /// Those of all users of an app.
    App(AppId),
    /// Those of clients from a network.
    Network(Network),
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conn { slot, serial } => write!(f, "connection {slot}.{serial}"),
            Self::User { app: Some(app), user } => write!(f, "user {user} of app {app}"),
            Self::User { app: None, user } => write!(f, "user {user} of every app"),
            Self::App(app) => write!(f, "app {app}"),
            Self::Network(network) => write!(f, "network {network}"),
        }
    }
}

/// Closes connections with 3503.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kick {
    /// Which.
    pub whom: Whom,
    /// What the clients are told.
    pub reason: String,
}

/// Watches connections, those that are there and those that come.
#[derive(Debug)]
pub struct Trace {
    /// Its number, by which it is ended.
    pub id: u64,
    /// Which.
    pub whom: Whom,
    /// Where to tell of them.
    pub tap: Tap,
}

/// Tells of connections as they are. A reactor drops it when it has looked at all of its
/// connections: the channel behind the tap ends with the last reactor.
#[derive(Debug)]
pub struct Find {
    /// Which.
    pub whom: Whom,
    /// Where to tell of them, with [`Happening::Begin`](super::Happening::Begin).
    pub tap: Tap,
}
