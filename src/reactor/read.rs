//! From bytes to messages to what they cause.

use super::Reactor;
use super::close::Ending;
use super::conn::{Open, State, Unread};
use super::flow::Meter;
use crate::config::Excess;
use crate::id::{AppId, ConnId, UserId};
use crate::limits::{READS_PER_TURN, RETRY_AFTER_SECONDS};
use crate::link::{Event, News};
use crate::metrics::Cause;
use crate::session::User;
use crate::websocket::close;
use crate::websocket::frame::{self, Kind};
use crate::websocket::handshake::{self, Endpoint, Refusal};
use crate::websocket::message::{Incoming, Messages};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Reactor {
    /// Reads until the socket has nothing more, or its turn is over. A read
    /// that does not fill the buffer has emptied the socket, unless the peer
    /// has `ended` its side: then only the end tells.
    pub(super) fn drain(&mut self, slot: u32, ended: bool) {
        if self.has_to_wait(slot) {
            return;
        }
        self.conns[slot].unread = Unread::No;
        let mut buffer = std::mem::take(&mut self.receive);
        let mut more = true;
        for _ in 0..READS_PER_TURN {
            more = self.read_once(slot, &mut buffer, ended);
            if !more {
                break;
            }
        }
        self.receive = buffer;
        if more {
            self.queue_unread(slot);
        }
    }

    /// Notes that a connection may have more to read, for the next turn.
    pub(super) fn queue_unread(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        conn.unread = Unread::Queued;
        self.unread.push((slot, conn.serial));
    }

    /// One read; true if another one may bring more.
    fn read_once(&mut self, slot: u32, buffer: &mut [u8], ended: bool) -> bool {
        let congestion = self.settings.outbox_bytes_max / 2;
        let conn = &mut self.conns[slot];
        if matches!(conn.state, State::Dead) {
            return false;
        }
        if conn.backlog_bytes() > congestion {
            // A client that does not take its replies is not read from.
            conn.unread = Unread::Paused;
            return false;
        }
        let is_wrapped = conn.is_wrapped();
        let kept = match &conn.state {
            State::Handshake { head: Some(head) } if !is_wrapped => {
                buffer[..head.len()].copy_from_slice(head);
                head.len()
            }
            _ if is_wrapped => self.restore_raw(slot, buffer),
            _ => 0,
        };
        match self.conns[slot].socket.read(&mut buffer[kept..]) {
            Ok(0) => {
                self.peer_ended(slot);
                false
            }
            Ok(n) => {
                self.stats().bytes_in.add(n as u64);
                let filled = kept + n;
                if is_wrapped {
                    self.take_wrapped(slot, &mut buffer[..filled]);
                } else {
                    self.ingest(slot, &mut buffer[..filled], kept);
                }
                ended || filled == buffer.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(_) => {
                self.lose(slot, Cause::Reset);
                false
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
        conn.state = State::Open(Open { endpoint, member: 0, user: None, assembly: None });
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
        self.shared.assemblies.change(before, after);
        !self.shared.assemblies.is_spent()
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
        let held = assembly.as_ref().map_or(0, |assembly| assembly.held_bytes());
        self.shared.assemblies.change(held_before, held);
        if ending.is_none() && held > held_before && self.shared.assemblies.is_spent() {
            close::append(replies, Some((close::TRY_AGAIN, "out of memory for messages")));
            ending = Some(Ending::linger(Cause::AssemblyBudget));
        }
        if let Some(open) = self.conns[slot].open() {
            open.assembly = assembly;
        }
        ending
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
    pub(super) fn login(&mut self, slot: u32, app: AppId, id: UserId) {
        let user = Arc::new(User::new(app, id, self.id(slot)));
        let Some(room) = self.shared.hub.directory.room_of(app) else { return };
        let Some(arrival) = self.shared.hub.directory.login(Arc::clone(&user)) else { return };
        let member = self.rooms.join(room, slot);
        if let Some(open) = self.conns[slot].open() {
            open.member = member;
            open.user = Some(Arc::clone(&user));
        }
        self.stats().logins.add(1);
        if self.watched.has_watches() {
            self.watch_login(slot, &user);
        }
        if let Some(max) = self.settings.user_conns_max
            && let Some(oldest) = self.shared.hub.seats.take(&user, max)
        {
            self.shared.hub.router.replace(oldest);
        }
        self.shared.hub.announcer.arrived(&user, arrival);
        if self.shared.events.is_some() {
            let client = self.client(slot);
            self.report(Event::Arrived { user, client, is_new: arrival.is_new });
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
