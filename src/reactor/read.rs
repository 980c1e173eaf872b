//! From bytes to messages to what they cause.

use super::Reactor;
use super::close::Ending;
use super::conn::{Conn, Open, State, Unread};
use super::flow::Meter;
use super::kept::read_behind;
use super::reading::Waits;
use crate::config::Excess;
use crate::id::{AppId, ConnId, UserId};
use crate::limits::{READS_PER_TURN, RETRY_AFTER_SECONDS};
use crate::link::{Event, News};
use crate::metrics::Cause;
use crate::session::User;
use crate::websocket::close;
use crate::websocket::frame::{self, Kind};
use crate::websocket::handshake::{self, Endpoint, Refusal};
use crate::websocket::message::{Assembly, Incoming, Messages};
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
        let conn = &mut self.conns[slot];
        if matches!(conn.state, State::Dead) {
            return;
        }
        conn.unread = Unread::Queued;
        self.reading.push(waits, (slot, conn.serial));
    }

    /// One read, and all that follows from it.
    fn read_once(&mut self, slot: u32, buffer: &mut [u8]) -> Read {
        let congestion = self.settings.outbox_bytes_max / 2;
        let conn = &mut self.conns[slot];
        if matches!(conn.state, State::Dead) {
            return Read::Nothing;
        }
        if conn.backlog_bytes() > congestion {
            // A client that does not take its replies is not read from.
            conn.unread = Unread::Paused;
            return Read::Nothing;
        }
        let is_wrapped = conn.is_wrapped();
        let Conn { socket, state, extra, .. } = conn;
        let kept: &[u8] = match (state, extra) {
            (_, Some(extra)) if is_wrapped => &extra.raw,
            (State::Handshake { head: Some(head) }, _) => head,
            _ => &[],
        };
        let seen = kept.len();
        let room = buffer.len().min(seen + self.reading.bytes_max());
        match read_behind(kept, socket, &mut buffer[..room]) {
            Ok(filled) => {
                let read = filled - seen;
                self.stats().bytes_in.add(read as u64);
                if is_wrapped {
                    self.forget_raw(slot);
                    self.take_wrapped(slot, &mut buffer[..filled]);
                } else {
                    self.ingest(slot, &mut buffer[..filled], seen);
                }
                if filled == room { Read::Full(read) } else { Read::Some(read) }
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

    /// Takes in what a read has brought; the first `seen` bytes are a request
    /// head that was looked at before.
    pub(super) fn ingest(&mut self, slot: u32, bytes: &mut [u8], seen: usize) {
        let mut replies = std::mem::take(&mut self.replies);
        let ending = match &self.conns[slot].state {
            State::Handshake { .. } => self.shake_hands(slot, bytes, seen, &mut replies),
            State::Open(_) => self.take_messages(slot, bytes, &mut replies),
            State::Closing(_) | State::Dead => None,
        };
        if !replies.is_empty() {
            self.send_bytes(slot, &replies);
        }
        replies.clear();
        replies.shrink_to(REPLIES_KEPT_BYTES);
        self.replies = replies;
        if let Some(ending) = ending {
            self.end(slot, ending);
        }
    }

    fn shake_hands(
        &mut self,
        slot: u32,
        bytes: &mut [u8],
        seen: usize,
        replies: &mut Vec<u8>,
    ) -> Option<Ending> {
        let settings = &self.settings;
        match handshake::read(bytes, seen, settings.head_bytes_max, &settings.paths()) {
            Ok(None) if self.keep_head(slot, &bytes[seen..]) => None,
            Ok(None) => {
                handshake::append_unavailable(replies, RETRY_AFTER_SECONDS);
                Some(Ending::linger(Cause::AssemblyBudget))
            }
            Ok(Some(mut upgrade)) => {
                self.forget_head(slot);
                self.note_forwarded(slot, &bytes[..upgrade.head_len]);
                if let Err(refused) = self.book_told(slot) {
                    refused.append_response(replies);
                    return Some(Ending::linger(refused.cause));
                }
                let grant = match self.examine(&mut upgrade) {
                    Ok(grant) => grant,
                    Err(refusal) => return Some(self.refuse(slot, &refusal, replies)),
                };
                upgrade.append_response(replies);
                let (endpoint, head_len) = (upgrade.endpoint, upgrade.head_len);
                self.upgrade(slot, endpoint);
                if let Some(grant) = grant {
                    self.keep_grant(slot, grant);
                }
                match &mut bytes[head_len..] {
                    [] => None,
                    first_frames => self.take_messages(slot, first_frames, replies),
                }
            }
            Err(refusal) => Some(self.refuse(slot, &refusal, replies)),
        }
    }

    /// From here on frames come.
    fn upgrade(&mut self, slot: u32, endpoint: Endpoint) {
        self.stats().handshakes.add(1);
        self.tell_of_upgrade(slot);
        let tick = self.tick;
        let conn = &mut self.conns[slot];
        conn.state = State::Open(Open::new(endpoint));
        conn.since = tick;
        // It is filed for the end of its handshake, which may come later.
        if self.deadline(slot) < tick.saturating_add(self.settings.handshake_ticks) {
            self.file(slot);
        }
    }

    fn refuse(&mut self, slot: u32, refusal: &Refusal, replies: &mut Vec<u8>) -> Ending {
        refusal.append_response(replies);
        self.forget_head(slot);
        tracing::debug!(conn = %self.id(slot), %refusal, "handshake refused");
        Ending::linger(Cause::HandshakeRefused)
    }

    /// Keeps the new part of a request head; false if that overdraws the budget.
    fn keep_head(&mut self, slot: u32, news: &[u8]) -> bool {
        let State::Handshake { head } = &mut self.conns[slot].state else {
            return true;
        };
        let head = head.get_or_insert_default();
        let before = head.capacity();
        head.extend_from_slice(news);
        let after = head.capacity();
        self.hold(slot, before, after);
        !self.is_overfull(slot)
    }

    fn take_messages(
        &mut self,
        slot: u32,
        bytes: &mut [u8],
        replies: &mut Vec<u8>,
    ) -> Option<Ending> {
        let rules = self.settings.message;
        let traced = self.conns[slot].traced;
        let mut assembly = self.conns[slot].open()?.assembly.take();
        let held_before = assembly.as_ref().map_or(0, |assembly| assembly.held_bytes());
        let mut messages = Messages::new(&mut assembly, bytes, &rules);
        let mut meter =
            self.settings.flow.map(|rules| Meter::new(rules, self.now, &mut self.conns[slot]));
        let mut ending = None;
        while ending.is_none() {
            match messages.next() {
                Ok(Some(incoming)) => {
                    if traced {
                        self.trace_in(slot, &incoming);
                    }
                    let admitted = meter.as_mut().is_none_or(|meter| meter.admits(&incoming));
                    ending = match admitted {
                        true => self.answer(slot, incoming, replies),
                        false => self.exceed(replies),
                    };
                }
                Ok(None) => break,
                Err(violation) => {
                    let reason = Some((violation.close_code(), violation.reason()));
                    close::append(replies, reason);
                    ending = Some(Ending::linger(Cause::of(&violation)));
                }
            }
        }
        let frames = messages.frames();
        let settled = meter.is_none_or(|meter| meter.settle(frames, &mut self.conns[slot]));
        if ending.is_none() && !settled {
            // Fragments cannot be thrown away one by one.
            ending = Some(too_fast(replies));
        }
        if frames > 0 && !self.awaits_login(slot) {
            self.conns[slot].since = self.tick;
        }
        let held = self.keep_assembly(slot, assembly);
        self.hold(slot, held_before, held);
        if ending.is_none() && held > held_before && self.is_overfull(slot) {
            close::append(replies, Some((close::TRY_AGAIN, "out of memory for messages")));
            ending = Some(Ending::linger(Cause::AssemblyBudget));
        }
        ending
    }

    /// Keeps what has come of a message that is not whole; returns its bytes. It has to be whole
    /// in time.
    fn keep_assembly(&mut self, slot: u32, assembly: Option<Box<Assembly>>) -> usize {
        let tick = self.tick;
        let Some(open) = self.conns[slot].open() else { return 0 };
        open.assembly = assembly;
        let Some(assembly) = &mut open.assembly else { return 0 };
        let held = assembly.held_bytes();
        if assembly.since.is_none() {
            assembly.since = Some(tick);
            if self.settings.message_ticks.is_some_and(|ticks| ticks < self.settings.idle_ticks) {
                self.file(slot);
            }
        }
        held
    }

    /// What becomes of a message above the bounds.
    fn exceed(&self, replies: &mut Vec<u8>) -> Option<Ending> {
        match self.settings.flow.map(|rules| rules.excess) {
            Some(Excess::Drop) => {
                self.stats().dropped.add(1);
                None
            }
            Some(Excess::Close) | None => Some(too_fast(replies)),
        }
    }

    /// What one message causes; replies are collected.
    fn answer(
        &mut self,
        slot: u32,
        incoming: Incoming<'_>,
        replies: &mut Vec<u8>,
    ) -> Option<Ending> {
        let endpoint = self.conns[slot].open()?.endpoint;
        match incoming {
            Incoming::Pong(_) => return None,
            Incoming::Ping(payload) => frame::append(replies, Kind::Pong, payload),
            Incoming::Close(reason) => {
                close::append(replies, reason.map(|(code, _)| (code, "")));
                return Some(Ending::drop(Cause::ClientClose));
            }
            Incoming::Text(text) => {
                self.stats().messages_in.add(1);
                match endpoint {
                    Endpoint::Commands => return self.command(slot, text, replies),
                    Endpoint::Echo => frame::append(replies, Kind::Text, text.as_bytes()),
                }
            }
            Incoming::Binary(bytes) => {
                self.stats().messages_in.add(1);
                match endpoint {
                    Endpoint::Commands => {
                        return self.command(slot, &String::from_utf8_lossy(bytes), replies);
                    }
                    Endpoint::Echo => frame::append(replies, Kind::Binary, bytes),
                }
            }
        }
        self.stats().messages_out.add(1);
        None
    }

    /// Registers a user. The room is told before the reply is written, so
    /// that whoever has read the reply is known everywhere.
    pub(super) fn login(&mut self, slot: u32, app: AppId, id: UserId, understands_displaced: bool) {
        let user = Arc::new(User::at(app, id, self.id(slot), self.now));
        let Some(room) = self.shared.hub.directory.room_of(app) else { return };
        let Some(arrival) = self.shared.hub.directory.login(Arc::clone(&user)) else { return };
        let member = self.rooms.join(room, slot);
        if let Some(open) = self.conns[slot].open() {
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
        ConnId { reactor: self.index, slot, serial: self.conns[slot].serial }
    }
}

/// Tells a client that it sends more than it may.
fn too_fast(replies: &mut Vec<u8>) -> Ending {
    close::append(replies, Some((close::TOO_FAST, "too many messages")));
    Ending::linger(Cause::TooFast)
}

/// What the reply buffer keeps between reads; an echoed message may have made it larger.
const REPLIES_KEPT_BYTES: usize = 262_144;
