//! From bytes to messages to what they cause.

use super::Reactor;
use super::reading::Waits;
use crate::connection::{Effect, Ending, Input, Mark, Output, Unread};
use crate::id::{AppId, ConnId, UserId};
use crate::limits::READS_PER_TURN;
use crate::link::{Event, News};
use crate::metrics::Cause;
use crate::session::User;
use crate::websocket::handshake::{Endpoint, Upgrade};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What one read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// Nothing: the socket is empty, has ended, or is not read from now.
    Nothing,
    /// So many bytes, less than there was room for.
    Some(usize),
    /// So many bytes, as many as there was room for: there may be more.
    Full(usize),
}

impl Reactor {
    /// Reads from a connection, if this turn has time for it; if not, the connection waits.
    /// `has_waited`: it has waited for this already. `ended`: the peer may have ended its side.
    pub(super) fn read_from(&mut self, slot: u32, has_waited: bool, ended: bool) {
        if has_waited {
            // Its socket may have become writable meanwhile.
            self.flush(slot);
        }
        if self.must_wait_to_shake(slot, has_waited) {
            self.queue_unread(slot, Waits::Shaking);
        } else if !has_waited && self.reading.is_spent() {
            self.queue_unread(slot, Waits::Fresh);
        } else {
            self.drain(slot, ended);
        }
    }

    /// Reads until the socket has nothing more, or the connection has had its share. A read
    /// that does not fill its room has emptied the socket, unless the peer
    /// has `ended` its side: then only the end tells.
    fn drain(&mut self, slot: u32, ended: bool) {
        if self.has_to_wait(slot) {
            return;
        }
        self.conns[slot].unread = Unread::No;
        let mut buffer = std::mem::take(&mut self.receive);
        let mut more = true;
        for _ in 0..READS_PER_TURN {
            let read = self.read_once(slot, &mut buffer);
            let bytes = match read {
                Read::Nothing => 0,
                Read::Some(bytes) | Read::Full(bytes) => bytes,
            };
            if self.reading.note(bytes) {
                self.reading.measure(self.shared.clock.now());
            }
            more = match read {
                Read::Nothing => false,
                Read::Some(_) => ended,
                Read::Full(_) => true,
            };
            // Others wait: what is left of a flood is read later.
            if !more || matches!(read, Read::Full(_)) && self.reading.is_loaded() {
                break;
            }
        }
        self.receive = buffer;
        if more {
            self.queue_unread(slot, Waits::Greedy);
        }
    }

    /// Notes that a connection may have more to read, for a later turn.
    pub(super) fn queue_unread(&mut self, slot: u32, waits: Waits) {
        let serial = self.conns.serial(slot);
        let connection = &mut self.conns[slot];
        if connection.is_dead() {
            return;
        }
        connection.unread = Unread::Queued;
        self.reading.push(waits, (slot, serial));
    }

    /// One read, and all that follows from it.
    fn read_once(&mut self, slot: u32, buffer: &mut [u8]) -> Read {
        let bytes_max = self.reading.bytes_max();
        let (connection, socket) = self.conns.with_socket(slot);
        if connection.is_dead() {
            return Read::Nothing;
        }
        if connection.backlog_bytes() > self.settings.connection.congestion_bytes() {
            // A client that does not take its replies is not read from.
            connection.unread = Unread::Paused;
            return Read::Nothing;
        }
        let held = connection.held_bytes();
        match connection.receive(socket, buffer, bytes_max) {
            Ok(received) => {
                let read = received.filled - received.kept;
                self.stats().bytes_in.add(read as u64);
                self.take_in(slot, &mut buffer[..received.filled], received.seen, held);
                let is_full = received.filled == buffer.len() || read == bytes_max;
                if is_full { Read::Full(read) } else { Read::Some(read) }
            }
            Err(error) => {
                match error.kind() {
                    ErrorKind::WouldBlock => {}
                    ErrorKind::Interrupted => return Read::Full(0),
                    ErrorKind::UnexpectedEof => self.peer_ended(slot),
                    // Nobody who means well says so much before it can be understood.
                    ErrorKind::OutOfMemory => self.lose(slot, Cause::Tls),
                    _ => self.lose(slot, Cause::Reset),
                }
                Read::Nothing
            }
        }
    }

    /// Takes in what a read has brought to a connection that kept `held` bytes before it.
    fn take_in(&mut self, slot: u32, bytes: &mut [u8], seen: usize, held: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut out = Output::new(std::mem::take(&mut self.replies));
        let backlog = self.conns[slot].backlog_bytes();
        let may_shake = self.conns[slot].may_shake();
        let began = may_shake.then(|| self.shared.clock.now());
        let mut input = Input::new(
            &mut self.conns[slot],
            bytes,
            seen,
            &mut scratch,
            &self.settings.connection,
            self.now,
        );
        let mut effect =
            self.conns[slot].next(&mut input, &mut out, &self.settings.connection, self.now);
        if let Some(began) = began {
            self.shaking.note(self.shared.clock.now().saturating_sub(began));
        }
        while let Some(some) = effect {
            self.execute(slot, some, &mut out);
            effect =
                self.conns[slot].next(&mut input, &mut out, &self.settings.connection, self.now);
        }
        self.conns[slot].finish(input, &mut out, &self.settings.connection, self.tick);
        self.scratch = scratch;
        self.conclude(slot, out, held, backlog);
    }

