//! Whether this node really delivers: canaries through every way a message takes.

use super::Base;
use super::cluster::Cluster;
use crate::host::systemd;
use crate::link::{Drain, Stage};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// What is wrong, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// What keeps this node from serving its users.
    pub(super) complaints: Vec<String>,
    /// What is wrong with others.
    pub(super) remarks: Vec<String>,
}

/// What was found last.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    found: Mutex<Findings>,
    drain: Arc<Drain>,
}

impl Readiness {
    /// Of a node that ends by this drain.
    pub(super) fn new(drain: Arc<Drain>) -> Self {
        Self { found: Mutex::default(), drain }
    }

    /// Without complaints the node is ready.
    pub(super) fn findings(&self) -> Findings {
        let complaint = match self.drain.stage() {
            Stage::Serving => {
                return self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
            }
            Stage::Grace => "this node is about to stop",
            Stage::Closing => "this node is stopping",
        };
        Findings { complaints: vec![complaint.to_owned()], remarks: Vec::new() }
    }

    fn enter(&self, found: Findings) {
        let mut known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new =
            |line: &&String| !known.complaints.contains(line) && !known.remarks.contains(line);
        for complaint in found.complaints.iter().filter(is_new) {
            tracing::warn!("not ready: {complaint}");
        }
        for remark in found.remarks.iter().filter(is_new) {
            tracing::warn!("{remark}");
        }
        if found.complaints.is_empty() && !known.complaints.is_empty() {
            tracing::info!("ready again");
        }
        *known = found;
    }
}

/// How often canaries are sent.
const EVERY: Duration = Duration::from_secs(1);

/// Time for what follows the last client: writing off its users, requests under way.
const STOP_LEEWAY: Duration = Duration::from_secs(15);

/// So many canaries may be missing: their reactor has a long turn behind it.
const MISSING_MAX: u64 = 3;

/// Sends canaries through each reactor, through Redis and to each peer, and
/// notes which did not arrive, and which peers take clients. systemd hears every time that the reactors live; it is
/// not told of Redis and peers, since a restart would mend neither.
pub(super) async fn watch(readiness: Arc<Readiness>, base: Base, cluster: Option<Arc<Cluster>>) {
    let mut ticks = tokio::time::interval(EVERY);
    // Canaries in a row after a standstill would find every reactor silent.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut life = vec![Life::default(); base.metrics.reactors.len()];
    for number in 1_u64.. {
        ticks.tick().await;
        if let Some(cluster) = &cluster {
            base.drain.offer_refuges(cluster.peers().refuges());
        }
        if readiness.drain.stage() == Stage::Closing {
            // What falls silent then is meant to.
            systemd::stopping(readiness.drain.progress(base.clock.now()).left + STOP_LEEWAY);
            systemd::alive();
            continue;
        }
        let mut complaints = silent_reactors(&base, &mut life, number);
        base.hub.router.send_canaries(number);
        if complaints.is_empty() {
            systemd::alive();
        }
        let mut found = match &cluster {
            Some(cluster) => cluster.findings(base.clock.now()).await,
            None => Findings::default(),
        };
        complaints.append(&mut found.complaints);
        base.hub.admission.look(&base.metrics, base.hub.bounds.connections());
        let shortages = base.hub.admission.shortages();
        complaints.extend(shortages.map(|short| format!("no new clients are let in: {short}")));
        readiness.enter(Findings { complaints, ..found });
    }
}

/// What was last seen of a reactor.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    /// Orders it had taken.
    taken: u64,
    /// Number of the last canary at whose time it had taken another one.
    at: u64,
}

impl Life {
    /// Whether a reactor that has taken so many orders is silent at the time of this canary.
    fn is_over(&mut self, taken: u64, number: u64) -> bool {
        if taken != self.taken || number == 1 {
            *self = Self { taken, at: number };
        }
        self.at + MISSING_MAX < number
    }
}

/// Reactors that have taken no mail since the last few canaries. Any order counts, since a canary
/// may stand behind many.
fn silent_reactors(base: &Base, life: &mut [Life], number: u64) -> Vec<String> {
    let seen = base.metrics.reactors.iter().map(|stats| stats.mail.get()).zip(life);
    let silent = seen
        .enumerate()
        .filter_map(|(index, (taken, life))| life.is_over(taken, number).then_some(index));
    silent.map(|index| format!("reactor {index} does not take its mail")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Plan;

    #[test]
    fn any_mail_that_is_taken_is_life() {
        let mut life = Life::default();
        let silent: Vec<u64> = (1..=20)
            .filter(|number| life.is_over(if *number < 10 { *number } else { 9 }, *number))
            .collect();
        assert_eq!(silent, (13..=20).collect::<Vec<u64>>());
        assert!(!life.is_over(10, 21));
    }

    #[test]
    fn complaints_come_and_go() {
        let readiness = Readiness::default();
        assert_eq!(readiness.findings(), Findings::default());
        let complaints = vec!["Redis does not answer".to_owned()];
        let found = Findings { complaints, remarks: vec!["node b is away".to_owned()] };
        readiness.enter(found.clone());
        assert_eq!(readiness.findings(), found);
        readiness.enter(Findings::default());
        assert_eq!(readiness.findings(), Findings::default());
        let plan = Plan { grace: EVERY, rate: 0, timeout: EVERY };
        readiness.drain.begin_grace(EVERY, plan);
        assert_eq!(readiness.findings().complaints, ["this node is about to stop"]);
        readiness.drain.cancel();
        assert_eq!(readiness.findings(), Findings::default());
        readiness.drain.close(EVERY, 1, plan);
        assert_eq!(readiness.findings().complaints, ["this node is stopping"]);
    }
}
