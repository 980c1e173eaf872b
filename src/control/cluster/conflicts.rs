//! Two nodes with the same user: the newer login has it.

use super::Cluster;
use super::presence::{Conflict, ConflictKind};
use crate::hub::Hub;
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;

/// Settles one conflict after the other. Redis has decided already who is the
/// newer one; here the other side gets to know it.
pub(super) async fn settle(
    mut conflicts: Receiver<Conflict>,
    cluster: Arc<Cluster>,
    hub: Arc<Hub>,
) {
    while let Some(Conflict { app, user, holder, kind }) = conflicts.recv().await {
        match kind {
            // If it cannot be told now, its next renewal finds our record.
            ConflictKind::Arrived => drop(cluster.peers.displaced(&holder, app, user)),
            ConflictKind::Kept => match cluster.peers.holds(&holder, app, &user).await {
                Ok(true) => {
                    hub.directory.displace(app, &user);
                }
                // The record is out of date, or its node cannot vouch for it: the user is here.
                Ok(false) | Err(_) => cluster.presence.claim(app, &user),
            },
        }
    }
}
