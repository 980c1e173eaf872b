//! The other nodes of the cluster, as this node calls them.
//!
//! Each has a task, a bounded queue and one HTTP/2 connection of its own, so
//! that none waits for another. Invariant: whatever a peer does, an answer
//! comes within a second.

mod carry;
mod circuit;
mod connect;
mod letter;
mod list;
mod peer;
mod runner;
#[cfg(test)]
mod tests;
mod unary;

pub(in crate::control) use letter::{Outcome, PeerError};
pub(in crate::control) use list::Listing;
pub(in crate::control) use peer::{Holding, PeerState};

use super::super::grpc::Credentials;
use super::super::push::Push;
use super::{Nodes, Stamps};
use crate::clock::Clock;
use crate::control::proto::relay::item::Kind;
use crate::control::proto::relay::{Canary, KickRequest};
use crate::hub::Orders;
use crate::id::{AppId, NodeAddr};
use crate::limits::OTHER_NODES_MAX;
use crate::metrics::Metrics;
use crate::session::User;
use futures_util::future::join_all;
use peer::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// What peers are made with.
#[derive(Clone, Debug)]
pub(in crate::control) struct Wiring {
    pub(in crate::control) security: Arc<Credentials>,
    pub(in crate::control) clock: Clock,
    pub(in crate::control) metrics: Arc<Metrics>,
    /// Largest single message that is sent to a peer, in bytes of its texts.
    pub(in crate::control) push_bytes_max: usize,
}

/// How long a message to one user may take.
const SEND_PATIENCE: Duration = Duration::from_secs(1);

/// How long a question may take that somebody waits for, and that has an answer without this peer.
const CALLER_PATIENCE: Duration = Duration::from_millis(300);

/// All other live nodes.
#[derive(Debug)]
pub(in crate::control) struct Peers {
    own: NodeAddr,
    wiring: Wiring,
    peers: RwLock<BTreeMap<NodeAddr, Arc<Peer>>>,
}

impl Peers {
    /// Keeps a connection to each of `nodes` but `own`, as they come and go.
    /// Must be called within a tokio runtime.
    pub(in crate::control) fn start(
        own: NodeAddr,
        mut nodes: watch::Receiver<Nodes>,
        wiring: Wiring,
    ) -> Arc<Self> {
        let peers = Arc::new(Self { own, wiring, peers: RwLock::default() });
        peers.follow(&nodes.borrow_and_update());
        let following = Arc::downgrade(&peers);
        tokio::spawn(async move {
            while nodes.changed().await.is_ok() {
                let Some(peers) = following.upgrade() else { return };
                peers.follow(&nodes.borrow_and_update());
            }
        });
        peers
    }

    /// Tries nodes that have registered anew at once, however long they were out of reach.
    /// Must be called within a tokio runtime.
    pub(in crate::control) fn heed(self: &Arc<Self>, mut stamps: watch::Receiver<Stamps>) {
        let peers = Arc::downgrade(self);
        let mut before = Arc::clone(&stamps.borrow_and_update());
        tokio::spawn(async move {
            while stamps.changed().await.is_ok() {
                let Some(peers) = peers.upgrade() else { return };
                let now = Arc::clone(&stamps.borrow_and_update());
                let is_fresh =
                    |(node, stamp): &(&NodeAddr, &u64)| before.get(*node) != Some(*stamp);
                for (node, _) in now.iter().filter(is_fresh) {
                    if let Ok(peer) = peers.peer(node) {
                        peer.retry();
                    }
                }
                before = now;
            }
        });
    }

    /// Sends to one user who is on that node. It is in the queue when this
    /// returns: messages to one peer go out in the order of the calls.
    pub(in crate::control) fn send(
        &self,
        to: &NodeAddr,
        push: Push,
    ) -> impl Future<Output = Result<Outcome, PeerError>> + Send + use<> {
        self.post(to, letter::deliver(push), SEND_PATIENCE)
    }

    /// Sends to every user of an app but one on every other node, to all at once. It is in
    /// their queues when this returns.
    pub(in crate::control) fn send_all(
        &self,
        push: Push,
    ) -> impl Future<Output = Vec<(NodeAddr, Result<Outcome, PeerError>)>> + Send + use<> {
        let sent = self.all().into_iter().map(|(addr, peer)| {
            let answer = peer.send(letter::fan_out(push.clone()), SEND_PATIENCE);
            async move { (addr, answer.await) }
        });
        join_all(sent.collect::<Vec<_>>())
    }

