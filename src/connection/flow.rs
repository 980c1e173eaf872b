//! What one client may send in a second.

use super::Connection;
use crate::config::{Excess, Limits};
use crate::link::Rate;
use crate::websocket::message::Incoming;
use std::time::Duration;

/// The bounds, the same for each client.
#[derive(Clone, Copy, Debug)]
pub struct FlowRules {
    messages: Option<Rate>,
    bytes: Option<Rate>,
    /// What becomes of a message above them.
    pub excess: Excess,
}

/// What is kept of one client, 0 in the beginning; see [`Rate`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    messages: u64,
    bytes: u64,
}

impl FlowRules {
    /// `None` when nothing is bounded.
    pub fn new(limits: &Limits) -> Option<Self> {
        let messages = Rate::new(limits.messages_per_second, 1);
        // The largest legal message has to pass.
        let bytes = Rate::new(limits.bytes_per_second, limits.message_bytes as u64);
        let is_bounded = messages.is_some() || bytes.is_some();
        is_bounded.then_some(Self { messages, bytes, excess: limits.excess })
    }

    /// Whether a message that came in so many frames and has so many bytes is
    /// within bounds. One that is not leaves the count as it is.
    fn admit(&self, flow: &mut Flow, now: Duration, frames: u64, bytes: u64) -> bool {
        let take = |rate: &Option<Rate>, kept, amount| match rate {
            Some(rate) => rate.take(kept, now, amount),
            None => Some(kept),
        };
        let taken = take(&self.messages, flow.messages, frames)
            .zip(take(&self.bytes, flow.bytes, bytes))
            .map(|(messages, bytes)| Flow { messages, bytes });
        *flow = taken.unwrap_or(*flow);
        taken.is_some()
    }
}

/// Counts what one read of one client has brought.
#[derive(Debug)]
pub(super) struct Meter {
    rules: FlowRules,
    flow: Flow,
    now: Duration,
    whole: u32,
}

impl Meter {
    pub(super) fn new(rules: FlowRules, now: Duration, conn: &mut Connection) -> Self {
        Self { rules, flow: conn.extra().flow, now, whole: 0 }
    }

    /// Whether this one may pass. A goodbye always does.
    pub(super) fn admits(&mut self, incoming: &Incoming<'_>) -> bool {
        self.whole += 1;
        let bytes = incoming.payload_bytes() as u64;
        matches!(incoming, Incoming::Close(_))
            || self.rules.admit(&mut self.flow, self.now, 1, bytes)
    }

    /// Counts those of all `frames` that were only pieces of a message, and
    /// keeps the count. False if they were too many.
    pub(super) fn settle(mut self, frames: u32, conn: &mut Connection) -> bool {
        let pieces = u64::from(frames.saturating_sub(self.whole));
        let admitted = pieces == 0 || self.rules.admit(&mut self.flow, self.now, pieces, 0);
        conn.extra().flow = self.flow;
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5);

    #[test]
    fn messages_and_bytes_are_bounded_each() {
        let limits = Limits {
            messages_per_second: 3,
            bytes_per_second: 100,
            message_bytes: 150,
            ..Limits::default()
        };
        let rules = FlowRules::new(&limits).unwrap();
        let mut flow = Flow::default();
        assert!(rules.admit(&mut flow, NOW, 1, 150), "the largest message passes");
        let before = flow;
        assert!(!rules.admit(&mut flow, NOW, 1, 1), "and nothing right after it");
        assert_eq!(flow, before, "what is refused does not count");
        let later = NOW + Duration::from_secs(2);
        assert!(!rules.admit(&mut flow, later, 4, 4), "four frames are too many");
        assert!(rules.admit(&mut flow, later, 3, 3));
        assert!(FlowRules::new(&Limits::default()).is_none());
    }
}
