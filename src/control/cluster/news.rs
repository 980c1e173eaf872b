//! What reactors tell: into Redis, and to other nodes' clients.

use super::Cluster;
use crate::clock::FreshId;
use crate::control::push::Push;
use crate::hub::Hub;
use crate::id::UserId;
use crate::link::{Change, Event, News};
use crate::session::User;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

/// Passes on what is told, until the node ends.
pub(super) async fn pass_on(told: &Mutex<mpsc::Receiver<News>>, cluster: &Cluster, hub: &Hub) {
    let mut told = told.lock().await;
    let ids = FreshId::default();
    while let Some(news) = told.recv().await {
        announce(&news.event, cluster, hub, &ids);
        cluster.presence.note(&news);
    }
}

/// Rooms that hear of each arrival hear of those on other nodes, too.
fn announce(event: &Event, cluster: &Cluster, hub: &Hub, ids: &FreshId) {
    let (user, change): (&Arc<User>, Change) = match event {
        Event::Arrived { user, is_new: true, .. } => (user, Change::Joined),
        Event::Arrived { user, .. } => (user, Change::Moved),
        Event::Departed(user) => (user, Change::Left),
    };
    if !hub.announcer.is_exact(user.app) {
        return;
    }
    let (cmd, msg) = change.words(hub.language);
    cluster.peers.announce(&Push {
        app: user.app,
        user: user.id.clone(),
        from: UserId::default(),
        seq: ids.next().to_string(),
        cmd: cmd.to_owned(),
        msg: msg.to_owned(),
    });
}
