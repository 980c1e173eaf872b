//! Whether this node really delivers: canaries through every way a message takes.

use super::Base;
use super::cluster::Cluster;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What keeps this node from serving its users, as it was found last.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    complaints: Mutex<Vec<String>>,
    is_stopping: AtomicBool,
}

impl Readiness {
    /// One line each; none if the node is ready.
    pub(super) fn complaints(&self) -> Vec<String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return vec!["this node is stopping".to_owned()];
        }
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this node is not ready, for good.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    fn enter(&self, complaints: Vec<String>) {
        let mut known = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        for complaint in complaints.iter().filter(|complaint| !known.contains(complaint)) {
            tracing::warn!("not ready: {complaint}");
        }
        if complaints.is_empty() && !known.is_empty() {
            tracing::info!("ready again");
        }
        *known = complaints;
    }
}

/// How often canaries are sent.
const EVERY: Duration = Duration::from_secs(1);

/// So many canaries may be missing: their reactor has a long turn behind it.
const MISSING_MAX: u64 = 3;

/// Sends canaries through each reactor, through Redis and to each peer, and
/// notes which did not arrive; until the node stops.
pub(super) async fn watch(readiness: Arc<Readiness>, base: Base, cluster: Option<Arc<Cluster>>) {
    let mut ticks = tokio::time::interval(EVERY);
    for number in 1_u64.. {
        ticks.tick().await;
        // What stops then is meant to.
        if readiness.is_stopping.load(Ordering::Relaxed) {
            return;
        }
        let mut complaints = silent_reactors(&base, number);
        base.hub.router.send_canaries(number);
        if let Some(cluster) = &cluster {
            complaints.extend(cluster.complaints(base.clock.now()).await);
        }
        readiness.enter(complaints);
    }
}

/// Reactors that have not shown the canaries before `number`.
fn silent_reactors(base: &Base, number: u64) -> Vec<String> {
    let shown = base.metrics.reactors.iter().map(|stats| stats.canary.get());
    let silent = shown.enumerate().filter(|(_, shown)| shown + MISSING_MAX < number);
    silent.map(|(index, _)| format!("reactor {index} does not take its mail")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_come_and_go() {
        let readiness = Readiness::default();
        assert!(readiness.complaints().is_empty());
        readiness.enter(vec!["Redis does not answer".to_owned()]);
        assert_eq!(readiness.complaints(), ["Redis does not answer"]);
        readiness.enter(Vec::new());
        assert!(readiness.complaints().is_empty());
        readiness.stop();
        assert_eq!(readiness.complaints(), ["this node is stopping"]);
    }
}
