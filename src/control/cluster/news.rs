//! What reactors tell: into Redis, and to other nodes' clients.

use super::Cluster;
use crate::clock::FreshId;
use crate::control::push::Push;
use crate::hub::Hub;
use crate::limits::EVENTS_PER_STRETCH;
use crate::link::{Change, Event, Mailbox, News};
use crate::session::User;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Takes the mailbox from a thread of its own: a reactor can only ring a bell
/// that its descriptor table holds, and tokio's are not among them.
///
/// # Errors
/// When the kernel refuses a thread.
pub(super) fn listen(mailbox: Mailbox<News>) -> io::Result<mpsc::Receiver<News>> {
    let (tell, told) = mpsc::channel(EVENTS_PER_STRETCH);
    std::thread::Builder::new().name("news".to_owned()).spawn(move || {
        while !tell.is_closed() {
            while let Some(news) = mailbox.take() {
                // While this waits the mailbox fills up, and what it refuses is counted.
                if tell.blocking_send(news).is_err() {
                    return;
                }
            }
            if let Err(error) = mailbox.wait(LOOK_AROUND) {
                tracing::error!(%error, "no more news of logins and logouts reach the cluster");
                return;
            }
        }
    })?;
    Ok(told)
}

/// How often the thread looks whether anybody still listens.
const LOOK_AROUND: Duration = Duration::from_millis(500);

/// Passes on what is told, until the node ends.
pub(super) async fn pass_on(mut told: mpsc::Receiver<News>, cluster: Arc<Cluster>, hub: Arc<Hub>) {
    let ids = FreshId::default();
    while let Some(news) = told.recv().await {
        announce(&news.event, &cluster, &hub, &ids);
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
    let (cmd, msg) = change.words();
    cluster.peers.announce(&Push {
        app: user.app,
        user: user.id.clone(),
        seq: ids.next().to_string(),
        cmd: cmd.to_owned(),
        msg: msg.to_owned(),
    });
}
