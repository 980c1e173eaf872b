//! How connections end: said once, removed at the end of a turn.

use super::Reactor;
use super::conn::LinksOf;
use crate::config::Displaced;
use crate::connection::{Ending, Mark, Overdue, Settled, Unread};
use crate::envelope::Frame;
use crate::limits::{CLOSES_PER_TURN, EXPIRIES_PER_TURN, EXPIRIES_PER_TURN_MIN};
use crate::link::Event;
use crate::metrics::Cause;
use crate::websocket::close;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The reason that is told with 3504.
const ELSEWHERE: &str = "logged in elsewhere";

impl Reactor {
    /// Begins the end of a connection.
    pub(super) fn end(&mut self, slot: u32, Ending { cause, after }: Ending) {
        let Some(after) = after else { return self.lose(slot, cause) };
        if !self.conns[slot].is_alive() {
            return;
        }
        self.take_leave(slot, cause);
        let tick = self.tick;
        self.conns[slot].begin_end(after, tick);
        self.settle(slot);
        if !self.conns[slot].is_dead() {
            self.file(slot);
        }
    }

    /// Ends an open connection with a close frame of our own.
    pub(super) fn close(&mut self, slot: u32, cause: Cause, code: u16, reason: &str) {
        let mut frame = Vec::new();
        close::append(&mut frame, Some((code, reason)));
        self.stats().messages_out.add(1);
        self.send_bytes(slot, &frame);
        self.end(slot, Ending::linger(cause));
    }

    /// Ends a connection at once, without another byte.
    pub(super) fn lose(&mut self, slot: u32, cause: Cause) {
        if self.conns[slot].is_dead() {
            return;
        }
        if self.conns[slot].is_alive() {
            self.take_leave(slot, cause);
        }
        let before = self.conns[slot].backlog_bytes();
        self.conns[slot].bury();
        self.recharge(slot, before);
        self.dead.push(slot);
    }

    /// The peer will send nothing more. If it is owed something, it gets it.
    pub(super) fn peer_ended(&mut self, slot: u32) {
        if let Some(ending) = self.conns[slot].peer_ended() {
            self.end(slot, ending);
        }
    }

    /// Goes on with an end if all that was owed to the peer has been written.
    pub(super) fn settle(&mut self, slot: u32) {
        let (connection, socket) = self.conns.with_socket(slot);
        match connection.settle(socket) {
            Settled::Nothing => {}
            Settled::Close => self.lose(slot, Cause::Eof),
            Settled::EndOurSide => {
                if socket.shutdown(Shutdown::Write).is_err() {
                    self.lose(slot, Cause::Reset);
                }
            }
        }
    }

    /// Counts the cause and undoes what the connection has registered.
    fn take_leave(&mut self, slot: u32, cause: Cause) {
        self.stats().count_close(cause);
        tracing::debug!(conn = %self.id(slot), user = self.name(slot), cause = cause.name(), "closing");
        if self.conns[slot].marks.has(Mark::Traced) {
            self.trace_close(slot, cause);
        }
        let held = self.conns[slot].release_held();
        self.hold(slot, held, 0);
        self.unbook(slot);
        let conns = &mut self.conns;
        let Some(open) = conns[slot].opened() else { return };
        let (member, user) = (open.member, open.user.take());
        let Some(user) = user else { return };
        self.shared.hub.seats.leave(&user);
        if let Some(room) = self.shared.hub.directory.room_of(user.app) {
            self.rooms.leave(room, member, |slot, to| {
                if let Some(open) = conns[slot].opened() {
                    open.member = to;
                }
            });
        }
        if let Some(members) = self.shared.hub.directory.logout(&user) {
            self.shared.hub.announcer.departed(&user, members);
            self.report(Event::Departed(user));
        }
    }

    /// The tick at which a connection has had its time, in its present state.
    pub(super) fn deadline(&self, slot: u32) -> u32 {
        let connection = &self.conns[slot];
        let end = connection.extra.as_ref().and_then(|extra| extra.expires);
        let end = end.map(|end| self.ticks.of_calendar(end));
        connection.deadline(&self.settings.connection, end)
    }

    /// Closes a connection whose user has logged in on too many others since.
    pub(super) fn replace(&mut self, slot: u32, serial: u32) {
        if self.conns.get(slot, serial).is_some_and(|connection| connection.is_open()) {
            self.close(slot, Cause::Replaced, close::TOO_MANY, ELSEWHERE);
        }
    }

