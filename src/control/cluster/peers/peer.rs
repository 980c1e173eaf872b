//! One other node, as the rest of this node sees it.

use super::Wiring;
use super::circuit::Circuit;
use super::connect::Way;
use super::letter::{Answer, Common, Gauges, Letter, Outcome, PeerError, bytes_of};
use super::runner::{Link, Runner};
use super::unary::{CALL_PATIENCE, error_of, timed};
use crate::control::proto::acc::QueryUsersOnlineReq;
use crate::control::proto::relay::item::Kind;
use crate::control::proto::relay::{HoldsRequest, KickReply, KickRequest};
use crate::hub::Orders;
use crate::id::{AppId, NodeAddr};
use crate::limits::PEER_ITEMS_MAX;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

/// The near end of a peer. Dropping it closes the connection; whoever waits is told.
#[derive(Debug)]
pub(super) struct Peer {
    queue: mpsc::Sender<Letter>,
    link: watch::Receiver<Link>,
    common: Common,
    wake: Arc<Notify>,
    push_bytes_max: usize,
    task: AbortHandle,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum PeerKind {
    /// Batches over a stream.
    Millgate,
    /// A call for each message.
    Gowebsocket,
}

/// What a peer says of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Holding {
    /// The user is not there.
    Nothing,
    /// The user is there, since this time in unix milliseconds by the clock of Redis, if
    /// the peer says so.
    Held(Option<u64>),
}

/// How it stands with a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct PeerState {
    pub(in crate::control) addr: NodeAddr,
    /// `None` while it is not connected.
    pub(in crate::control) kind: Option<PeerKind>,
    /// Calls fail at once: it is out of reach. Neither this nor connected means: not yet known.
    pub(in crate::control) is_down: bool,
    /// Since when it is connected, out of reach, or neither; the node's time.
    pub(in crate::control) since: Duration,
    /// Why the last connection, or try, failed; `None` while it is connected.
    pub(in crate::control) error: Option<String>,
    /// Messages that it has not acknowledged.
    pub(in crate::control) waiting: usize,
    /// How long ago it last acknowledged something; `None` if never.
    pub(in crate::control) silent_for: Option<Duration>,
}

impl Peer {
    /// Begins to connect.
    pub(super) fn start(to: NodeAddr, wiring: &Wiring) -> Self {
        let (queue, letters) = mpsc::channel(PEER_ITEMS_MAX);
        let common = Common {
            clock: wiring.clock,
            metrics: Arc::clone(&wiring.metrics),
            gauges: Arc::new(Gauges::default()),
        };
        let since = common.clock.now();
        let (telling, link) = watch::channel(Link { since, ..Link::default() });
        let wake = Arc::<Notify>::default();
        let runner = Runner {
            wake: Arc::clone(&wake),
            to,
            security: Arc::clone(&wiring.security),
            common: common.clone(),
            queue: letters,
            link: telling,
            circuit: Circuit::default(),
        };
        let task = tokio::spawn(runner.run()).abort_handle();
        Self { queue, link, common, wake, push_bytes_max: wiring.push_bytes_max, task }
    }

    /// Puts a message into the queue now; the answer comes within `patience`.
    pub(super) fn send(
        &self,
        kind: Kind,
        patience: Duration,
    ) -> impl Future<Output = Answer> + Send + use<> {
        let queued = if bytes_of(&kind) <= self.push_bytes_max {
            self.enqueue(kind).map(Some)
        } else {
            Ok(None)
        };
        let metrics = Arc::clone(&self.common.metrics);
        async move {
            // No peer takes it: nodes of one cluster have about the same limits.
            let Some(answered) = queued? else { return Ok(Outcome::Invalid) };
            let error = match tokio::time::timeout(patience, answered).await {
                Ok(Ok(answer)) => return answer,
                // The peer has left the cluster.
                Ok(Err(_)) => PeerError::Lost,
                Err(_) => PeerError::Late,
            };
            metrics.peers.failed.fetch_add(1, Ordering::Relaxed);
            Err(error)
        }
    }

