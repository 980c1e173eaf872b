//! What clients send: logins, heartbeats, requests.

use super::conn::{Phase, Role};
use super::dial::name_of;
use super::order::{Beat, Load, Policy, Request};
use super::pacer::Pacer;
use super::totals::Count;
use super::worker::Worker;
use crate::clock::unix_seconds;
use crate::wire::frame::{self, Opcode};
use crate::wire::gateway::{self, Command};
use crate::wire::stamp::{self, Stamp};
use crate::wire::token::Issuer;
use std::collections::VecDeque;
use std::io;

/// What a worker has to say, and when.
#[derive(Debug, Default)]
pub(super) struct Speech {
    logins: Option<Logins>,
    beat: Option<(Beat, Pacer)>,
    load: Option<(Load, Option<Pacer>)>,
    /// Clients that still have to be given their first request of a closed loop.
    to_start: u32,
    /// When the last handshake was done.
    pub(super) last_opened_us: u64,
}

#[derive(Debug)]
struct Logins {
    queue: VecDeque<u32>,
    under_way: u32,
    pacer: Option<Pacer>,
}

/// Logins that one worker has under way at once.
const LOGINS_AT_ONCE: u32 = 64;

/// Things sent in one turn, so that answers are read meanwhile.
const SENDS_PER_TURN: u32 = 256;

impl Speech {
    pub(super) fn wants_login(&self) -> bool {
        self.logins.is_some()
    }

    pub(super) fn queue_login(&mut self, slot: u32) {
        if let Some(logins) = &mut self.logins {
            logins.queue.push_back(slot);
        }
    }

    pub(super) fn login_settled(&mut self) {
        if let Some(logins) = &mut self.logins {
            logins.under_way = logins.under_way.saturating_sub(1);
        }
    }

    pub(super) fn next_due_us(&self) -> u64 {
        if self.to_start > 0 {
            return 0;
        }
        let login = match &self.logins {
            Some(logins) if !logins.queue.is_empty() && logins.under_way < LOGINS_AT_ONCE => {
                logins.pacer.as_ref().map_or(0, Pacer::next_us)
            }
            _ => u64::MAX,
        };
        let beat = self.beat.as_ref().map_or(u64::MAX, |(_, pacer)| pacer.next_us());
        let load = match &self.load {
            Some((_, Some(pacer))) => pacer.next_us(),
            _ => u64::MAX,
        };
        login.min(beat).min(load)
    }
}

impl Logins {
    /// The next one who may log in.
    fn next(&mut self, now_us: u64) -> Option<u32> {
        if self.under_way >= LOGINS_AT_ONCE || self.queue.is_empty() {
            return None;
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.take(now_us)?;
        }
        self.queue.pop_front()
    }
}

impl Worker {
    pub(super) fn begin_login(&mut self, per_s: Option<f64>) {
        let now = self.now_us();
        let is_open = |slot: &u32| self.conns[*slot as usize].phase == Phase::Open;
        let queue = (0..self.setup.share).filter(is_open).collect();
        let pacer = per_s.map(|rate| Pacer::new(now, rate));
        self.speech.logins = Some(Logins { queue, under_way: 0, pacer });
    }

    /// Begins logins whose time has come.
    pub(super) fn log_in(&mut self) {
        let now = self.now_us();
        while let Some(logins) = &mut self.speech.logins
            && let Some(slot) = logins.next(now)
        {
            if self.conns[slot as usize].phase != Phase::Open {
                continue;
            }
            logins.under_way += 1;
            self.conn(slot).phase = Phase::LoggingIn;
            let spec = &self.setup.spec;
            let global = self.setup.first + slot;
            let mut text = Vec::new();
            let token = spec.login_tokens.as_ref().map(|issuer| self.token(slot, issuer));
            gateway::append_login(
                &mut text,
                &spec.user(global),
                spec.app(global),
                token.as_deref(),
            );
            self.send(slot, Opcode::Text, &text);
        }
    }

    /// A fresh token for the user of a client.
    pub(super) fn token(&self, slot: u32, issuer: &Issuer) -> String {
        let (spec, global) = (&self.setup.spec, self.setup.first + slot);
        issuer.issue(&spec.user(global), spec.app(global), unix_seconds())
    }

