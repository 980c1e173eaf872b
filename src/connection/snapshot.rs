//! The state of a connection as facts that do not depend on how it is kept, so that another
//! process can go on with it.
//!
//! What has come and is not understood yet is kept as bytes of the client that are shown again.
//! So the format is that of the protocols, and no part of the machine has to be written down.

use super::outbox::Outbox;
use super::{After, Connection, Extra, Open, Rules, State, Unread};
use crate::session::User;
use crate::websocket::handshake::Endpoint;
use crate::websocket::message::{Messages, Violation};
use bytes::Bytes;
use std::sync::Arc;

/// The state of a connection. Ticks are those of the owner's clock, which goes on.
#[derive(Debug)]
pub struct Snapshot {
    /// The tick that its deadline counts from.
    pub since: u32,
    /// How far it has come.
    pub phase: Phase,
    /// Bytes of the client that have come, to be shown again before all others: of a request,
    /// or of frames.
    pub pending: Vec<u8>,
    /// The tick since which they are kept, if they are of a message.
    pub pending_since: Option<u32>,
    /// What the peer has not taken.
    pub backlog: Option<Backlog>,
    /// There may be input that no event will tell of again.
    pub has_unread: bool,
    /// What is uncommon about it.
    pub extra: Option<Box<Extra>>,
}

/// How far a connection has come.
#[derive(Clone, Debug)]
pub enum Phase {
    /// The request has not wholly arrived.
    Request,
    /// Messages go to and fro.
    Open {
        /// What serves it.
        endpoint: Endpoint,
        /// Who has logged in; the owner registers the login.
        user: Option<Arc<User>>,
        /// The client has said that it understands that its login may be displaced.
        understands_displaced: bool,
        /// It has been told that it is.
        is_told_displaced: bool,
    },
    /// The last bytes are under way.
    Closing(After),
}

/// What a peer has not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Frames in the clear, in their order.
    pub entries: Vec<Bytes>,
    /// The first of them has been written in part; this is its rest.
    pub is_begun: bool,
    /// A frame is, or was, among them that is larger than a backlog may usually be.
    pub has_large: bool,
    /// Records that are encrypted already, and go before the frames.
    pub sealed: Vec<u8>,
}

impl Connection {
    /// Its state. `None` for one that is over, and for one that speaks TLS, whose keys the
    /// library keeps to itself.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let extra = match &self.extra {
            Some(extra) => Some(Box::new(extra.copied()?)),
            None => None,
        };
        let (mut pending, mut pending_since) = (Vec::new(), None);
        let phase = match &self.state {
            State::Handshake { head } => {
                pending.extend_from_slice(head.as_deref().map_or(&[], Vec::as_slice));
                Phase::Request
            }
            State::Open(open) => {
                if let Some(assembly) = &open.assembly {
                    assembly.append_wire(&mut pending);
                    pending_since = assembly.since;
                }
                Phase::Open {
                    endpoint: open.endpoint,
                    user: open.user.clone(),
                    understands_displaced: open.understands_displaced,
                    is_told_displaced: open.is_told_displaced,
                }
            }
            State::Closing(after) => Phase::Closing(*after),
            State::Dead => return None,
        };
        Some(Snapshot {
            since: self.since,
            phase,
            pending,
            pending_since,
            backlog: self.outbox.as_ref().map(|outbox| outbox.snapshot()),
            has_unread: self.unread != Unread::No,
            extra,
        })
    }

    /// A connection that goes on where `snapshot` was taken. It is in no list of its owner, and
    /// in no member list.
    ///
    /// # Errors
    /// When what has come of a message is too much for `rules`: the connection has to be closed
    /// with [`Violation::close_code`].
    pub fn restore(snapshot: Snapshot, rules: &Rules) -> Result<Self, Violation> {
        let Snapshot { since, phase, mut pending, pending_since, backlog, has_unread, extra } =
            snapshot;
        let mut connection = Self::new(extra, since);
        connection.outbox = backlog.map(|backlog| Box::new(Outbox::restore(backlog)));
        connection.unread = match has_unread {
            false => Unread::No,
            true if connection.backlog_bytes() > rules.congestion_bytes() => Unread::Paused,
            true => Unread::Queued,
        };
        connection.state = match phase {
            Phase::Request if pending.is_empty() => State::Handshake { head: None },
            Phase::Request => State::Handshake { head: Some(Box::new(pending)) },
            Phase::Open { endpoint, user, understands_displaced, is_told_displaced } => {
                let mut messages = Messages::new(None, &mut pending, &rules.message);
                // Nothing of it is whole: a snapshot holds what is under way.
                while messages.next()?.is_some() {}
                let mut assembly = messages.into_assembly();
                if let Some(assembly) = &mut assembly {
                    assembly.since = pending_since;
                }
                State::Open(Open {
                    endpoint,
                    member: 0,
                    user,
                    understands_displaced,
                    is_told_displaced,
                    assembly,
                })
            }
            Phase::Closing(after) => State::Closing(after),
        };
        Ok(connection)
    }
}
