//! From bytes to what they tell.

use super::Protocol;
use super::conn::{Phase, Role};
use super::dial::name_of;
use super::ledger::Receipt;
use super::totals::Count;
use super::worker::Worker;
use crate::wire::frame::{self, Dialect, Flaw, Frame, MESSAGE_BYTES_MAX, Opcode};
use crate::wire::gateway::{self, Command, News};
use crate::wire::handshake::Answer;
use crate::wire::stamp::{self, EVERYBODY, STAMP_BYTES, Stamp};
use std::io;

impl Worker {
    /// Reads until the socket has nothing more. A read that does not fill the
    /// buffer has emptied it, unless the server has `ended`: then only the end tells.
    pub(super) fn readable(&mut self, slot: u32, ended: bool) {
        if self.holds_back(slot) {
            return;
        }
        while self.read_once(slot, ended) {}
    }

    /// Whether a read is under way, which has taken the buffer.
    pub(super) fn is_reading(&self) -> bool {
        self.buffer.is_empty()
    }

    /// One read; true if another one may bring more.
    fn read_once(&mut self, slot: u32, ended: bool) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let conn = &mut self.conns[slot as usize];
        let kept = conn.rest.as_mut().map_or(0, |rest| {
            let kept = rest.inbound.len();
            if buffer.len() < kept + super::worker::ROOM_BYTES {
                buffer.resize(kept + super::worker::ROOM_BYTES, 0);
            }
            buffer[..kept].copy_from_slice(&rest.inbound);
            rest.inbound = Vec::new();
            kept
        });
        let more = match conn.read(&mut buffer[kept..]) {
            Ok(0) => {
                self.lose(slot, self.name_of_end(slot, "closed without a close frame"));
                false
            }
            Ok(n) => {
                self.tally.add(Count::BytesIn, n as u64);
                let filled = kept + n;
                self.take(slot, &buffer[..filled]);
                self.conns[slot as usize].socket.is_some() && (ended || filled == buffer.len())
            }
            Err(error) => {
                if kept > 0 {
                    self.conns[slot as usize].rest().inbound = buffer[..kept].to_vec();
                }
                match error.kind() {
                    io::ErrorKind::WouldBlock => false,
                    io::ErrorKind::Interrupted => true,
                    _ => {
                        self.lose(slot, self.name_of_end(slot, &name_of(&error)));
                        false
                    }
                }
            }
        };
        self.buffer = buffer;
        more
    }

    /// In which phase a connection has ended, and how.
    fn name_of_end(&self, slot: u32, how: &str) -> String {
        let phase = match self.conns[slot as usize].phase {
            Phase::Absent | Phase::Connecting => "connect",
            Phase::Upgrading => "handshake",
            Phase::Open | Phase::LoggingIn | Phase::LoggedIn => "open",
        };
        format!("{phase}: {how}")
    }

    /// Takes in what has come; keeps what is not whole yet.
    fn take(&mut self, slot: u32, bytes: &[u8]) {
        let mut at = 0;
        if self.conn(slot).phase == Phase::Upgrading {
            let handshake = self.handshake(slot);
            match handshake.judge(bytes) {
                Answer::Partial => {}
                Answer::Upgraded(length) => {
                    at = length;
                    self.opened(slot);
                }
                Answer::Refused(why) => return self.fail(slot, why),
            }
        }
        let dialect = if self.setup.spec.raw { Dialect::Mirror } else { Dialect::WebSocket };
        while self.conn(slot).phase.is_open() && at < bytes.len() {
            match frame::parse(&bytes[at..], dialect) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    at += frame.length;
                    if let Err(flaw) = self.frame(slot, frame) {
                        return self.lose(slot, flaw.to_owned());
                    }
                }
                Err(flaw) => return self.lose(slot, flaw.to_owned()),
            }
        }
        let conn = self.conn(slot);
        if at < bytes.len() && conn.socket.is_some() {
            conn.rest().inbound = bytes[at..].to_vec();
        }
        conn.tidy();
    }

    fn opened(&mut self, slot: u32) {
        self.dialer.settled();
        self.tally.one(Count::Opened);
        self.tally.one(Count::Open);
        let conn = self.conn(slot);
        conn.phase = Phase::Open;
        conn.tries = 0;
        self.speech.last_opened_us = self.setup.clock.now_us();
        if self.conns[slot as usize].role != Role::Good {
            self.tally.one(Count::Misbehaving);
        }
        if !self.speech.wants_login() {
            self.arrived(slot);
        } else {
            self.speech.queue_login(slot);
        }
    }

    /// A client is where it belongs: open, or logged in.
    pub(super) fn arrived(&mut self, slot: u32) {
        if std::mem::take(&mut self.conn(slot).was_dropped) {
            self.tally.one(Count::Returned);
            self.note_return(slot);
        }
        self.turn_bad(slot);
        self.settle_in(slot);
    }

    fn frame(&mut self, slot: u32, frame: Frame<'_>) -> Result<(), Flaw> {
        match frame.opcode {
            Opcode::Text | Opcode::Binary if frame.is_final => self.message(slot, frame.payload),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => self.fragment(slot, frame)?,
            Opcode::Ping => {
                let payload = frame.payload.to_vec();
                self.send(slot, Opcode::Pong, &payload);
            }
            Opcode::Pong => {
                if let Some(stamp) = Stamp::decode(frame.payload) {
                    self.beat_answered(stamp);
                }
            }
            Opcode::Close => {
                let payload = frame.payload.to_vec();
                self.answer_goodbye(slot, &payload);
                let (code, reason) = match payload.split_first_chunk() {
                    Some((code, reason)) => (Some(u16::from_be_bytes(*code)), reason),
                    None => (None, &[][..]),
                };
                self.goodbye(slot, code, reason);
            }
        }
        Ok(())
    }

    fn fragment(&mut self, slot: u32, frame: Frame<'_>) -> Result<(), Flaw> {
        let rest = self.conn(slot).rest();
        let (opcode, mut message) = match (rest.fragments.take(), frame.opcode) {
            (Some(begun), Opcode::Continuation) => begun,
            (None, Opcode::Text | Opcode::Binary) => (frame.opcode, Vec::new()),
            _ => return Err("frame: fragment out of place"),
        };
        if message.len() + frame.payload.len() > MESSAGE_BYTES_MAX {
            return Err("frame: too large");
        }
        message.extend_from_slice(frame.payload);
        if frame.is_final {
            self.message(slot, &message);
        } else {
            rest.fragments = Some((opcode, message));
        }
        Ok(())
    }

    fn message(&mut self, slot: u32, payload: &[u8]) {
        match self.setup.spec.protocol {
            Protocol::Echo => match Stamp::decode(payload) {
                Some(stamp) if stamp::is_padding(&payload[STAMP_BYTES..]) => {
                    self.reply(slot, stamp);
                }
                Some(_) => self.tally.one(Count::Corrupted),
                None => self.tally.one(Count::Unnumbered),
            },
            Protocol::Gateway => match gateway::read(payload) {
                Some(News::Login(code)) => self.login_answered(slot, code),
                Some(News::Reply(command, seq, 200)) => match Stamp::decode(seq.as_bytes()) {
                    Some(stamp) if command == Command::Ping => self.reply(slot, stamp),
                    Some(stamp) => self.heartbeat_reply(slot, stamp),
                    None => self.tally.one(Count::Corrupted),
                },
                Some(News::Message(text)) => self.push(slot, text.as_bytes()),
                Some(News::Announcement) => self.tally.one(Count::Unnumbered),
                Some(News::Reply(..)) | None => self.tally.one(Count::Corrupted),
            },
        }
    }

    /// An answer to a request of this very client.
    pub(super) fn reply(&mut self, slot: u32, stamp: Stamp) {
        if stamp.receiver != self.global(slot) {
            return self.tally.one(Count::Misdelivered);
        }
        let conn = self.conn(slot);
        if stamp.number < conn.answered {
            return self.tally.one(Count::Duplicates);
        }
        // What was passed over is missing: it counts as lost in the end, or as late when it comes.
        conn.answered = stamp.number + 1;
        self.tally.one(Count::Answered);
        let now = self.now_us();
        self.harvest.replies.record(stamp.intended_us, stamp.sent_us, now);
        self.go_on(slot, now);
    }

    /// A message from somebody else.
    fn push(&mut self, slot: u32, text: &[u8]) {
        let Some(stamp) = Stamp::decode(text) else {
            return self.tally.one(Count::Unnumbered);
        };
        if !stamp::is_padding(&text[STAMP_BYTES..]) {
            return self.tally.one(Count::Corrupted);
        }
        if stamp.receiver != EVERYBODY && stamp.receiver != self.global(slot) {
            return self.tally.one(Count::Misdelivered);
        }
        let now = self.now_us();
        let delay = now.saturating_sub(stamp.intended_us);
        match self.conn(slot).ledger.note(stamp.number, delay) {
            Receipt::Duplicate => return self.tally.one(Count::Duplicates),
            Receipt::Late => self.tally.one(Count::OutOfOrder),
            Receipt::InOrder => {}
        }
        self.tally.one(Count::Pushed);
        self.was_told = true;
        self.harvest.pushes.record(stamp.intended_us, stamp.sent_us, now);
        let url = self.setup.spec.url_index(self.setup.first + slot);
        self.harvest.first(url, delay);
    }
}
