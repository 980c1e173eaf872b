//! Who is let in: room for all, room and pace for each network of clients.

use super::Reactor;
use super::conn::Conn;
use super::socket::Socket;
use crate::address::ClientAddr;
use crate::connection::{Connection, Extra};
use crate::limits::RETRY_AFTER_SECONDS;
use crate::link::{Crowded, Subnet};
use crate::metrics::Cause;
use crate::websocket::handshake::{append_too_many, append_unavailable};
use mio::Interest;
use mio::unix::SourceFd;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

/// Why somebody is turned away, and how it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TurnedAway {
    /// What it is counted under.
    pub(super) cause: Cause,
    /// The client itself has come too often (429); otherwise there is no room (503).
    is_own_fault: bool,
}

impl TurnedAway {
    fn no_room(cause: Cause) -> Self {
        Self { cause, is_own_fault: false }
    }

    /// Appends the answer.
    pub(super) fn append_response(self, out: &mut Vec<u8>) {
        if self.is_own_fault {
            append_too_many(out, RETRY_AFTER_SECONDS);
        } else {
            append_unavailable(out, RETRY_AFTER_SECONDS);
        }
    }
}

impl From<Crowded> for TurnedAway {
    fn from(crowded: Crowded) -> Self {
        match crowded {
            Crowded::Connections => Self::no_room(Cause::Crowded),
            Crowded::Rate => Self { cause: Cause::HandshakeRate, is_own_fault: true },
        }
    }
}

impl Reactor {
    /// Takes a socket in that has come through this gate. The only failure is that
    /// it cannot be watched (ENOSPC: `fs.epoll.max_user_watches`), which closes it.
    pub(super) fn admit(&mut self, socket: Socket, gate: usize) -> io::Result<()> {
        self.stats().accepts.add(1);
        let listener = self.acceptor.listener(gate);
        let (mut extra, is_plain) = (Extra::at(listener), !listener.tls);
        let is_told_later = listener.proxy;
        let others = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        if let Err(refused) = self.judge(others, &socket, is_told_later, &mut extra) {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            self.stats().count_close(refused.cause);
            if is_plain {
                turn_away(socket, refused);
            }
            return Ok(());
        }
        self.next_serial = self.next_serial.wrapping_add(1);
        let conn = Conn::new(socket, self.next_serial, Connection::new(extra, self.tick));
        let token = super::accept::token(self.conns.vacant_slot(), conn.serial);
        let both = Interest::READABLE | Interest::WRITABLE;
        let mut source = SourceFd(&conn.socket.as_raw_fd());
        if let Err(error) = self.poll.registry().register(&mut source, token, both) {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            if let Some(subnet) = conn.connection.extra.and_then(|extra| extra.subnet) {
                self.shared.subnets.release(subnet);
            }
            return Err(error);
        }
        let slot = self.conns.insert(conn);
        self.file(slot);
        if self.watched.has_watches() {
            self.watch_arrival(slot);
        }
        Ok(())
    }

    /// Whether there is room for one more besides `others`, and for one more of its network.
    fn judge(
        &self,
        others: usize,
        socket: &Socket,
        is_told_later: bool,
        extra: &mut Option<Box<Extra>>,
    ) -> Result<(), TurnedAway> {
        if others >= self.settings.connections_max {
            return Err(TurnedAway::no_room(Cause::Full));
        }
        if self.shared.hub.admission.is_closed() {
            return Err(TurnedAway::no_room(Cause::Memory));
        }
        if !self.settings.subnet.are_needed() {
            return self.take_handshake(false);
        }
        let peer = socket.peer();
        let trusted = &self.settings.trusted;
        // Behind a proxy clients are told apart later, and what is bounded for all is counted
        // then. Of those who are no proxies that is known now.
        let speaks_for_others = match peer.ip() {
            None => true,
            Some(_) if is_told_later && trusted.is_empty() => true,
            address => trusted.trusts(address),
        };
        if speaks_for_others {
            extra.get_or_insert_default().is_unjudged = true;
            return Ok(());
        }
        let subnet = self.book(peer)?;
        extra.get_or_insert_default().subnet = subnet;
        Ok(())
    }

    /// Counts a client whose address a PROXY header has told, unless that is of a proxy
    /// which speaks for yet others.
    pub(super) fn book_behind_proxy(&mut self, slot: u32) -> Result<(), TurnedAway> {
        let told = self.conns[slot].extra.as_ref().and_then(|extra| extra.client);
        match told.and_then(ClientAddr::ip) {
            Some(ip) if !self.settings.trusted.trusts(Some(ip)) => self.book_told(slot),
            _ => Ok(()),
        }
    }

    /// Counts a client whose address has become known after it was accepted.
    pub(super) fn book_told(&mut self, slot: u32) -> Result<(), TurnedAway> {
        let extra = self.conns[slot].extra.as_mut().filter(|extra| extra.is_unjudged);
        let Some(extra) = extra else { return Ok(()) };
        extra.is_unjudged = false;
        let subnet = self.book(self.client(slot))?;
        self.conns[slot].extra().subnet = subnet;
        Ok(())
    }

    /// Counts one more connection from there, then one more of all: whoever is turned away for
    /// its own address takes nothing from the others. `None` where no address is known.
    fn book(&self, client: ClientAddr) -> Result<Option<Subnet>, TurnedAway> {
        let subnet = client.ip().map(Subnet::from);
        let has_had_share = match subnet {
            Some(subnet) => self.shared.subnets.admit(subnet, &self.settings.subnet, self.now)?,
            None => false,
        };
        self.take_handshake(has_had_share).inspect_err(|_| {
            if let Some(subnet) = subnet {
                self.shared.subnets.release(subnet);
            }
        })?;
        Ok(subnet)
    }

    /// Takes one of the connections that may come in a second. An address that has had its share
    /// leaves some of them to others.
    fn take_handshake(&self, has_had_share: bool) -> Result<(), TurnedAway> {
        let rate = self.settings.handshake_rate.as_ref();
        let handshakes = &self.shared.handshakes;
        if rate.is_some_and(|rate| !handshakes.take_as(has_had_share, rate, self.now)) {
            return Err(TurnedAway::no_room(Cause::HandshakeRate));
        }
        Ok(())
    }

    /// Counts a connection that came before the connections of an address were bounded.
    pub(super) fn book_late(&mut self, slot: u32) {
        let is_counted = self.conns[slot]
            .extra
            .as_ref()
            .is_some_and(|extra| extra.subnet.is_some() || extra.is_unjudged);
        if is_counted || !self.settings.subnet.are_needed() || !self.conns[slot].is_open() {
            return;
        }
        if let Some(subnet) = self.client(slot).ip().map(Subnet::from) {
            self.shared.subnets.count(subnet);
            self.conns[slot].extra().subnet = Some(subnet);
        }
    }

    /// Gives back what was counted.
    pub(super) fn unbook(&mut self, slot: u32) {
        if let Some(extra) = &mut self.conns[slot].extra
            && let Some(subnet) = extra.subnet.take()
        {
            self.shared.subnets.release(subnet);
        }
    }
}

/// Tells a client why. Best effort: the socket does not block.
fn turn_away(mut socket: Socket, refused: TurnedAway) {
    let mut answer = Vec::new();
    refused.append_response(&mut answer);
    let mut scratch = [0; 2_048];
    let _request_may_not_be_here = socket.read(&mut scratch);
    let _nobody_may_listen = socket.write(&answer).and_then(|_| socket.shutdown(Shutdown::Write));
}
