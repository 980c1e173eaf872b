//! One client: less than a cache line, and no buffer while it is idle.

use super::ledger::Ledger;
use super::tls::Tls;
use crate::wire::frame::Opcode;
use mio::net::TcpStream;
use std::os::fd::RawFd;

/// All that is kept of a client.
#[derive(Debug, Default)]
pub(super) struct Conn {
    pub(super) socket: Option<TcpStream>,
    /// Grows with every socket: an event for an earlier one is stale.
    pub(super) serial: u32,
    /// Pushes received.
    pub(super) ledger: Ledger,
    /// Numbered requests sent.
    pub(super) sent: u32,
    /// Numbered requests answered.
    pub(super) answered: u32,
    /// What was received or is to be sent only in part.
    pub(super) rest: Option<Box<Rest>>,
    pub(super) phase: Phase,
    pub(super) role: Role,
    /// Attempts since it was last open.
    pub(super) tries: u8,
    /// Dropped by us, and to be counted when it is back.
    pub(super) was_dropped: bool,
}

/// What the generator's own memory per idle connection may be. Where mio is
/// built with debug assertions its socket is more than a descriptor.
const _: () = assert!(size_of::<Conn>() <= 64 + 2 * MIO_DEBUG_BYTES);
const MIO_DEBUG_BYTES: usize = size_of::<TcpStream>() - size_of::<RawFd>();

/// How far a client has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// No socket.
    #[default]
    Absent,
    /// TCP is under way.
    Connecting,
    /// The handshake's answer is awaited.
    Upgrading,
    /// Open, not logged in.
    Open,
    /// The login's answer is awaited.
    LoggingIn,
    /// Logged in.
    LoggedIn,
}

impl Phase {
    /// Whether messages may be sent.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::LoggingIn | Self::LoggedIn)
    }
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// As it should.
    #[default]
    Good,
    /// Reads a few bytes a second.
    SlowReader,
    /// Reads nothing after its login.
    StuckReader,
    /// Vanishes without a word: whatever comes for it is dropped, nothing is acknowledged.
    HalfOpen,
    /// Sends the first half of a frame and nothing more.
    MidFrame,
    /// Sends its handshake a byte at a time.
    SlowLoris,
}

/// Bytes in between.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Received, not a whole head or frame yet.
    pub(super) inbound: Vec<u8>,
    /// The kernel did not take it yet.
    pub(super) outbound: Vec<u8>,
    /// Fragments of a message so far.
    pub(super) fragments: Option<(Opcode, Vec<u8>)>,
    /// What `wss://` is spoken with.
    pub(super) tls: Option<Box<Tls>>,
}

impl Rest {
    pub(super) fn is_empty(&self) -> bool {
        self.inbound.is_empty()
            && self.outbound.is_empty()
            && self.fragments.is_none()
            && self.tls.is_none()
    }
}

impl Conn {
    pub(super) fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Gives the memory back that nothing lies in.
    pub(super) fn tidy(&mut self) {
        if self.rest.as_ref().is_some_and(|rest| rest.is_empty()) {
            self.rest = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_client_costs_less_than_a_cache_line() {
        assert_eq!(MIO_DEBUG_BYTES, 0, "mio is built as it is for users");
        assert!(size_of::<Conn>() <= 64);
    }
}
