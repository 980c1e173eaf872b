//! Reading and writing where something stands between the socket and the
//! WebSocket: the header of a proxy, then TLS.

use super::Reactor;
use super::admit::TurnedAway;
use super::close::Ending;
use super::conn::State;
use super::extra::Security;
use super::outbox::Outbox;
use super::reading::Waits;
use super::tls::Tls;
use crate::limits::TLS_HANDSHAKES_US_PER_TURN;
use crate::metrics::Cause;
use crate::websocket::handshake::Refusal;
use bytes::Bytes;
use std::io::Write;
use std::time::Duration;

/// What TLS needs of a reactor: buffers that no connection owns, and the time that
/// handshakes have taken in this turn.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// What one read has brought, decrypted.
    plain: Vec<u8>,
    /// What is on its way to a peer, encrypted.
    pub(super) sealed: Vec<u8>,
    /// Time spent on handshakes in this turn.
    shaking: Duration,
}

/// What the buffers keep between reads.
const SCRATCH_KEPT_BYTES: usize = 262_144;

impl Scratch {
    /// A turn begins: there is time for handshakes again.
    pub(super) fn begin_turn(&mut self) {
        self.shaking = Duration::ZERO;
    }

    /// Whether a handshake may take time in this turn.
    pub(super) fn has_time(&self) -> bool {
        self.shaking < Duration::from_micros(TLS_HANDSHAKES_US_PER_TURN)
    }
}

impl Reactor {
    /// Whether a connection must leave what it has got unread for now: its handshake of
    /// TLS would keep all others waiting. Connections that wait already come before those
    /// that have just come.
    pub(super) fn must_wait_to_shake(&mut self, slot: u32, has_waited: bool) -> bool {
        let extra = self.conns[slot].extra.as_ref();
        if !extra.is_some_and(|extra| extra.may_shake()) {
            return false;
        }
        let are_others_first = !has_waited && self.reading.len(Waits::Shaking) > 0;
        are_others_first || !self.scratch.has_time()
    }

    /// Keeps what cannot be understood before more has come; nothing may be kept already. If
    /// the budget for such things is spent, the connection ends.
    pub(super) fn keep_raw(&mut self, slot: u32, bytes: &[u8]) {
        let conn = &mut self.conns[slot];
        let is_alive = matches!(conn.state, State::Handshake { .. } | State::Open(_));
        let Some(extra) = conn.extra.as_mut().filter(|_| is_alive && !bytes.is_empty()) else {
            return;
        };
        extra.raw = bytes.to_vec();
        let held = extra.raw.capacity();
        self.hold(slot, 0, held);
        if self.is_overfull(slot) {
            self.lose(slot, Cause::AssemblyBudget);
        }
    }

    /// Gives back what was kept.
    pub(super) fn forget_raw(&mut self, slot: u32) {
        if let Some(extra) = &mut self.conns[slot].extra {
            let held = std::mem::take(&mut extra.raw).capacity();
            self.hold(slot, held, 0);
        }
    }

    /// Takes in what has come over the socket.
    pub(super) fn take_wrapped(&mut self, slot: u32, bytes: &mut [u8]) {
        let conn = &self.conns[slot];
        if !matches!(conn.state, State::Handshake { .. } | State::Open(_)) {
            return;
        }
        let Some(extra) = &conn.extra else { return };
        let mut bytes = bytes;
        if extra.awaits_proxy {
            let Some(len) = self.take_proxy_header(slot, bytes) else {
                return self.keep_raw(slot, bytes);
            };
            bytes = &mut bytes[len..];
        }
        let Some(len) = self.take_proxy_rest(slot, bytes) else { return };
        bytes = &mut bytes[len..];
        let Some((first, _)) = bytes.split_first() else { return };
        match self.conns[slot].extra.as_ref().map(|extra| &extra.security) {
            Some(Security::Due) if first.is_ascii_uppercase() => self.refuse_plain(slot),
            Some(Security::Due) => {
                if self.begin_tls(slot) {
                    self.decrypt(slot, bytes);
                }
            }
            Some(Security::Tls(_)) => self.decrypt(slot, bytes),
            Some(Security::None) | None => self.ingest(slot, bytes, 0),
        }
    }

    /// Answers a request that came without TLS where TLS is due.
    fn refuse_plain(&mut self, slot: u32) {
        if let Some(extra) = &mut self.conns[slot].extra {
            extra.security = Security::None;
        }
        let mut answer = Vec::new();
        Refusal::BadRequest("TLS required: a plain request came to a port of wss")
            .append_response(&mut answer);
        self.send_bytes(slot, &answer);
        self.end(slot, Ending::linger(Cause::HandshakeRefused));
    }

