//! One connection: a cache line of state, and the slab it lives in.

use super::extra::{Extra, Security};
use super::outbox::Outbox;
use super::socket::Socket;
use super::wheel::Links;
use crate::session::User;
use crate::websocket::handshake::Endpoint;
use crate::websocket::message::Assembly;
use slab::Slab;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// All that is kept of a connection. An idle one owns no buffer.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) socket: Socket,
    /// Stamp given at accept: tells this connection from earlier ones in its slot.
    pub(super) serial: u32,
    pub(super) links: Links,
    /// Tick of accept, of the last complete frame, or of the beginning of the
    /// end, whichever its state counts from.
    pub(super) since: u32,
    pub(super) unread: Unread,
    /// Somebody watches it.
    pub(super) traced: bool,
    /// It is in the reactor's list of those with a backlog.
    pub(super) is_backlogged: bool,
    /// It is in the reactor's list of those that keep bytes of what has not wholly arrived.
    pub(super) is_holding: bool,
    pub(super) outbox: Option<Box<Outbox>>,
    /// What only some have; most have none of it.
    pub(super) extra: Option<Box<Extra>>,
    pub(super) state: State,
}

/// A cache line, as the project promises.
const _: () = assert!(size_of::<Conn>() <= CACHE_LINE);
const CACHE_LINE: usize = 64;

/// How far a connection has come.
#[derive(Debug)]
pub(super) enum State {
    /// The request head has not wholly arrived; what has is kept.
    #[allow(clippy::box_collection, reason = "a Vec of three words would not fit the cache line")]
    Handshake { head: Option<Box<Vec<u8>>> },
    /// Messages go to and fro.
    Open(Open),
    /// The last bytes to the peer are under way; what it sends is thrown away.
    Closing(After),
    /// Waits for its removal at the end of a turn.
    Dead,
}

/// Whether there may be input that no event will tell of again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// No.
    No,
    /// Yes: the slot waits in the reactor's list for its next turn.
    Queued,
    /// Yes, but it is not read before the peer has taken more of its backlog.
    Paused,
}

/// What only an open connection has.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) endpoint: Endpoint,
    /// Position in the member list of its app; meaningless without a user.
    pub(super) member: u32,
    pub(super) user: Option<Arc<User>>,
    /// The client has said that it understands that its login may be displaced.
    pub(super) understands_displaced: bool,
    /// It has been told that it is.
    pub(super) is_told_displaced: bool,
    pub(super) assembly: Option<Box<Assembly>>,
}

impl Open {
    /// Nobody is logged in yet.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            member: 0,
            user: None,
            understands_displaced: false,
            is_told_displaced: false,
            assembly: None,
        }
    }
}

/// What happens when the last bytes have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The peer said goodbye first, or is gone: close the socket.
    Drop,
    /// End our side of TCP, then throw away input until the peer ends its
    /// own: closing with unread input would reset the connection, and the
    /// peer would lose our last bytes.
    Linger,
    /// Our side has ended.
    Lingering,
}

impl Conn {
    pub(super) fn new(socket: Socket, serial: u32, now: u32) -> Self {
        Self {
            socket,
            serial,
            links: Links::default(),
            since: now,
            unread: Unread::No,
            traced: false,
            is_backlogged: false,
            is_holding: false,
            outbox: None,
            extra: None,
            state: State::Handshake { head: None },
        }
    }

    /// What its backlog is charged with.
    pub(super) fn backlog_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.charge_bytes())
    }

    /// What is uncommon about it, made when it is first needed.
    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Whether what comes over the socket is not yet what the client says.
    pub(super) fn is_wrapped(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.wraps())
    }

    /// Whether what is written has to be encrypted.
    pub(super) fn is_sealed(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| matches!(extra.security, Security::Tls(_)))
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn open(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            _ => None,
        }
    }
}

/// The connections of a reactor, by slot.
#[derive(Debug)]
pub(super) struct Conns(Slab<Conn>);

impl Conns {
    /// Address space for `expected` connections is reserved at once, so that
    /// growing never copies; memory is only used as it is touched.
    pub(super) fn with_capacity(expected: usize) -> Self {
        Self(Slab::with_capacity(expected))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slot that the next insert will use.
    pub(super) fn vacant_slot(&self) -> u32 {
        slot_of(self.0.vacant_key())
    }

    pub(super) fn insert(&mut self, conn: Conn) -> u32 {
        slot_of(self.0.insert(conn))
    }

    pub(super) fn remove(&mut self, slot: u32) -> Conn {
        self.0.remove(slot as usize)
    }

    /// The connection in `slot` if it is still the one with this serial.
    pub(super) fn get(&mut self, slot: u32, serial: u32) -> Option<&mut Conn> {
        self.0.get_mut(slot as usize).filter(|conn| conn.serial == serial)
    }

    /// Every slot in use from `from` on, in ascending order.
    pub(super) fn slots_from(&self, from: u32) -> impl Iterator<Item = u32> + '_ {
        let end = slot_of(self.0.capacity());
        (from..end).filter(|slot| self.0.contains(*slot as usize))
    }
}

/// Slots are bounded by `CONNECTIONS_PER_REACTOR_MAX`, far below 2³¹.
fn slot_of(key: usize) -> u32 {
    u32::try_from(key).unwrap_or(u32::MAX)
}

impl Index<u32> for Conns {
    type Output = Conn;

    fn index(&self, slot: u32) -> &Conn {
        &self.0[slot as usize]
    }
}

impl IndexMut<u32> for Conns {
    fn index_mut(&mut self, slot: u32) -> &mut Conn {
        &mut self.0[slot as usize]
    }
}

/// The wheel's view of the connections: their links.
pub(super) struct LinksOf<'a>(pub(super) &'a mut Conns);

impl Index<u32> for LinksOf<'_> {
    type Output = Links;

    fn index(&self, slot: u32) -> &Links {
        &self.0[slot].links
    }
}

impl IndexMut<u32> for LinksOf<'_> {
    fn index_mut(&mut self, slot: u32) -> &mut Links {
        &mut self.0[slot].links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_one_cache_line() {
        assert!(size_of::<Conn>() <= CACHE_LINE);
        // The slab's mark for an empty slot must not cost another word.
        assert_eq!(size_of::<Option<Conn>>(), size_of::<Conn>());
    }
}