    pub(super) fn login_answered(&mut self, slot: u32, code: u32) {
        if self.conn(slot).phase != Phase::LoggingIn {
            return self.tally.one(Count::Duplicates);
        }
        self.speech.login_settled();
        self.conn(slot).phase = Phase::Open;
        if code != 200 {
            self.tally.one(Count::Failed);
            self.blame(format!("login: {code}"));
            // Who was told to come back has not, with that.
            if self.policy == Policy::Obey {
                self.close(slot);
                self.note_failure(slot);
                self.come_back(slot);
            }
            return;
        }
        self.conn(slot).phase = Phase::LoggedIn;
        self.tally.one(Count::LoggedIn);
        self.tally.one(Count::Present);
        self.arrived(slot);
    }

    /// Everybody beats once in the time given, one after the other: no storm, and no
    /// timer for each.
    pub(super) fn begin_beating(&mut self, beat: Option<Beat>) {
        let now = self.now_us();
        self.speech.beat = beat.map(|beat| {
            let per_s = f64::from(self.setup.share) / beat.every.as_secs_f64();
            (beat, Pacer::new(now, per_s))
        });
    }

    pub(super) fn begin_load(&mut self, load: Option<Load>) {
        let now = self.now_us();
        self.speech.load = load.map(|load| (load, load.per_s.map(|rate| Pacer::new(now, rate))));
        self.speech.to_start = match load {
            Some(Load { per_s: None, active, .. }) => active.min(self.setup.share),
            _ => 0,
        };
    }

    /// Sends what is due.
    pub(super) fn speak(&mut self) {
        let now = self.now_us();
        for _ in 0..SENDS_PER_TURN {
            let Some((beat, pacer)) = &mut self.speech.beat else { break };
            let beat = *beat;
            let Some((turn, intended)) = pacer.take(now) else { break };
            let slot = (turn % u64::from(self.setup.share.max(1))) as u32;
            self.beat(slot, beat, intended);
        }
        for _ in 0..SENDS_PER_TURN {
            let Some((load, Some(pacer))) = &mut self.speech.load else { break };
            let load = *load;
            let Some((turn, intended)) = pacer.take(now) else { break };
            let slot = (turn % u64::from(load.active.max(1))) as u32;
            if self.conns[slot as usize].phase.is_open() {
                self.request(slot, load.request, intended);
            }
        }
        for _ in 0..SENDS_PER_TURN.min(self.speech.to_start) {
            self.speech.to_start -= 1;
            let slot = self.speech.to_start;
            self.settle_in(slot);
        }
    }

    /// A client that takes part in a closed loop gets its first requests.
    pub(super) fn settle_in(&mut self, slot: u32) {
        let Some((load, None)) = self.speech.load else { return };
        let conn = &self.conns[slot as usize];
        let idle = conn.answered == conn.sent;
        if slot < load.active && conn.phase.is_open() && idle && conn.role == Role::Good {
            for _ in 0..load.in_flight {
                self.request(slot, load.request, self.now_us());
            }
        }
    }

    /// The next request of a closed loop.
    pub(super) fn go_on(&mut self, slot: u32, now_us: u64) {
        if let Some((load, None)) = self.speech.load
            && slot < load.active
        {
            self.request(slot, load.request, now_us);
        }
    }

    fn request(&mut self, slot: u32, request: Request, intended_us: u64) {
        let (receiver, sent_us) = (self.global(slot), self.now_us());
        let conn = self.conn(slot);
        let stamp = Stamp { receiver, number: conn.sent, intended_us, sent_us }.encode();
        conn.sent += 1;
        self.tally.one(Count::Sent);
        let request = match request {
            Request::Mix(pings) if self.random.u8(..100) < pings => Request::Ping,
            Request::Mix(_) => Request::Heartbeat,
            one => one,
        };
        match request {
            Request::Echo(bytes) => {
                let mut message = stamp.to_vec();
                stamp::pad(&mut message, bytes);
                self.send(slot, Opcode::Text, &message);
            }
            Request::Ping => self.command(slot, Command::Ping, &stamp),
            Request::Heartbeat | Request::Mix(_) => {
                self.command(slot, Command::Heartbeat, &stamp);
            }
        }
    }

