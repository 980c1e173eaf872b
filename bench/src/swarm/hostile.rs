//! Clients that behave badly.

use super::conn::{Phase, Role};
use super::totals::Count;
use super::worker::Worker;
use crate::wire::frame;
use mio::net::TcpStream;
use socket2::{SockFilter, SockRef};
use std::io::Read;

/// What a slow reader takes at once, and how often: about 1 kB a second.
const SIP_BYTES: usize = 256;
const SIP_US: u64 = 250_000;

/// Time between two bytes of a slow handshake.
const TRICKLE_US: u64 = 1_000_000;

/// A frame that says it has so many bytes, and brings half of them.
const CUT_FRAME_BYTES: usize = 4_096;

impl Worker {
    /// Gives the first clients that have no other role this one. A client that is open
    /// already begins to misbehave in its next turn.
    pub(super) fn assign(&mut self, role: Role, count: u32) {
        // A slow handshake can only be made by a client that has not made one yet.
        let fits = |slot: &u32| {
            let conn = &self.conns[*slot as usize];
            let absent = conn.phase == Phase::Absent;
            conn.role == Role::Good && (role != Role::SlowLoris || absent)
        };
        let chosen: Vec<u32> = (0..self.setup.share).filter(fits).take(count as usize).collect();
        for slot in chosen {
            self.conn(slot).role = role;
            if self.conn(slot).phase.is_open() {
                self.tally.one(Count::Misbehaving);
            }
            self.turn_bad(slot);
        }
        self.hostile_due_us = 0;
    }

    /// Whether this client leaves what has come unread.
    pub(super) fn holds_back(&self, slot: u32) -> bool {
        let conn = &self.conns[slot as usize];
        let settled = conn.phase == Phase::LoggedIn
            || conn.phase == Phase::Open && !self.speech.wants_login();
        match conn.role {
            Role::Good | Role::MidFrame | Role::SlowLoris => false,
            Role::SlowReader | Role::StuckReader | Role::HalfOpen => settled,
        }
    }

    /// What has to be done once when a bad client is where it belongs.
    pub(super) fn turn_bad(&mut self, slot: u32) {
        if !self.conns[slot as usize].phase.is_open() {
            return;
        }
        match self.conns[slot as usize].role {
            Role::MidFrame => {
                let mut bytes = Vec::new();
                frame::append_cut(&mut bytes, CUT_FRAME_BYTES, CUT_FRAME_BYTES / 2);
                self.write(slot, &bytes);
            }
            Role::HalfOpen => {
                if let Some(socket) = &self.conns[slot as usize].socket
                    && let Err(error) = deafen(socket)
                {
                    self.blame(format!("half-open: {error}"));
                }
            }
            Role::Good | Role::SlowReader | Role::StuckReader | Role::SlowLoris => {}
        }
    }

    /// What has to be done again and again.
    pub(super) fn misbehave(&mut self) {
        let now = self.now_us();
        if now < self.hostile_due_us {
            return;
        }
        self.hostile_due_us = u64::MAX;
        for slot in 0..self.setup.share {
            let conn = &self.conns[slot as usize];
            let pause = match conn.role {
                Role::SlowReader if conn.phase.is_open() => {
                    self.sip(slot);
                    SIP_US
                }
                Role::SlowLoris => {
                    self.trickle(slot, now);
                    TRICKLE_US
                }
                _ => continue,
            };
            self.hostile_due_us = self.hostile_due_us.min(now + pause);
        }
    }

    /// Takes a few bytes and throws them away. An error means that the server has closed.
    fn sip(&mut self, slot: u32) {
        let mut sip = [0; SIP_BYTES];
        let Some(socket) = &mut self.conn(slot).socket else { return };
        match socket.read(&mut sip) {
            Ok(0) => self.lose(slot, "slow-reader: closed".into()),
            Ok(n) => self.tally.add(Count::BytesIn, n as u64),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => self.lose(slot, "slow-reader: reset".into()),
        }
    }

    /// Sends the next byte of a handshake; it never sends the last one.
    fn trickle(&mut self, slot: u32, now_us: u64) {
        if self.conns[slot as usize].phase != Phase::Upgrading {
            return;
        }
        let request = self.handshake(slot).request();
        let at = (now_us / TRICKLE_US) as usize % (request.len() - 4);
        // Letters of a header value: never the empty line that would end the head.
        let letter = [if request[at].is_ascii_alphanumeric() { request[at] } else { b'x' }];
        self.write(slot, &letter);
    }
}

/// From here on the kernel drops whatever comes for this socket before TCP sees
/// it, so that nothing is acknowledged: to the server the peer has vanished.
fn deafen(socket: &TcpStream) -> std::io::Result<()> {
    // One instruction of classic BPF: BPF_RET | BPF_K, 0 bytes to keep.
    SockRef::from(socket).attach_filter(&[SockFilter::new(0x06, 0, 0, 0)])
}
