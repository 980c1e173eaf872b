//! The task that keeps one peer in reach.

use super::circuit::Circuit;
use super::connect::{Broken, Connected, Way, connect};
use super::letter::{Common, Letter, PeerError};
use super::unary;
use crate::control::grpc::Credentials;
use crate::id::NodeAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// What everybody may know of a peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    /// The way to it while it is connected.
    pub(super) way: Option<Way>,
    /// Calls fail at once.
    pub(super) is_down: bool,
    /// The last try was refused: nobody listens there.
    pub(super) is_refused: bool,
    /// When one of these last changed.
    pub(super) since: Duration,
    /// Why the last connection, or try, has failed.
    pub(super) error: Option<String>,
}

/// One peer's task: tries to connect, carries letters, and tries again.
pub(super) struct Runner {
    pub(super) to: NodeAddr,
    pub(super) security: Arc<Credentials>,
    pub(super) common: Common,
    pub(super) queue: mpsc::Receiver<Letter>,
    pub(super) link: watch::Sender<Link>,
    pub(super) circuit: Circuit,
    /// Rung when the peer has registered anew: it is tried at once.
    pub(super) wake: Arc<Notify>,
}

impl Runner {
    /// What callers are told meanwhile.
    fn absence(&self) -> PeerError {
        if self.link.borrow().is_refused { PeerError::Gone } else { PeerError::Down }
    }

    /// Runs until it is aborted, when the peer leaves the cluster.
    pub(super) async fn run(mut self) {
        loop {
            let (to, security) = (self.to.clone(), Arc::clone(&self.security));
            match self.meanwhile(async move { connect(&to, security).await }).await {
                Ok(connected) => {
                    self.tell_up(&connected.way);
                    let broken = self.carry(connected).await;
                    self.common.metrics.peers.breaks.fetch_add(1, Ordering::Relaxed);
                    self.circuit.trip(self.common.clock.now());
                    self.tell_down(broken);
                }
                Err(broken) if broken.is_silent => {
                    self.circuit.trip(self.common.clock.now());
                    self.tell_down(broken);
                }
                Err(broken) => {
                    self.circuit.fail();
                    self.tell_down(broken);
                }
            }
            while let Ok(letter) = self.queue.try_recv() {
                letter.slip.answer(Err(self.absence()), &self.common.metrics);
            }
            let pause = self.circuit.pause(fastrand::f64());
            let wake = Arc::clone(&self.wake);
            let is_back = self
                .meanwhile(async move {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => false,
                        () = wake.notified() => true,
                    }
                })
                .await;
            if is_back {
                self.circuit.hope();
            }
        }
    }

    async fn carry(&mut self, connected: Connected) -> Broken {
        let Connected { way, stream } = connected;
        match (way, stream) {
            (_, Some(stream)) => stream.run(&mut self.queue, &self.common).await,
            (Way::Acc(client), None) => unary::run(&client, &mut self.queue, &self.common).await,
            (Way::Relay(_), None) => Broken::new("there is no stream"),
        }
    }

    /// Does something that takes time. While the circuit is open, whoever calls
    /// meanwhile fails at once; otherwise the letters wait for it.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = work.as_mut() => return done,
                Some(letter) = self.queue.recv(), if self.circuit.is_open() => {
                    letter.slip.answer(Err(self.absence()), &self.common.metrics);
                }
            }
        }
    }

    fn tell_up(&mut self, way: &Way) {
        let now = self.common.clock.now();
        self.circuit.succeed(now);
        self.common.gauges.hear(now);
        self.common.metrics.peers.connects.fetch_add(1, Ordering::Relaxed);
        let kind = if matches!(way, Way::Relay(_)) { "millgate" } else { "gowebsocket" };
        tracing::info!(peer = %self.to, kind, "peer connected");
        let way = Some(way.clone());
        self.link.send_replace(Link { way, since: now, ..Link::default() });
    }

    fn tell_down(&self, broken: Broken) {
        let is_down = self.circuit.is_open();
        let now = self.common.clock.now();
        self.link.send_modify(|link| {
            if is_down && !link.is_down {
                tracing::warn!(peer = %self.to, error = broken.error, "peer out of reach");
            }
            if link.way.is_some() || link.is_down != is_down {
                link.since = now;
            }
            link.way = None;
            link.is_down = is_down;
            link.is_refused = broken.is_refused;
            link.error = Some(broken.error);
        });
    }
}
