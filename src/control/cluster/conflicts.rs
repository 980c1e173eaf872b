//! Two nodes with the same user: the newer login has it.

use super::login::{Login, Verdict};
use super::peers::{Holding, PeerError};
use super::presence::{Conflict, ConflictKind, Located};
use super::{CONFLICTS_MAX, Cluster};
use crate::hub::Hub;
use crate::session::User;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

/// Conflicts that are being settled at the same time.
const AT_ONCE: usize = 64;

/// How long to wait before the other node of a conflict is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Settles conflicts as they come. Redis has decided already who is the newer one;
/// here the other side gets to know it. While a live node cannot be asked, what
/// there is to settle with it stays open.
pub(super) async fn settle(
    conflicts: &Mutex<Receiver<Conflict>>,
    cluster: &Arc<Cluster>,
    hub: &Arc<Hub>,
) {
    let mut conflicts = conflicts.lock().await;
    let mut open: VecDeque<Conflict> = VecDeque::new();
    // How many of them are due to be looked at again.
    let mut due = 0;
    let mut under_way = FuturesUnordered::new();
    let mut ticks = tokio::time::interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while due > 0
            && under_way.len() < AT_ONCE
            && let Some(conflict) = open.pop_front()
        {
            due -= 1;
            under_way.push(attempt(conflict, true, cluster, hub));
        }
        tokio::select! {
            conflict = conflicts.recv(), if under_way.len() < AT_ONCE => match conflict {
                Some(conflict) => under_way.push(attempt(conflict, false, cluster, hub)),
                None => return,
            },
            Some(unsettled) = under_way.next() => match unsettled {
                Some(conflict) if open.len() < CONFLICTS_MAX => open.push_back(conflict),
                // It comes again with the next renewal.
                Some(_) => {
                    cluster.metrics.cluster.conflicts_dropped.fetch_add(1, Ordering::Relaxed);
                }
                None => {}
            },
            _ = ticks.tick() => due = open.len(),
        }
    }
}

/// One try; returns the conflict if it is still open.
async fn attempt(
    conflict: Conflict,
    is_repeated: bool,
    cluster: &Cluster,
    hub: &Hub,
) -> Option<Conflict> {
    let Conflict { app, user, holder, kind } = &conflict;
    // Who has gone from here is nobody's conflict any more.
    let held = hub.directory.registration(*app, user)?;
    if is_repeated && cluster.peers.is_out_of_reach(holder) {
        return Some(conflict);
    }
    let is_open = match kind {
        ConflictKind::Arrived if is_repeated => {
            // The user may have moved on meanwhile.
            match cluster.locate(*app, user).await {
                Located::Nowhere => tell(cluster, &conflict, &held).await,
                Located::At(_) => false,
                Located::Unknown => true,
            }
        }
        ConflictKind::Arrived => tell(cluster, &conflict, &held).await,
        ConflictKind::Kept if is_repeated => {
            // Whoever has the record now, Redis names again.
            cluster.presence.renew_now(*app, user);
            false
        }
        ConflictKind::Kept => match cluster.peers.holds(holder, *app, user).await {
            Ok(Holding::Held(since_ms)) => {
                let theirs = since_ms.map(|since_ms| Login { since_ms, node: holder.clone() });
                match cluster.presence.judge(&held, theirs.as_ref()) {
                    Verdict::Stay => cluster.presence.claim(*app, user),
                    Verdict::Yield | Verdict::Unclear => {
                        // A login that has come since then is newer, and stays.
                        hub.displace(&held);
                    }
                }
                false
            }
            // The record is out of date: the user is here.
            Ok(Holding::Nothing)
            | Err(PeerError::Unknown | PeerError::Gone | PeerError::Refused) => {
                cluster.presence.claim(*app, user);
                false
            }
            // The record may well be right, and this login the older one.
            Err(_) => true,
        },
    };
    is_open.then_some(conflict)
}

/// Tells the older node; true if it may not have heard.
async fn tell(cluster: &Cluster, conflict: &Conflict, held: &User) -> bool {
    let since_ms = cluster.presence.login_ms(held).unwrap_or(0);
    let told = cluster.peers.displaced(&conflict.holder, held, since_ms).await;
    !matches!(told, Ok(_) | Err(PeerError::Unknown | PeerError::Gone | PeerError::Refused))
}
