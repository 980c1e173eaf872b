//! One connection as a machine without input and output.
//!
//! Bytes, frames and ticks go in. What has to happen comes out: [`Effect`]s that the owner
//! executes, replies that it writes, an [`Ending`] that it carries out. Writes go through an
//! `impl Write` that the owner brings along, so that a frame which the kernel takes at once is
//! never copied. No socket, no clock and no other thread is known here, so tests can try every
//! order of events.
//!
//! What comes in passes these stages: the header of a PROXY protocol, TLS, the request head,
//! frames. Each of them keeps what has not wholly arrived, and nothing else.

mod deadline;
mod ending;
mod extra;
mod flow;
mod input;
mod outbox;
mod receive;
mod rules;
mod snapshot;
mod tls;
mod write;

pub use deadline::Overdue;
pub use ending::{After, Ending, Settled};
pub use extra::{BadTokens, Extra};
pub use flow::FlowRules;
pub use input::{Effect, Fault, Input, Output, Scratch};
pub use receive::Received;
pub use rules::Rules;
pub use snapshot::{Backlog, Phase, Snapshot};
pub use write::Sent;

pub(crate) use input::append_no_room;

use crate::id::{AppId, UserId};
use crate::session::User;
use crate::websocket::handshake::Endpoint;
use crate::websocket::message::Assembly;
use extra::Security;
use std::sync::Arc;

/// The state of a connection. An idle one owns no buffer.
#[derive(Debug)]
pub struct Connection {
    /// Tick of the accept, of the last complete frame, or of the beginning of the
    /// end, whichever its state counts from.
    pub(crate) since: u32,
    /// Whether there may be unread input.
    pub(crate) unread: Unread,
    /// What its owner notes of it.
    pub(crate) marks: Marks,
    outbox: Option<Box<outbox::Outbox>>,
    /// What only some have; most have none of it.
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) state: State,
}

/// Room is left in a cache line of 64 bytes for a socket, a serial and two links of the wheel.
const _: () = assert!(size_of::<Connection>() <= 48);
const _: () = assert!(size_of::<Option<Connection>>() == size_of::<Connection>());

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum State {
    /// The request head has not wholly arrived; what has is kept.
    #[allow(clippy::box_collection, reason = "a Vec of three words would not fit the cache line")]
    Handshake { head: Option<Box<Vec<u8>>> },
    /// Messages go to and fro.
    Open(Open),
    /// The last bytes to the peer are under way; what it sends is thrown away.
    Closing(After),
    /// It is over.
    Dead,
}

/// Whether there may be input that no event will tell of again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// No.
    No,
    /// Yes: the connection waits in its owner's list for its next turn.
    Queued,
    /// Yes, but it is not read before the peer has taken more of its backlog.
    Paused,
}

/// What the owner of a connection notes of it: a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u8);

/// One of [`Marks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mark {
    /// What it says and hears is traced.
    Traced = 1,
    /// It is in its owner's list of connections with a backlog.
    Backlogged = 2,
    /// It is in its owner's list of connections that keep bytes of what has not wholly arrived.
    Holding = 4,
}

impl Marks {
    /// Whether it is noted.
    pub(crate) fn has(self, mark: Mark) -> bool {
        self.0 & mark as u8 != 0
    }

    /// Notes it, or not any more.
    pub(crate) fn set(&mut self, mark: Mark, is_noted: bool) {
        self.0 = if is_noted { self.0 | mark as u8 } else { self.0 & !(mark as u8) };
    }
}

/// What only an open connection has.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) endpoint: Endpoint,
    /// Position in the member list of its app; meaningless without a user.
    pub(crate) member: u32,
    pub(crate) user: Option<Arc<User>>,
    /// The client has said that it understands that its login may be displaced.
    pub(crate) understands_displaced: bool,
    /// It has been told that it is.
    pub(crate) is_told_displaced: bool,
    assembly: Option<Box<Assembly>>,
}

impl Connection {
    /// A connection that is accepted at this tick; `extra` is what its listener asks for.
    #[must_use]
    pub fn new(extra: Option<Box<Extra>>, tick: u32) -> Self {
        Self {
            since: tick,
            unread: Unread::No,
            marks: Marks::default(),
            outbox: None,
            extra,
            state: State::Handshake { head: None },
        }
    }

    /// The request is granted: frames come from here on.
    pub fn open(&mut self, endpoint: Endpoint, tick: u32) {
        self.state = State::Open(Open {
            endpoint,
            member: 0,
            user: None,
            understands_displaced: false,
            is_told_displaced: false,
            assembly: None,
        });
        self.since = tick;
    }

    /// What is uncommon about it, made when it is first needed.
    pub fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Whether what comes over the socket is not yet what the client says.
    #[must_use]
    pub fn is_wrapped(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.wraps())
    }

    /// Whether what is written has to be encrypted.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| matches!(extra.security, Security::Tls(_)))
    }

    /// Whether the next bytes may belong to a handshake of TLS, which costs far more than
    /// anything else that a client can ask for.
    #[must_use]
    pub fn may_shake(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.may_shake())
    }

    /// Whether messages go to and fro.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether its end has not begun.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self.state, State::Handshake { .. } | State::Open(_))
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead)
    }

    /// What an open connection has.
    pub(crate) fn opened(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }

    /// The login of an open connection, displaced or not.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<User>> {
        match &self.state {
            State::Open(open) => open.user.as_ref(),
            _ => None,
        }
    }

    /// The app and the name of that login.
    #[must_use]
    pub fn user_key(&self) -> Option<(AppId, UserId)> {
        self.user().map(|user| (user.app, user.id.clone()))
    }

    /// Bytes that are kept of what has not wholly arrived.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let raw = self.extra.as_ref().map_or(0, |extra| extra.raw.capacity());
        let rest = match &self.state {
            State::Handshake { head } => head.as_ref().map_or(0, |head| head.capacity()),
            State::Open(Open { assembly, .. }) => {
                assembly.as_ref().map_or(0, |assembly| assembly.held_bytes())
            }
            State::Closing(_) | State::Dead => 0,
        };
        raw + rest
    }

    /// Whether a part of a request is kept.
    #[must_use]
    pub fn keeps_head(&self) -> bool {
        matches!(self.state, State::Handshake { head: Some(_) })
    }

    /// How soon a connection ends when too much is kept: the more it keeps, and the longer it
    /// has done so, the sooner.
    #[must_use]
    pub fn held_weight(&self, tick: u32) -> u64 {
        let since = match &self.state {
            State::Open(Open { assembly: Some(assembly), .. }) => assembly.since,
            _ => None,
        };
        let age = tick.saturating_sub(since.unwrap_or(self.since));
        self.held_bytes() as u64 * (u64::from(age) + 1)
    }

    /// Forgets what was kept; returns how many bytes that were.
    pub fn release_held(&mut self) -> usize {
        let held = self.held_bytes();
        if let Some(extra) = &mut self.extra {
            extra.raw = Vec::new();
        }
        match &mut self.state {
            State::Handshake { head } => *head = None,
            State::Open(open) => open.assembly = None,
            State::Closing(_) | State::Dead => {}
        }
        held
    }
}

#[cfg(test)]
mod tests;
