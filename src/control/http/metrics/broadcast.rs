//! Messages to whole rooms: how many are admitted, and how old they are.

use super::Page;
use crate::link::BroadcastState;

impl Page {
    pub(super) fn of_broadcasts(self, state: BroadcastState) -> Self {
        self.counter(
            "millgate_broadcasts_total",
            "Messages to whole rooms that were admitted.",
            state.admitted,
        )
        .counter(
            "millgate_broadcasts_refused_total",
            "Messages to whole rooms that were refused, so that no member got them from this node.",
            state.refused,
        )
        .counter(
            "millgate_broadcasts_late_total",
            "Admitted ones that were older than broadcast.wait when the last reactor was done.",
            state.late,
        )
        .gauge(
            "millgate_broadcasts_under_way",
            "Messages to whole rooms that are being written.",
            state.under_way as u64,
        )
        .gauge(
            "millgate_broadcasts_waiting",
            "Messages to whole rooms that wait for admission.",
            state.waiting as u64,
        )
        .gauges(
            "millgate_broadcast_age_seconds",
            "Age of the oldest message to a whole room that is being written; 0 for none.",
            [(Vec::new(), state.oldest.as_secs_f64())],
        )
        .gauge(
            "millgate_broadcast_deliveries_max",
            "Deliveries that may be under way, as the node has adapted this bound.",
            state.deliveries_max,
        )
    }
}