    /// The same, and waits for nobody: what a peer does not take is counted.
    pub(in crate::control) fn announce(&self, push: &Push) {
        for (_, peer) in self.all() {
            drop(peer.send(letter::fan_out(push.clone()), SEND_PATIENCE));
        }
    }

    /// Tells that node that a user has logged in here, at `since_ms` by the clock of
    /// Redis (0 if that is not known). It is sent whether or not the answer is waited for.
    pub(in crate::control) fn displaced(
        &self,
        to: &NodeAddr,
        user: &User,
        since_ms: u64,
    ) -> impl Future<Output = Result<Outcome, PeerError>> + Send + use<> {
        self.post(to, letter::displaced(user, since_ms, &self.own), SEND_PATIENCE)
    }

    /// Asks for a sign of life on the way that messages take.
    pub(in crate::control) fn canary(
        &self,
        to: &NodeAddr,
    ) -> impl Future<Output = Result<Outcome, PeerError>> + Send + use<> {
        self.post(to, Kind::Canary(Canary {}), SEND_PATIENCE)
    }

    /// Whether a user is on that node; of a node of gowebsocket: whether it is online anywhere.
    ///
    /// # Errors
    /// When the node gives no answer within 300 ms.
    pub(in crate::control) async fn holds(
        &self,
        to: &NodeAddr,
        app: AppId,
        user: &str,
    ) -> Result<Holding, PeerError> {
        self.peer(to)?.holds(app, user).await
    }

    /// Begins to list the users of an app on that node, from a position that an
    /// earlier page named (0 is the beginning), `limit` at most; 0 for all.
    ///
    /// # Errors
    /// When the node does not begin to answer.
    pub(in crate::control) async fn list(
        &self,
        to: &NodeAddr,
        app: AppId,
        from: u64,
        limit: u64,
    ) -> Result<Listing, PeerError> {
        Listing::open(&*self.peer(to)?, app, from, limit).await
    }

    /// Orders all other nodes to close connections.
    pub(in crate::control) async fn kick(
        &self,
        request: &KickRequest,
    ) -> Vec<(NodeAddr, Result<Orders, PeerError>)> {
        let told = self.all().into_iter().map(|(addr, peer)| {
            let request = request.clone();
            async move { (addr, peer.kick(request).await) }
        });
        join_all(told).await
    }

    /// URLs of nodes that take clients of one that stops.
    pub(in crate::control) fn refuges(&self) -> Vec<String> {
        self.all().into_iter().filter_map(|(_, peer)| peer.refuge()).take(OTHER_NODES_MAX).collect()
    }

    /// Whether that node lives and is not connected at the moment.
    pub(in crate::control) fn is_out_of_reach(&self, node: &NodeAddr) -> bool {
        self.peer(node).is_ok_and(|peer| !peer.is_connected())
    }

    /// How it stands with each.
    pub(in crate::control) fn states(&self) -> Vec<PeerState> {
        self.all().into_iter().map(|(addr, peer)| peer.state(addr)).collect()
    }

    /// The peers that are called, in the order of their addresses.
    pub(in crate::control) fn addresses(&self) -> Vec<NodeAddr> {
        self.all().into_iter().map(|(addr, _)| addr).collect()
    }

    fn post(
        &self,
        to: &NodeAddr,
        kind: Kind,
        patience: Duration,
    ) -> impl Future<Output = Result<Outcome, PeerError>> + Send + use<> {
        let answer = self.peer(to).map(|peer| peer.send(kind, patience));
        async move { answer?.await }
    }

    fn peer(&self, to: &NodeAddr) -> Result<Arc<Peer>, PeerError> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(to).map(Arc::clone).ok_or(PeerError::Unknown)
    }

    fn all(&self) -> Vec<(NodeAddr, Arc<Peer>)> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.iter().map(|(addr, peer)| (addr.clone(), Arc::clone(peer))).collect()
    }

    /// Connects to who has come, and lets go of who has left.
    fn follow(&self, nodes: &BTreeSet<NodeAddr>) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|addr, _| nodes.contains(addr));
        for addr in nodes.iter().filter(|addr| **addr != self.own) {
            let start = || Arc::new(Peer::start(addr.clone(), &self.wiring));
            peers.entry(addr.clone()).or_insert_with(start);
        }
    }
}
