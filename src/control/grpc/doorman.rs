//! Who is not let in: counted, and told in a line now and then.

use crate::clock::Clock;
use crate::control::pace::Pace;
use crate::metrics::Metrics;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Turns away whoever does not prove to be a node of this cluster.
pub(super) struct Doorman {
    clock: Clock,
    metrics: Arc<Metrics>,
    tokens: Pace,
    handshakes: Pace,
    sizes: Pace,
}

impl Doorman {
    pub(super) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self {
            clock,
            metrics,
            tokens: Pace::default(),
            handshakes: Pace::default(),
            sizes: Pace::default(),
        }
    }

    /// The node's time.
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// A connection that has shown nothing was ended for another one.
    pub(super) fn count_displaced(&self) {
        self.metrics.peers.displaced.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was closed because its address has too many.
    pub(super) fn count_crowded(&self) {
        self.metrics.peers.crowded.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was ended because no call of it was let in in time.
    pub(super) fn count_silent(&self) {
        self.metrics.peers.silent.fetch_add(1, Ordering::Relaxed);
    }

    /// A call without the token of this cluster.
    pub(super) fn refuse_call(&self, from: Option<SocketAddr>) {
        self.metrics.peers.unauthenticated.fetch_add(1, Ordering::Relaxed);
        if self.tokens.is_due(self.clock.now()) {
            let from = host(from);
            tracing::warn!(from, "a call was refused: its cluster.token is missing or wrong");
        }
    }

    /// A message of another node that is too large. The caller was told the same words.
    pub(super) fn refuse_size(&self, why: &str) {
        if self.sizes.is_due(self.clock.now()) {
            tracing::warn!("a message of another node was refused: {why}");
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
