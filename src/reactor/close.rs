//! How connections end: said once, removed at the end of a turn.

use super::Reactor;
use super::conn::{After, LinksOf, Open, State, Unread};
use crate::config::Displaced;
use crate::envelope::Frame;
use crate::limits::{
    CLOSE_TIMEOUT_SECONDS, CLOSES_PER_TURN, EXPIRIES_PER_TURN, EXPIRIES_PER_TURN_MIN,
};
use crate::link::Event;
use crate::metrics::Cause;
use crate::websocket::close;
use crate::websocket::handshake::Endpoint;
use crate::websocket::message::Violation;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The reason that is told with 3504.
const ELSEWHERE: &str = "logged in elsewhere";

/// The decision that a connection ends. Its last frame has been sent, or is in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    cause: Cause,
    after: After,
}

impl Ending {
    /// Close the socket as soon as the last bytes are written.
    pub(super) fn drop(cause: Cause) -> Self {
        Self { cause, after: After::Drop }
    }

    /// End our side, and wait for the peer to end its own.
    pub(super) fn linger(cause: Cause) -> Self {
        Self { cause, after: After::Linger }
    }
}

impl Cause {
    /// The cause that a violation is counted under.
    pub(super) fn of(violation: &Violation) -> Self {
        match violation.close_code() {
            close::INVALID_DATA => Self::InvalidText,
            close::TOO_BIG => Self::TooBig,
            _ => Self::Protocol,
        }
    }
}

