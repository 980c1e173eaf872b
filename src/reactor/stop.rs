//! The orderly end: everybody is told, at a pace.

use super::Reactor;
use super::conn::State;
use crate::metrics::Cause;
use crate::websocket::close;
use std::time::Duration;

/// How far the end has come.
#[derive(Debug)]
pub(super) struct Stopping {
    began: Duration,
    limit: Duration,
    /// Connections there were in the beginning.
    total: usize,
    /// How many have been told.
    told: usize,
    /// Slots below this one have been told.
    cursor: u32,
}

/// How often the next few are told.
pub(super) const STEP: Duration = Duration::from_millis(10);

/// So many are told at once: a small node needs no pacing.
const FIRST: usize = 256;

impl Stopping {
    /// How many should have been told by now: all of them after six tenths of
    /// the limit, so that the last have time to answer.
    fn due(&self, now: Duration) -> usize {
        let pace = self.limit.mul_f64(0.6).max(STEP);
        let done = (now - self.began).as_secs_f64() / pace.as_secs_f64();
        // Bounded by the number of connections, so the cast is exact enough.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2²²")]
        let share = (self.total as f64 * done.min(1.0)) as usize;
        share + FIRST
    }
}

impl Reactor {
    /// From now on nobody new is let in.
    pub(super) fn begin_stop(&mut self, limit: Duration) {
        self.acceptor.close_for_good(self.poll.registry());
        let total = self.conns.len();
        self.stopping.get_or_insert(Stopping { began: self.now, limit, total, told: 0, cursor: 0 });
    }

    /// Tells the next few.
    pub(super) fn stop_step(&mut self) {
        let Some(mut stopping) = self.stopping.take() else { return };
        let quota = stopping.due(self.now).saturating_sub(stopping.told);
        let next: Vec<u32> = self.conns.slots_from(stopping.cursor).take(quota).collect();
        for slot in next {
            stopping.told += 1;
            stopping.cursor = slot + 1;
            match self.conns[slot].state {
                State::Open(_) => {
                    self.close(slot, Cause::Shutdown, close::RESTART, "the server restarts");
                }
                State::Handshake { .. } => self.lose(slot, Cause::Shutdown),
                State::Closing(_) | State::Dead => {}
            }
        }
        self.stopping = Some(stopping);
    }

    /// True when all have gone, or their time is over.
    pub(super) fn has_stopped(&self) -> bool {
        let stopping = self.stopping.as_ref();
        stopping.is_some_and(|stopping| {
            self.conns.is_empty() || self.now >= stopping.began + stopping.limit
        })
    }
}