    fn enqueue(&self, kind: Kind) -> Result<oneshot::Receiver<Answer>, PeerError> {
        let letter = Letter::new(kind, &self.common.gauges);
        let queued = letter.and_then(|(letter, answered)| match self.queue.try_send(letter) {
            Ok(()) => Ok(answered),
            Err(mpsc::error::TrySendError::Full(_)) => Err(PeerError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(PeerError::Down),
        });
        if queued.is_err() {
            self.common.metrics.peers.refused.fetch_add(1, Ordering::Relaxed);
        }
        queued
    }

    /// The way to the peer, as soon as it is known whether there is one.
    pub(super) async fn way(&self) -> Result<Way, PeerError> {
        let mut link = self.link.clone();
        let known = link.wait_for(|link| link.way.is_some() || link.is_down);
        let known = tokio::time::timeout(super::CALLER_PATIENCE, known).await;
        let link = known.map_err(|_| PeerError::Late)?.map_err(|_| PeerError::Down)?;
        let absence = if link.is_refused { PeerError::Gone } else { PeerError::Down };
        link.way.clone().ok_or(absence)
    }

    /// It has registered anew: if it was out of reach it is tried at once.
    pub(super) fn retry(&self) {
        if !self.is_connected() {
            self.wake.notify_one();
        }
    }

    /// Whether there is a way to it at the moment.
    pub(super) fn is_connected(&self) -> bool {
        self.link.borrow().way.is_some()
    }

    /// Whether the user is there; a node of gowebsocket says whether it is online anywhere.
    pub(super) async fn holds(&self, app: AppId, user: &str) -> Result<Holding, PeerError> {
        let asked = tokio::time::timeout(super::CALLER_PATIENCE, self.ask(app, user));
        asked.await.unwrap_or(Err(PeerError::Late))
    }

    /// Orders it to close connections.
    pub(super) async fn kick(&self, request: KickRequest) -> Result<Orders, PeerError> {
        let asked = async {
            let Way::Relay(mut client) = self.way().await? else { return Err(PeerError::Unable) };
            let reply = client.kick(timed(request)).await.map_err(|status| error_of(&status))?;
            let KickReply { taken, refused } = reply.into_inner();
            Ok(Orders { taken: taken as usize, refused: refused as usize })
        };
        tokio::time::timeout(CALL_PATIENCE, asked).await.unwrap_or(Err(PeerError::Late))
    }

    /// Where it takes clients of a node that stops; `None` if it does not, or cannot be asked.
    pub(super) fn refuge(&self) -> Option<String> {
        self.is_connected().then(|| self.common.gauges.refuge()).flatten()
    }

    async fn ask(&self, app: AppId, user: &str) -> Result<Holding, PeerError> {
        let (app, user) = (app.0, user.to_owned());
        let answer = match self.way().await? {
            Way::Relay(mut client) => {
                let reply = client.holds(timed(HoldsRequest { app, user })).await;
                reply.map(|reply| reply.into_inner()).map(|reply| {
                    let since = Some(reply.since_ms).filter(|since| *since > 0);
                    if reply.holds { Holding::Held(since) } else { Holding::Nothing }
                })
            }
            Way::Acc(mut client) => {
                let request = timed(QueryUsersOnlineReq { app_id: app, user_id: user });
                // The code says nothing: such nodes leave it 0.
                let reply = client.query_users_online(request).await;
                reply.map(|reply| {
                    let is_online = reply.into_inner().online;
                    if is_online { Holding::Held(None) } else { Holding::Nothing }
                })
            }
        };
        answer.map_err(|status| error_of(&status))
    }

    pub(super) fn state(&self, addr: NodeAddr) -> PeerState {
        let now = self.common.clock.now();
        let link = self.link.borrow();
        let kind = link.way.as_ref().map(|way| match way {
            Way::Relay(_) => PeerKind::Millgate,
            Way::Acc(_) => PeerKind::Gowebsocket,
        });
        PeerState {
            addr,
            kind,
            is_down: link.is_down,
            since: link.since,
            error: link.error.clone(),
            waiting: self.common.gauges.items(),
            silent_for: self.common.gauges.heard().map(|heard| now.saturating_sub(heard)),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