    fn command(&mut self, slot: u32, command: Command, seq: &[u8]) {
        let mut text = Vec::with_capacity(96);
        gateway::append_command(&mut text, command, seq);
        self.send(slot, Opcode::Text, &text);
    }

    fn beat(&mut self, slot: u32, beat: Beat, intended_us: u64) {
        let conn = &self.conns[slot as usize];
        let ready = if beat.command { conn.phase == Phase::LoggedIn } else { conn.phase.is_open() };
        if !ready || conn.role != Role::Good {
            return;
        }
        self.tally.one(Count::Beats);
        let (receiver, sent_us) = (self.global(slot), self.now_us());
        let stamp = Stamp { receiver, number: BEAT, intended_us, sent_us }.encode();
        if beat.command {
            self.command(slot, Command::Heartbeat, &stamp);
        } else {
            self.send(slot, Opcode::Ping, &stamp);
        }
    }

    pub(super) fn beat_answered(&mut self, stamp: Stamp) {
        self.tally.one(Count::BeatsAnswered);
        let now = self.now_us();
        self.harvest.beats.record(stamp.intended_us, stamp.sent_us, now);
    }

    /// The answer to a `heartbeat`, sent for life or as a request.
    pub(super) fn heartbeat_reply(&mut self, slot: u32, stamp: Stamp) {
        if stamp.number == BEAT {
            self.beat_answered(stamp);
        } else {
            self.reply(slot, stamp);
        }
    }

    /// Sends one frame.
    pub(super) fn send(&mut self, slot: u32, opcode: Opcode, payload: &[u8]) {
        let mask = if self.setup.spec.raw { [0; 4] } else { self.random.u32(..).to_ne_bytes() };
        let mut out = std::mem::take(&mut self.out);
        frame::append(&mut out, opcode, payload, mask);
        self.write(slot, &out);
        out.clear();
        self.out = out;
    }

    /// Writes, or keeps what the kernel does not take.
    pub(super) fn write(&mut self, slot: u32, bytes: &[u8]) {
        let conn = self.conn(slot);
        if let Some(rest) = &mut conn.rest
            && !rest.outbound.is_empty()
        {
            if rest.outbound.len() + bytes.len() > OUTBOUND_BYTES_MAX {
                return self.lose(slot, "open: server does not read".into());
            }
            rest.outbound.extend_from_slice(bytes);
            return;
        }
        if conn.socket.is_none() {
            return;
        }
        match conn.write(bytes) {
            Ok(written) => {
                if written < bytes.len() {
                    conn.rest().outbound.extend_from_slice(&bytes[written..]);
                }
                self.tally.add(Count::BytesOut, written as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                conn.rest().outbound.extend_from_slice(bytes);
            }
            Err(error) => self.cut_off(slot, &error),
        }
    }

    /// Nothing can be sent any more. What the server has said before, such as why, may still lie
    /// in the socket.
    fn cut_off(&mut self, slot: u32, error: &io::Error) {
        if self.is_reading() {
            // It is found out when everything has been read.
            return;
        }
        let serial = self.conn(slot).serial;
        if self.conn(slot).phase.is_open() {
            self.readable(slot, true);
        }
        let conn = self.conn(slot);
        if conn.serial == serial && conn.socket.is_some() {
            self.lose(slot, format!("write: {}", name_of(error)));
        }
    }

    /// The kernel takes bytes again.
    pub(super) fn flush(&mut self, slot: u32) {
        let conn = self.conn(slot);
        let outbound = std::mem::take(&mut conn.rest().outbound);
        self.write(slot, &outbound);
        self.conn(slot).tidy();
    }
}

/// The number of a heartbeat: they are counted, not numbered.
const BEAT: u32 = u32::MAX;

/// What a client may have waiting for a server that does not read.
const OUTBOUND_BYTES_MAX: usize = 1 << 20;