    fn execute(&mut self, slot: u32, effect: Effect<'_>, out: &mut Output) {
        match effect {
            Effect::Client => self.judge_client(slot, out),
            Effect::Request { upgrade, head } => self.judge_request(slot, upgrade, head, out),
            Effect::Message { incoming, is_admitted } => {
                let connection = &self.conns[slot];
                if connection.marks.has(Mark::Traced) {
                    self.trace_in(slot, &incoming);
                }
                let rules = &self.settings.connection;
                if let Some(command) = connection.respond(incoming, is_admitted, out, rules)
                    && let Some(ending) = self.command(slot, &command, &mut out.replies)
                {
                    out.end(ending);
                }
            }
        }
    }

    /// Books and sends what a read has come to.
    fn conclude(&mut self, slot: u32, out: Output, held: usize, backlog: usize) {
        let Output { mut replies, ending, fault, .. } = out;
        let stats = self.stats();
        if out.messages_in + out.messages_out + out.dropped > 0 {
            stats.messages_in.add(out.messages_in);
            stats.messages_out.add(out.messages_out);
            stats.dropped.add(out.dropped);
        }
        stats.tls_handshakes.add(u64::from(out.is_tls_established));
        if let Some(fault) = fault {
            tracing::debug!(conn = %self.id(slot), %fault, "refused");
        }
        let held_now = self.conns[slot].held_bytes();
        self.hold(slot, held, held_now);
        if self.conns[slot].backlog_bytes() != backlog {
            // TLS has something to say itself.
            self.recharge(slot, backlog);
            self.flush(slot);
        }
        if !replies.is_empty() && !self.conns[slot].is_dead() {
            self.send_bytes(slot, &replies);
        }
        replies.clear();
        replies.shrink_to(REPLIES_KEPT_BYTES);
        self.replies = replies;
        if out.is_due_earlier && ending.is_none() {
            self.file(slot);
        }
        if let Some(ending) = ending {
            self.end(slot, ending);
        } else if held_now > held && self.is_overfull(slot) {
            self.shed_one(slot);
        }
        if out.has_peer_ended {
            self.peer_ended(slot);
        }
    }

    /// A request has come: decides whether it is granted.
    fn judge_request(
        &mut self,
        slot: u32,
        mut upgrade: Upgrade<'_>,
        head: &[u8],
        out: &mut Output,
    ) {
        self.note_forwarded(slot, head);
        if let Err(refused) = self.book_told(slot) {
            refused.append_response(&mut out.replies);
            return out.end(Ending::linger(refused.cause));
        }
        let grant = match self.examine(&mut upgrade) {
            Ok(grant) => grant,
            Err(refusal) => return out.refuse(refusal),
        };
        upgrade.append_response(&mut out.replies);
        self.upgrade(slot, upgrade.endpoint);
        if let Some(grant) = grant {
            self.keep_grant(slot, grant);
        }
    }

    /// From here on frames come.
    fn upgrade(&mut self, slot: u32, endpoint: Endpoint) {
        self.stats().handshakes.add(1);
        self.tell_of_upgrade(slot);
        let tick = self.tick;
        self.conns[slot].open(endpoint, tick);
        // It is filed for the end of its handshake, which may come later.
        if self.deadline(slot) < tick.saturating_add(self.settings.connection.handshake_ticks) {
            self.file(slot);
        }
    }

    /// Registers a user. The room is told before the reply is written, so
    /// that whoever has read the reply is known everywhere.
    pub(super) fn login(&mut self, slot: u32, app: AppId, id: UserId, understands_displaced: bool) {
        let user = Arc::new(User::at(app, id, self.id(slot), self.now));
        let Some(room) = self.shared.hub.directory.room_of(app) else { return };
        let Some(arrival) = self.shared.hub.directory.login(Arc::clone(&user)) else { return };
        let member = self.rooms.join(room, slot);
        if let Some(open) = self.conns[slot].opened() {
            open.member = member;
            open.user = Some(Arc::clone(&user));
            open.understands_displaced = understands_displaced;
        }
        self.stats().logins.add(1);
        if self.watched.has_watches() {
            self.watch_login(slot, &user);
        }
        let mut is_closed = false;
        if let Some(max) = self.settings.user_conns_max {
            for oldest in self.shared.hub.seats.take(&user, max) {
                is_closed |= Some(oldest) == arrival.displaced;
                self.shared.hub.router.replace(oldest);
            }
        }
        // Who is closed for being one too many is told why by that.
        if let Some(displaced) = arrival.displaced.filter(|_| !is_closed) {
            self.shared.hub.router.tell_displaced(displaced);
        }
        self.shared.hub.announcer.arrived(&user, arrival);
        if self.shared.events.is_some() {
            let client = self.client(slot);
            self.report(Event::Arrived { user, client, is_new: arrival.is_new() });
        }
    }

    /// Tells the control plane; what it cannot take now it looks up later.
    pub(super) fn report(&self, event: Event) {
        let news = News { since: self.now, event };
        let refused = self.shared.events.as_ref().is_some_and(|post| post.send(news).is_err());
        if refused {
            self.shared.metrics.shared.events_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The address of the connection in `slot`.
    pub(super) fn id(&self, slot: u32) -> ConnId {
        ConnId { reactor: self.index, slot, serial: self.conns.serial(slot) }
    }
}

/// What the reply buffer keeps between reads; an echoed message may have made it larger.
const REPLIES_KEPT_BYTES: usize = 262_144;
