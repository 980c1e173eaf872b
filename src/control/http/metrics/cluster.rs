//! The part of the metrics that only a node of a cluster has.

use super::{Labels, Page, as_f64, load};
use crate::control::cluster::{Cluster, PeerState};
use crate::metrics::{ClusterStats, Metrics, PeerStats};

impl Page {
    /// Nothing on a node that is complete by itself.
    pub(super) fn of_cluster(self, cluster: Option<&Cluster>, metrics: &Metrics) -> Self {
        let Some(cluster) = cluster else { return self };
        self.of_nodes(cluster).of_peers(&metrics.peers).of_redis(&metrics.cluster).counter(
            "millgate_cluster_events_lost_total",
            "Logins and logouts that the control plane was too slow for; a sweep makes up for them.",
            load(&metrics.shared.events_lost),
        )
    }

    fn of_nodes(self, cluster: &Cluster) -> Self {
        let states = cluster.peers().states();
        let of_state = |name: &'static str| {
            let count = states.iter().filter(|peer| state_of(peer) == name).count();
            (vec![("state", name.to_owned())], as_f64(count as u64))
        };
        let waiting: Vec<(Labels, f64)> = states
            .iter()
            .map(|peer| (vec![("peer", peer.addr.to_string())], as_f64(peer.waiting as u64)))
            .collect();
        self.gauges(
            "millgate_peers",
            "Other nodes of the cluster, by how they are reached.",
            ["up", "connecting", "down"].map(of_state),
        )
        .gauges(
            "millgate_peer_waiting",
            "Messages that a peer has not acknowledged.",
            waiting,
        )
    }

    fn of_peers(self, stats: &PeerStats) -> Self {
        let sent = [
            ("acknowledged", load(&stats.sent)),
            ("refused", load(&stats.refused)),
            ("failed", load(&stats.failed)),
        ];
        let unauthenticated =
            [("token", load(&stats.unauthenticated)), ("certificate", load(&stats.untrusted))];
        let closed = [
            ("displaced", load(&stats.displaced)),
            ("address", load(&stats.crowded)),
            ("no_call", load(&stats.silent)),
        ];
        let received = [("taken", load(&stats.received)), ("invalid", load(&stats.invalid))];
        self.counters(
            "millgate_peer_messages_out_total",
            "Messages to other nodes, by what became of them.",
            labelled("outcome", sent),
        )
        .counters(
            "millgate_peer_messages_in_total",
            "Messages from other nodes.",
            labelled("outcome", received),
        )
        .counter("millgate_peer_connects_total", "Connections to peers.", load(&stats.connects))
        .counter(
            "millgate_peer_breaks_total",
            "Connections to peers that broke.",
            load(&stats.breaks),
        )
        .counters(
            "millgate_peer_unauthenticated_total",
            "Calls with a wrong token, or none, and connections without a certificate to trust.",
            labelled("what", unauthenticated),
        )
        .counters(
            "millgate_peer_connections_refused_total",
            "Connections of other nodes, or of strangers, that were closed, by why.",
            labelled("reason", closed),
        )
    }

    fn of_redis(self, stats: &ClusterStats) -> Self {
        let dropped = [
            ("arrival", load(&stats.arrivals_dropped)),
            ("departure", load(&stats.departures_dropped)),
            ("conflict", load(&stats.conflicts_dropped)),
        ];
        self.counter(
            "millgate_redis_errors_total",
            "Commands that failed or had no answer in time, and attempts to connect that failed.",
            load(&stats.redis_errors),
        )
        .counter(
            "millgate_redis_reconnects_total",
            "Connections that replaced an earlier one.",
            load(&stats.redis_reconnects),
        )
        .counter(
            "millgate_presence_renewals_total",
            "Records of users that were renewed.",
            load(&stats.renewals),
        )
        .counter(
            "millgate_presence_swept_total",
            "Records that were told again after something was lost.",
            load(&stats.swept),
        )
        .counter(
            "millgate_presence_conflicts_total",
            "Users whom another node claimed too.",
            load(&stats.conflicts),
        )
        .counters(
            "millgate_presence_dropped_total",
            "What no room was left for.",
            labelled("what", dropped),
        )
        .gauge(
            "millgate_presence_waiting",
            "Users whose record waits to be written.",
            load(&stats.presence_waiting),
        )
        .gauges(
            "millgate_presence_lag_seconds",
            "Age of the oldest login or logout that is not in Redis yet.",
            [(Vec::new(), as_f64(load(&stats.presence_lag_ms)) / 1e3)],
        )
    }
}

fn state_of(peer: &PeerState) -> &'static str {
    match (peer.kind, peer.is_down) {
        (Some(_), _) => "up",
        (None, true) => "down",
        (None, false) => "connecting",
    }
}

fn labelled<const N: usize>(label: &'static str, values: [(&str, u64); N]) -> [(Labels, f64); N] {
    values.map(|(value, number)| (vec![(label, value.to_owned())], as_f64(number)))
}
