//! Canaries through Redis and to every peer: the ways that messages take.

use super::peers::{PeerState, Peers};
use super::redis::{Fault, Link};
use crate::control::ready::Findings;
use crate::id::NodeAddr;
use futures_util::future::join_all;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sends canaries, and knows which did not arrive.
#[derive(Debug)]
pub(super) struct Canaries {
    writes: Link,
    lookups: Link,
    key: String,
    number: AtomicU64,
}

/// A canary that did not come through Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) why: String,
    /// Redis answers, and refuses: that is no outage.
    pub(super) is_refused: bool,
}

/// A live peer that is out of reach for longer than this is one that no lease has
/// run out for: longer than a lease lives, so that a node that dies does not
/// take the others with it.
const OUT_OF_REACH: Duration = Duration::from_secs(15);

/// Seconds that a canary stays in Redis.
const KEPT_SECONDS: u64 = 60;

impl Canaries {
    /// Written by one link and read by the other, as presence is.
    pub(super) fn new(writes: Link, lookups: Link, own: &NodeAddr) -> Self {
        let key = format!("acc:millgate:canary:{own}");
        Self { writes, lookups, key, number: AtomicU64::new(0) }
    }

    /// Sends one each way, at the time `now` of the node. Returns what became of those to peers,
    /// and why that through Redis was lost.
    pub(super) async fn findings(&self, peers: &Peers, now: Duration) -> (Findings, Option<Lost>) {
        let (redis, lost) = tokio::join!(self.through_redis(), to_peers(peers, now));
        (judge(lost, peers.addresses().len()), redis)
    }

    async fn through_redis(&self) -> Option<Lost> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let read = async {
            let mut write = redis::cmd("SET");
            write.arg(&self.key).arg(number).arg("EX").arg(KEPT_SECONDS);
            self.writes.ask::<()>(&write).await?;
            self.lookups.ask::<Option<u64>>(redis::cmd("GET").arg(&self.key)).await
        };
        match read.await {
            Ok(found) if found == Some(number) => None,
            Ok(_) => {
                let why = "Redis does not tell what was just written to it".to_owned();
                Some(Lost { why, is_refused: true })
            }
            Err(Fault::Down) => {
                let trouble = self.writes.trouble().or_else(|| self.lookups.trouble());
                let why = trouble.map_or_else(|| Fault::Down.to_string(), no_redis);
                let is_refused = self.writes.is_refused() || self.lookups.is_refused();
                Some(Lost { why, is_refused })
            }
            Err(fault) => {
                let is_refused = matches!(fault, Fault::Refused(_));
                Some(Lost { why: fault.to_string(), is_refused })
            }
        }
    }
}

/// A node that reaches few of the others is cut off itself. One that misses a few may be the
/// sound one: if it called itself unfit, a single broken node would take all others out of
/// service with it.
fn judge(lost: Vec<String>, peers: usize) -> Findings {
    if lost.len() * 2 > peers {
        return Findings { complaints: lost, remarks: Vec::new() };
    }
    Findings { complaints: Vec::new(), remarks: lost }
}

/// What `/readyz` and the log say.
fn no_redis(why: String) -> String {
    format!("{}: {why}", Fault::Down)
}

async fn to_peers(peers: &Peers, now: Duration) -> Vec<String> {
    let states = peers.states();
    let flights = states.iter().map(|state| to_peer(peers, state, now));
    join_all(flights).await.into_iter().flatten().collect()
}

async fn to_peer(peers: &Peers, state: &PeerState, now: Duration) -> Option<String> {
    let PeerState { addr, kind, since, error, .. } = state;
    if kind.is_none() {
        let for_long = now.saturating_sub(*since) > OUT_OF_REACH;
        let why = error.as_deref().unwrap_or("it does not answer");
        return for_long.then(|| format!("node {addr} lives, but cannot be reached: {why}"));
    }
    let lost = peers.canary(addr).await.err()?;
    // That it broke meanwhile is seen by the next one.
    let is_still_up = peers.states().iter().any(|peer| peer.addr == *addr && peer.kind.is_some());
    is_still_up.then(|| format!("node {addr} does not acknowledge: {lost}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_misses_more_than_half_of_the_others_is_cut_off() {
        let lost = |count: usize| (0..count).map(|n| format!("node {n}")).collect::<Vec<_>>();
        for (missing, peers, is_ready) in
            [(0, 0, true), (1, 1, false), (1, 2, true), (2, 2, false), (1, 3, true), (2, 3, false)]
        {
            let found = judge(lost(missing), peers);
            assert_eq!(found.complaints.is_empty(), is_ready, "{missing} of {peers}");
            assert_eq!(found.complaints.len() + found.remarks.len(), missing);
        }
    }
}