    /// Turns a client away whose address its proxy has told.
    pub(super) fn refuse_wrapped(&mut self, slot: u32, refused: TurnedAway) {
        let extra = self.conns[slot].extra.as_ref();
        if extra.is_none_or(|extra| !matches!(extra.security, Security::None)) {
            // TLS has not begun: an answer would be none.
            return self.lose(slot, refused.cause);
        }
        let mut answer = Vec::new();
        refused.append_response(&mut answer);
        self.send_bytes(slot, &answer);
        self.end(slot, Ending::linger(refused.cause));
    }

    /// Makes the TLS side of a connection; false if that fails.
    fn begin_tls(&mut self, slot: u32) -> bool {
        let made = self.settings.tls.as_ref().map(Tls::new);
        let Some(Ok(tls)) = made else {
            let why = made.and_then(Result::err).map(|error| error.to_string());
            tracing::debug!(conn = %self.id(slot), why, "TLS cannot begin");
            self.lose(slot, Cause::Tls);
            return false;
        };
        if let Some(extra) = &mut self.conns[slot].extra {
            extra.security = Security::Tls(tls);
        }
        true
    }

    /// Decrypts what has come, answers what TLS has to answer, and takes in what was said.
    fn decrypt(&mut self, slot: u32, bytes: &mut [u8]) {
        let conn = &mut self.conns[slot];
        let mut plain = std::mem::take(&mut self.scratch.plain);
        let mut sealed = std::mem::take(&mut self.scratch.sealed);
        if let State::Handshake { head: Some(head) } = &conn.state {
            plain.extend_from_slice(head);
        }
        let kept = plain.len();
        let Some(tls) = conn.extra.as_mut().and_then(|extra| extra.tls()) else { return };
        let began = tls.is_handshaking().then(|| self.shared.clock.now());
        let understood = tls.open(bytes, &mut plain, &mut sealed);
        let is_established = !tls.is_handshaking();
        if let Some(began) = began {
            self.scratch.shaking += self.shared.clock.now().saturating_sub(began);
            self.stats().tls_handshakes.add(u64::from(is_established));
        }
        self.send_sealed(slot, &sealed);
        if plain.len() > kept {
            self.ingest(slot, &mut plain, kept);
        }
        plain.clear();
        plain.shrink_to(SCRATCH_KEPT_BYTES);
        sealed.clear();
        sealed.shrink_to(SCRATCH_KEPT_BYTES);
        (self.scratch.plain, self.scratch.sealed) = (plain, sealed);
        match understood {
            Ok(understood) => {
                self.keep_raw(slot, &bytes[understood.used..]);
                if understood.peer_ended {
                    self.tls_ended(slot);
                }
            }
            Err(error) => {
                tracing::debug!(conn = %self.id(slot), %error, "TLS");
                self.end(slot, Ending::linger(Cause::Tls));
            }
        }
    }

    /// The peer has said in TLS that nothing more will come. It is told the same after what it
    /// is still owed (RFC 8446 §6.1).
    fn tls_ended(&mut self, slot: u32) {
        match self.conns[slot].state {
            State::Handshake { .. } | State::Open(_) => self.end(slot, Ending::drop(Cause::Eof)),
            State::Closing(_) | State::Dead => self.peer_ended(slot),
        }
    }

    /// Sends what TLS itself has to say.
    fn send_sealed(&mut self, slot: u32, sealed: &[u8]) {
        if sealed.is_empty() {
            return;
        }
        let conn = &mut self.conns[slot];
        let before = conn.backlog_bytes();
        conn.outbox.get_or_insert_with(Box::default).push_sealed(sealed);
        self.recharge(slot, before);
        self.flush(slot);
    }

    /// Encrypts and sends to a connection without a backlog.
    pub(super) fn send_sealing(&mut self, slot: u32, frames: &[Bytes]) {
        let conn = &mut self.conns[slot];
        let outbox = conn.outbox.get_or_insert_with(Box::default);
        for frame in frames {
            outbox.push(frame.clone());
        }
        self.recharge(slot, 0);
        self.flush(slot);
    }

    /// Says in TLS that nothing more will come, as far as the kernel takes it now: all that
    /// went before has been taken.
    pub(super) fn say_goodbye(&mut self, slot: u32) {
        let conn = &mut self.conns[slot];
        let Some(tls) = conn.extra.as_mut().and_then(|extra| extra.tls()) else { return };
        let mut sealed = Vec::new();
        if tls.seal_goodbye(&mut sealed).is_ok() {
            let _best_effort = conn.socket.write(&sealed);
        }
    }
}

impl Outbox {
    /// Encrypts and writes until all is written or the kernel takes no more.
    /// Returns the bytes written.
    pub(super) fn flush_with(
        &mut self,
        tls: &mut Tls,
        socket: &mut impl Write,
    ) -> std::io::Result<usize> {
        let mut total = 0;
        loop {
            total += self.flush_sealed(socket)?;
            if self.has_sealed() || !self.seal_next(tls)? {
                return Ok(total);
            }
        }
    }
}
