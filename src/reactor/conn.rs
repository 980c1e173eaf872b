//! The connections of a reactor: a cache line each, in one slab.

use super::socket::Socket;
use super::wheel::Links;
use crate::connection::Connection;
use slab::Slab;
use std::ops::{Index, IndexMut};

/// A socket and the state of its connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) socket: Socket,
    /// Stamp given at accept: tells this connection from earlier ones in its slot.
    pub(super) serial: u32,
    pub(super) links: Links,
    pub(super) connection: Connection,
}

/// A cache line, as the project promises.
const _: () = assert!(size_of::<Conn>() <= CACHE_LINE);
const CACHE_LINE: usize = 64;

impl Conn {
    pub(super) fn new(socket: Socket, serial: u32, connection: Connection) -> Self {
        Self { socket, serial, links: Links::default(), connection }
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
    pub(super) fn get(&mut self, slot: u32, serial: u32) -> Option<&mut Connection> {
        let conn = self.0.get_mut(slot as usize).filter(|conn| conn.serial == serial)?;
        Some(&mut conn.connection)
    }

    /// What tells the connection in `slot` from earlier ones there.
    pub(super) fn serial(&self, slot: u32) -> u32 {
        self.0[slot as usize].serial
    }

    /// The socket of the connection in `slot`.
    pub(super) fn socket(&self, slot: u32) -> &Socket {
        &self.0[slot as usize].socket
    }

    /// The connection in `slot` and its socket.
    pub(super) fn with_socket(&mut self, slot: u32) -> (&mut Connection, &mut Socket) {
        let Conn { connection, socket, .. } = &mut self.0[slot as usize];
        (connection, socket)
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
    type Output = Connection;

    fn index(&self, slot: u32) -> &Connection {
        &self.0[slot as usize].connection
    }
}

impl IndexMut<u32> for Conns {
    fn index_mut(&mut self, slot: u32) -> &mut Connection {
        &mut self.0[slot as usize].connection
    }
}

/// The wheel's view of the connections: their links.
pub(super) struct LinksOf<'a>(pub(super) &'a mut Conns);

impl Index<u32> for LinksOf<'_> {
    type Output = Links;

    fn index(&self, slot: u32) -> &Links {
        &self.0.0[slot as usize].links
    }
}

impl IndexMut<u32> for LinksOf<'_> {
    fn index_mut(&mut self, slot: u32) -> &mut Links {
        &mut self.0.0[slot as usize].links
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
