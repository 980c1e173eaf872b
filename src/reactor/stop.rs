//! The orderly end: everybody is told, at the pace of the node's schedule, and
//! told when to come back.

use super::Reactor;
use crate::limits::{LAST_ANSWERS_MS, TOLD_PER_TURN};
use crate::link::{Share, Slot};
use crate::metrics::Cause;
use crate::websocket::close;
use std::time::Duration;

/// How far the end has come in this reactor.
#[derive(Debug)]
pub(super) struct Stopping {
    /// Slots below this one have been told.
    cursor: u32,
    /// Its part of the node's drain.
    share: Share,
    /// More are due than one turn tells.
    is_behind: bool,
    /// When the node's schedule is asked again.
    next_at: Duration,
    /// When those who have not answered are cut off: all have been told.
    cut_at: Option<Duration>,
    /// The time of the node's drain is over.
    is_over: bool,
}

/// How often the next few are told.
pub(super) const STEP: Duration = Duration::from_millis(10);

impl Reactor {
    /// From now on nobody new is let in.
    pub(super) fn begin_stop(&mut self) {
        self.acceptor.close_for_good(self.poll.registry());
        let share = Share { total: self.conns.len(), told: 0 };
        self.stopping.get_or_insert(Stopping {
            cursor: 0,
            share,
            is_behind: false,
            next_at: Duration::ZERO,
            cut_at: None,
            is_over: false,
        });
    }

    /// Tells the next few. All reactors share the schedule under a lock, so it is asked once in
    /// [`STEP`], not in each turn.
    pub(super) fn stop_step(&mut self) {
        let now = self.now;
        let Some(mut stopping) =
            self.stopping.take_if(|stopping| stopping.is_behind || now >= stopping.next_at)
        else {
            return;
        };
        stopping.next_at = now + STEP;
        let next: Vec<u32> = self.conns.slots_from(stopping.cursor).take(TOLD_PER_TURN).collect();
        let leave = self.shared.drain.take(self.now, next.len(), stopping.share);
        stopping.share.told += leave.positions.len();
        stopping.is_behind = leave.positions.len() == TOLD_PER_TURN;
        stopping.is_over = self.shared.drain.is_over(now);
        if next.is_empty() {
            let cut_at = now + Duration::from_millis(LAST_ANSWERS_MS);
            stopping.cut_at = stopping.cut_at.or(Some(cut_at));
        }
        let refuges = self.shared.drain.refuges();
        for (slot, position) in next.into_iter().zip(leave.positions.clone()) {
            stopping.cursor = slot + 1;
            if self.conns[slot].is_open() {
                let reason = farewell(&leave, position, &refuges);
                self.close(slot, Cause::Shutdown, close::RESTART, &reason);
            } else if self.conns[slot].is_alive() {
                self.lose(slot, Cause::Shutdown);
            }
        }
        self.stopping = Some(stopping);
    }

    /// Whether the next few are due already.
    pub(super) fn has_to_tell(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.is_behind)
    }

    /// True when all have gone, or their time is over.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| {
            let is_cut = stopping.cut_at.is_some_and(|at| self.now >= at);
            self.conns.is_empty() || stopping.is_over || is_cut
        })
    }
}

/// The reason of the close: when this client should be back, and where. It fits
/// into a close frame, since URLs of other nodes are bounded.
fn farewell(leave: &Slot, position: usize, refuges: &[String]) -> String {
    let elsewhere = match refuges.len() {
        0 => None,
        nodes => refuges.get(position % nodes),
    };
    let after_ms = leave.back_after(position, elsewhere.is_some()).as_millis();
    match elsewhere {
        // Validated: no URL there needs escaping.
        Some(url) => format!(r#"{{"reconnect":{{"after_ms":{after_ms},"url":"{url}"}}}}"#),
        None => format!(r#"{{"reconnect":{{"after_ms":{after_ms}}}}}"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::OTHER_NODE_BYTES_MAX;
    use crate::link::{Drain, Plan};
    use serde_json::Value;

    #[test]
    fn the_longest_reason_fits_and_is_json() {
        let drain = Drain::default();
        let year = Duration::from_secs(365 * 24 * 3_600);
        drain.close(Duration::ZERO, 4_000_000, Plan { grace: year, rate: 0, timeout: year });
        let leave = drain.take(Duration::ZERO, 2, Share { total: 2, told: 0 });
        let url = |letter: &str| format!("wss://{}", letter.repeat(OTHER_NODE_BYTES_MAX - 6));
        let nodes = [url("a"), url("b")];
        let told = [farewell(&leave, 0, &nodes), farewell(&leave, 1, &nodes)];
        for (told, node) in told.iter().zip(&nodes) {
            let reason: Value = serde_json::from_str(told).unwrap();
            assert_eq!(reason["reconnect"]["url"], node.as_str(), "in turns");
        }
        let alone = farewell(&leave, 0, &[]);
        assert!(alone.len() <= close::REASON_BYTES_MAX, "{alone}");
        let reason: Value = serde_json::from_str(&alone).unwrap();
        assert!(reason["reconnect"]["after_ms"].as_u64().unwrap() > 1_000);
        assert!(told.iter().all(|told| told.len() <= close::REASON_BYTES_MAX), "{told:?}");
    }
}
