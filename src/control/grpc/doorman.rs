//! Who is not let in: counted, and told in a line now and then.

use crate::clock::Clock;
use crate::metrics::Metrics;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Turns away whoever does not prove to be a node of this cluster.
pub(super) struct Doorman {
    clock: Clock,
    metrics: Arc<Metrics>,
    tokens: Pace,
    handshakes: Pace,
}

impl Doorman {
    pub(super) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { clock, metrics, tokens: Pace::default(), handshakes: Pace::default() }
    }

    /// A call without the token of this cluster.
    pub(super) fn refuse_call(&self, from: Option<SocketAddr>) {
        self.metrics.peers.unauthenticated.fetch_add(1, Ordering::Relaxed);
        if self.tokens.is_due(self.clock.now()) {
            let from = host(from);
            tracing::warn!(from, "a call was refused: its cluster.token is missing or wrong");
        }
    }

    /// A connection without a certificate of this cluster's authority, or one
    /// whose other end does not trust that of this node.
    pub(super) fn refuse_handshake(&self, from: Option<SocketAddr>, why: &dyn Display) {
        self.metrics.peers.untrusted.fetch_add(1, Ordering::Relaxed);
        if self.handshakes.is_due(self.clock.now()) {
            let from = host(from);
            tracing::warn!(from, error = %why, "a connection was refused: no TLS between nodes");
        }
    }
}

/// The port says nothing: it is another one for each connection.
fn host(from: Option<SocketAddr>) -> String {
    from.as_ref().map(SocketAddr::ip).as_ref().map_or_else(String::new, IpAddr::to_string)
}

/// One line for each so long time: whoever is turned away comes again at once.
#[derive(Default)]
struct Pace {
    /// Time of the clock, in milliseconds, from which on a line may be written.
    next_ms: AtomicU64,
}

impl Pace {
    fn is_due(&self, now: Duration) -> bool {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let next = |due: u64| (ms(now) >= due).then(|| ms(now + BETWEEN_LINES));
        self.next_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute() {
        let pace = Pace::default();
        let told: Vec<u64> =
            (0..200).filter(|second| pace.is_due(Duration::from_secs(*second))).collect();
        assert_eq!(told, [0, 60, 120, 180]);
    }
}
