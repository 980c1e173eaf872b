//! The time that handshakes of TLS may take in a turn.

use super::Reactor;
use super::reading::Waits;
use crate::limits::TLS_HANDSHAKES_US_PER_TURN;
use std::time::Duration;

/// What this turn has spent on handshakes of TLS.
#[derive(Debug, Default)]
pub(super) struct Shaking(Duration);

impl Shaking {
    /// A turn begins: there is time for handshakes again.
    pub(super) fn begin_turn(&mut self) {
        self.0 = Duration::ZERO;
    }

    /// Whether a handshake may take time in this turn.
    pub(super) fn has_time(&self) -> bool {
        self.0 < Duration::from_micros(TLS_HANDSHAKES_US_PER_TURN)
    }

    /// A handshake has taken so much.
    pub(super) fn note(&mut self, spent: Duration) {
        self.0 += spent;
    }
}

impl Reactor {
    /// Whether a connection must leave what it has got unread for now: its handshake of
    /// TLS would keep all others waiting. Connections that wait already come before those
    /// that have just come.
    pub(super) fn must_wait_to_shake(&mut self, slot: u32, has_waited: bool) -> bool {
        if !self.conns[slot].may_shake() {
            return false;
        }
        let are_others_first = !has_waited && self.reading.len(Waits::Shaking) > 0;
        are_others_first || !self.shaking.has_time()
    }
}