    /// Tells a connection, once, that a newer login has taken its place, and closes it where the
    /// configuration says so. It may be called for any connection.
    pub(super) fn tell_displaced(&mut self, slot: u32) {
        let Some((frame, closes)) = self.displacement(slot) else { return };
        self.send_frames(slot, &[&frame]);
        if closes && self.conns[slot].is_open() {
            self.close(slot, Cause::Displaced, close::TOO_MANY, ELSEWHERE);
        }
    }

    /// The same behind the replies that are being collected for it: the order to tell it may
    /// have been refused, its mark in the user's record cannot be lost.
    pub(super) fn append_displacement(
        &mut self,
        slot: u32,
        replies: &mut Vec<u8>,
    ) -> Option<Ending> {
        let (frame, closes) = self.displacement(slot)?;
        replies.extend_from_slice(frame.as_bytes());
        self.stats().messages_out.add(1);
        if !closes {
            return None;
        }
        close::append(replies, Some((close::TOO_MANY, ELSEWHERE)));
        Some(Ending::linger(Cause::Displaced))
    }

    /// What a connection is to be told that has lost its registration and does not know it yet,
    /// and whether it is closed then.
    fn displacement(&mut self, slot: u32) -> Option<(Frame, bool)> {
        let open = self.conns[slot].opened()?;
        let is_due = !open.is_told_displaced;
        let user = open.user.as_ref().filter(|user| is_due && user.is_displaced())?;
        let user = Arc::clone(user);
        open.is_told_displaced = true;
        let closes = match self.settings.displaced {
            Displaced::Silent => return None,
            Displaced::Notify => open.understands_displaced,
            Displaced::Close => true,
        };
        Some((self.shared.hub.announcer.displacement(&user), closes))
    }

    /// Looks at those whose time may have come.
    pub(super) fn expire(&mut self) {
        for looked in 0..EXPIRIES_PER_TURN {
            // Looking means reading, which has its time in a turn.
            if looked >= EXPIRIES_PER_TURN_MIN && self.reading.is_spent() {
                return;
            }
            let Some(slot) = self.wheel.pop(&mut LinksOf(&mut self.conns), self.tick) else {
                self.wheel.pass(self.tick);
                return;
            };
            if self.deadline(slot) <= self.tick && self.is_heard_later(slot) {
                let links = &mut LinksOf(&mut self.conns);
                self.wheel.insert(links, slot, self.tick.saturating_add(1));
                continue;
            }
            if self.deadline(slot) > self.tick {
                self.tell_displaced(slot);
                self.file(slot);
                continue;
            }
            self.end_overdue(slot);
        }
    }

    /// Ends a connection whose time is over.
    fn end_overdue(&mut self, slot: u32) {
        let has_expired = self.has_expired(slot);
        let rules = &self.settings.connection;
        match self.conns[slot].overdue(rules, self.tick, has_expired) {
            Some(Overdue::Handshake) => self.lose(slot, Cause::HandshakeTimeout),
            Some(Overdue::Login) => {
                self.close(slot, Cause::LoginTimeout, close::NO_LOGIN, "no login in time");
            }
            Some(Overdue::Token) => {
                self.close(slot, Cause::Expired, close::EXPIRED, "the token has expired");
            }
            Some(Overdue::Message) => {
                let reason = "the message is not whole in time";
                self.close(slot, Cause::MessageTimeout, close::SLOW, reason);
            }
            Some(Overdue::Idle) => {
                self.close(slot, Cause::Idle, close::NO_HEARTBEAT, "no heartbeat");
            }
            Some(Overdue::Close) => self.lose(slot, Cause::Eof),
            None => {}
        }
    }

    /// Reads from a connection whose time has come: what it has sent may lie in the kernel, if
    /// this turn is late. Returns true if an open connection is read from in a later turn, and
    /// has to be looked at again after that.
    fn is_heard_later(&mut self, slot: u32) -> bool {
        let connection = &self.conns[slot];
        if !connection.is_alive() {
            return false;
        }
        if connection.unread == Unread::Queued {
            // Somebody who has to prove who he is waits no longer than he may.
            let awaits_login = connection.awaits_login(&self.settings.connection);
            return connection.is_open() && !awaits_login && !self.has_expired(slot);
        }
        self.read_from(slot, true, true);
        false
    }

    /// Empties the slots of those who have ended, at most so many a turn.
    pub(super) fn bury(&mut self) {
        let keep = self.dead.len().saturating_sub(CLOSES_PER_TURN);
        while self.dead.len() > keep
            && let Some(slot) = self.dead.pop()
        {
            self.wheel.remove(&mut LinksOf(&mut self.conns), slot);
            // Dropping the socket closes it; epoll forgets a closed socket by itself.
            self.conns.remove(slot);
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
