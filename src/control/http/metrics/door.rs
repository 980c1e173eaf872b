//! Who was not let in, and what clients send each other.

use super::{Page, as_f64, load};
use crate::metrics::{Denied, Metrics, TokenFault};

impl Page {
    pub(super) fn of_door(self, metrics: &Metrics, task_failures: u64) -> Self {
        let labels = |name: &str| vec![("reason", name.to_owned())];
        let faults = TokenFault::ALL.into_iter().map(|(fault, name)| {
            (labels(name), as_f64(metrics.total(|block| &block.token_faults[fault as usize])))
        });
        let denied = Denied::ALL.into_iter().map(|(denied, name)| {
            (labels(name), as_f64(load(&metrics.shared.denied[denied as usize])))
        });
        self.counters(
            "millgate_token_faults_total",
            "Tokens at logins and handshakes that were not good, by what was wrong.",
            faults,
        )
        .counters(
            "millgate_calls_denied_total",
            "Calls of the HTTP API and of gRPC whose key was not good, by why.",
            denied,
        )
        .counter(
            "millgate_names_refused_total",
            "Messages and questions whose userID or msgID was longer than allowed.",
            load(&metrics.shared.names_refused),
        )
        .counter(
            "millgate_http_tls_failures_total",
            "Connections to tls listeners of the HTTP API that did not complete a TLS handshake.",
            load(&metrics.shared.http_tls_failed),
        )
        .counter(
            "millgate_task_failures_total",
            "Long-lived tasks of the control plane that have failed; most begin again by themselves.",
            task_failures,
        )
        .counter(
            "millgate_http_connections_displaced_total",
            "Connections to the HTTP API that were ended for new ones because all places were taken.",
            load(&metrics.shared.http_displaced),
        )
        .counters(
            "millgate_http_refusals_total",
            "Connections and requests that the HTTP API had no place for, by why.",
            [
                (labels("address"), as_f64(load(&metrics.shared.http_crowded))),
                (labels("full"), as_f64(load(&metrics.shared.http_reserved_refused))),
                (labels("slow_reader"), as_f64(load(&metrics.shared.http_slow_readers))),
            ],
        )
        .counter(
            "millgate_foreign_origins_total",
            "Handshakes of pages that auth.allowed_origins does not list.",
            metrics.total(|block| &block.foreign_origins),
        )
        .counter(
            "millgate_client_sends_total",
            "Messages of clients to others that were taken.",
            metrics.total(|block| &block.sends),
        )
        .counter(
            "millgate_client_sends_refused_total",
            "Messages of clients to others that there was no room for.",
            load(&metrics.shared.sends_refused),
        )
    }
}