impl Reactor {
    /// Begins the end of a connection.
    pub(super) fn end(&mut self, slot: u32, ending: Ending) {
        if !matches!(self.conns[slot].state, State::Handshake { .. } | State::Open(_)) {
            return;
        }
        self.take_leave(slot, ending.cause);
        let tick = self.tick;
        let conn = &mut self.conns[slot];
        conn.state = State::Closing(ending.after);
        conn.since = tick;
        if conn.outbox.is_none() {
            self.settle(slot);
        }
        if !matches!(self.conns[slot].state, State::Dead) {
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
        match self.conns[slot].state {
            State::Dead => return,
            State::Closing(_) => {}
            State::Handshake { .. } | State::Open(_) => self.take_leave(slot, cause),
        }
        let conn = &mut self.conns[slot];
        conn.state = State::Dead;
        let before = conn.backlog_bytes();
        conn.outbox = None;
        self.recharge(slot, before);
        self.dead.push(slot);
    }

    /// The peer will send nothing more. If it is owed something, it gets it.
    pub(super) fn peer_ended(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        match &mut conn.state {
            State::Closing(After::Linger) if conn.outbox.is_some() => {
                conn.state = State::Closing(After::Drop);
            }
            State::Open(_) if conn.outbox.is_some() => self.end(slot, Ending::drop(Cause::Eof)),
            State::Closing(After::Drop) => {}
            _ => self.lose(slot, Cause::Eof),
        }
    }

    /// All that was owed to a closing peer has been written.
    pub(super) fn settle(&mut self, slot: u32) {
        if matches!(self.conns[slot].state, State::Closing(After::Drop | After::Linger)) {
            self.say_goodbye(slot);
        }
        let conn = &mut self.conns[slot];
        match conn.state {
            State::Closing(After::Drop) => self.lose(slot, Cause::Eof),
            State::Closing(After::Linger) => {
                conn.state = State::Closing(After::Lingering);
                if conn.socket.shutdown(Shutdown::Write).is_err() {
                    self.lose(slot, Cause::Reset);
                }
            }
            _ => {}
        }
    }

    /// Counts the cause and undoes what the connection has registered.
    fn take_leave(&mut self, slot: u32, cause: Cause) {
        self.stats().count_close(cause);
        tracing::debug!(conn = %self.id(slot), user = self.name(slot), cause = cause.name(), "closing");
        if self.conns[slot].traced {
            self.trace_close(slot, cause);
        }
        self.forget_raw(slot);
        self.unbook(slot);
        self.forget_assembly(slot);
        let conns = &mut self.conns;
        match &mut conns[slot].state {
            State::Handshake { .. } => self.forget_head(slot),
            State::Open(open) => {
                let (member, user) = (open.member, open.user.take());
                let Some(user) = user else { return };
                self.shared.hub.seats.leave(&user);
                if let Some(room) = self.shared.hub.directory.room_of(user.app) {
                    self.rooms.leave(room, member, |slot, to| {
                        if let Some(open) = conns[slot].open() {
                            open.member = to;
                        }
                    });
                }
                if let Some(members) = self.shared.hub.directory.logout(&user) {
                    self.shared.hub.announcer.departed(&user, members);
                    self.report(Event::Departed(user));
                }
            }
            State::Closing(_) | State::Dead => {}
        }
    }

    /// Gives back what was kept of a request head.
    pub(super) fn forget_head(&mut self, slot: u32) {
        if let State::Handshake { head } = &mut self.conns[slot].state
            && let Some(head) = head.take()
        {
            self.hold(slot, head.capacity(), 0);
        }
    }

    /// Gives back what was kept of a message.
    fn forget_assembly(&mut self, slot: u32) {
        let assembly = self.conns[slot].open().and_then(|open| open.assembly.take());
        self.hold(slot, assembly.map_or(0, |assembly| assembly.held_bytes()), 0);
    }

    /// The tick at which a connection has had its time, in its present state.
    pub(super) fn deadline(&self, slot: u32) -> u32 {
        let conn = &self.conns[slot];
        let settings = &self.settings;
        let ticks = match conn.state {
            State::Handshake { .. } => settings.handshake_ticks,
            State::Open(_) => match settings.login_ticks {
                Some(login_ticks) if self.awaits_login(slot) => {
                    login_ticks.min(settings.idle_ticks)
                }
                _ => settings.idle_ticks,
            },
            State::Closing(_) | State::Dead => CLOSE_TIMEOUT_SECONDS,
        };
        let due = conn.since.saturating_add(ticks);
        let State::Open(open) = &conn.state else { return due };
        let whole = self.end_of_message(open).unwrap_or(u32::MAX);
        let expires = conn.extra.as_ref().and_then(|extra| extra.expires);
        let expires = expires.map_or(u32::MAX, |end| self.ticks.of_calendar(end));
        due.min(whole).min(expires)
    }

    /// The tick at which a message that has begun has to be whole.
    fn end_of_message(&self, open: &Open) -> Option<u32> {
        let since = open.assembly.as_ref().and_then(|assembly| assembly.since)?;
        self.settings.message_ticks.map(|ticks| since.saturating_add(ticks))
    }

    /// Whether the message under way has had its time.
    fn is_message_late(&self, slot: u32) -> bool {
        let State::Open(open) = &self.conns[slot].state else { return false };
        self.end_of_message(open).is_some_and(|end| end <= self.tick)
    }

    /// Whether this client has to log in, and in time: until then its time counts
    /// from the handshake, whatever it sends.
    pub(super) fn awaits_login(&self, slot: u32) -> bool {
        self.settings.login_ticks.is_some()
            && matches!(
                self.conns[slot].state,
                State::Open(Open { endpoint: Endpoint::Commands, user: None, .. })
            )
    }

    /// Closes a connection whose user has logged in on too many others since.
    pub(super) fn replace(&mut self, slot: u32, serial: u32) {
        if self.conns.get(slot, serial).is_some_and(|conn| conn.is_open()) {
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
        let open = self.conns[slot].open()?;
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
            match self.conns[slot].state {
                State::Handshake { .. } => self.lose(slot, Cause::HandshakeTimeout),
                State::Open(_) if self.awaits_login(slot) => {
                    self.close(slot, Cause::LoginTimeout, close::NO_LOGIN, "no login in time");
                }
                State::Open(_) if self.has_expired(slot) => {
                    self.close(slot, Cause::Expired, close::EXPIRED, "the token has expired");
                }
                State::Open(_) if self.is_message_late(slot) => {
                    let reason = "the message is not whole in time";
                    self.close(slot, Cause::MessageTimeout, close::SLOW, reason);
                }
                State::Open(_) => {
                    self.close(slot, Cause::Idle, close::NO_HEARTBEAT, "no heartbeat");
                }
                State::Closing(_) => self.lose(slot, Cause::Eof),
                State::Dead => {}
            }
        }
    }

    /// Reads from a connection whose time has come: what it has sent may lie in the kernel, if
    /// this turn is late. Returns true if an open connection is read from in a later turn, and
    /// has to be looked at again after that.
    fn is_heard_later(&mut self, slot: u32) -> bool {
        let conn = &self.conns[slot];
        if !matches!(conn.state, State::Handshake { .. } | State::Open(_)) {
            return false;
        }
        if conn.unread == Unread::Queued {
            // Somebody who has to prove who he is waits no longer than he may.
            return conn.is_open() && !self.awaits_login(slot) && !self.has_expired(slot);
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
