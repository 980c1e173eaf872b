//! One message to a peer, and what its sender is told.

use crate::clock::Clock;
use crate::config::refuge_fault;
use crate::control::proto::relay::item::Kind;
use crate::control::proto::relay::{Deliver, Displaced, FanOut, Standing};
use crate::control::push::Push;
use crate::id::NodeAddr;
use crate::limits::{PEER_BYTES_MAX, PEER_ITEMS_MAX};
use crate::metrics::Metrics;
use crate::session::User;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// What a peer made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Outcome {
    /// Handed to its reactor, or reactors; taken note of.
    Sent,
    /// The user is not there.
    Offline,
    /// The peer is overloaded: not everybody got it.
    Refused,
    /// Too large for the peer, of an app that it does not have, or to a name that cannot be.
    Invalid,
}

/// Why nobody can tell what became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control) enum PeerError {
    /// It is no live node of the cluster. Nothing was sent.
    #[error("there is no such node")]
    Unknown,
    /// It cannot be reached at the moment. Nothing was sent.
    #[error("the node cannot be reached")]
    Down,
    /// Nobody listens at its address: it has ended. Nothing was sent.
    #[error("no node listens at the address")]
    Gone,
    /// Too much waits for it. Nothing was sent.
    #[error("too many messages wait for the node")]
    Busy,
    /// It did not answer in time. What was asked may have been done.
    #[error("the node did not answer in time")]
    Late,
    /// The connection broke before it answered. What was asked may have been done.
    #[error("the connection to the node broke before it answered")]
    Lost,
    /// It answered the call with an error.
    #[error("the node refused the call")]
    Refused,
    /// It is a node of gowebsocket, which has no such call.
    #[error("nodes of gowebsocket know no such order")]
    Unable,
}

pub(super) type Answer = Result<Outcome, PeerError>;

/// What waits for a peer, when it was last heard, and whether it takes clients.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    items: AtomicUsize,
    bytes: AtomicUsize,
    heard_ms: AtomicU64,
    refuge: Mutex<Option<String>>,
}

impl Gauges {
    /// Takes one more letter, if the bounds allow.
    fn admit(self: &Arc<Self>, bytes: usize) -> Option<Weight> {
        let items = self.items.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // If it is too much, dropping it takes both back.
        let weight = Weight { gauges: Arc::clone(self), bytes };
        (items < PEER_ITEMS_MAX && before + bytes <= PEER_BYTES_MAX).then_some(weight)
    }

    /// Letters that are not answered.
    pub(super) fn items(&self) -> usize {
        self.items.load(Ordering::Relaxed)
    }

    /// Notes that the peer has answered something.
    pub(super) fn hear(&self, now: Duration) {
        let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(ms.max(1), Ordering::Relaxed);
    }

    /// Notes how it stands towards clients of others; `None` if that is not known any more.
    pub(super) fn stand(&self, standing: Option<&Standing>) {
        let takes = standing.filter(|standing| standing.takes_clients);
        // One that is not fit to be told to clients is as good as none.
        let url =
            takes.map(|standing| &standing.client_url).filter(|url| refuge_fault(url).is_none());
        *self.refuge.lock().unwrap_or_else(PoisonError::into_inner) = url.cloned();
    }

    /// Where it takes clients of others, if it does.
    pub(super) fn refuge(&self) -> Option<String> {
        self.refuge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When it last did; `None` if never.
    pub(super) fn heard(&self) -> Option<Duration> {
        let ms = self.heard_ms.load(Ordering::Relaxed);
        (ms > 0).then(|| Duration::from_millis(ms))
    }
}

/// A letter's part of what waits; given back when it is dropped.
#[derive(Debug)]
struct Weight {
    gauges: Arc<Gauges>,
    bytes: usize,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.gauges.items.fetch_sub(1, Ordering::Relaxed);
        self.gauges.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One message to a peer.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) kind: Kind,
    pub(super) slip: Slip,
    bytes: usize,
}

impl Letter {
    /// A letter, and where its answer arrives.
    pub(super) fn new(
        kind: Kind,
        gauges: &Arc<Gauges>,
    ) -> Result<(Self, oneshot::Receiver<Answer>), PeerError> {
        let bytes = bytes_of(&kind);
        let weight = gauges.admit(bytes).ok_or(PeerError::Busy)?;
        let (answer, answered) = oneshot::channel();
        Ok((
            Self { kind, slip: Slip { answer: Some(answer), _weight: Some(weight) }, bytes },
            answered,
        ))
    }

    /// One that nobody waits for: it only makes the peer say something.
    pub(super) fn canary() -> Self {
        let kind = Kind::Canary(crate::control::proto::relay::Canary {});
        Self { kind, slip: Slip { answer: None, _weight: None }, bytes: 0 }
    }

    /// Size of its texts.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is worth sending: a message whose sender has given up would
    /// arrive although the sender was told otherwise. That a user has moved, come
    /// or gone is true whoever waits.
    pub(super) fn is_wanted(&self) -> bool {
        let is_news = match &self.kind {
            Kind::Displaced(_) | Kind::Canary(_) => true,
            Kind::FanOut(push) => push.cmd != "msg",
            Kind::Deliver(_) => false,
        };
        is_news || self.slip.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }
}

/// What is kept of a letter until its answer comes.
#[derive(Debug)]
pub(super) struct Slip {
    answer: Option<oneshot::Sender<Answer>>,
    _weight: Option<Weight>,
}

impl Slip {
    /// Tells the sender, if it still waits, and counts.
    pub(super) fn answer(self, answer: Answer, metrics: &Metrics) {
        let Some(sender) = self.answer else { return };
        let stats = &metrics.peers;
        let number = if answer.is_ok() { &stats.sent } else { &stats.failed };
        // Whoever has given up has counted that.
        if sender.send(answer).is_ok() {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A message to one user.
pub(super) fn deliver(push: Push) -> Kind {
    let Push { app, user, from, seq, cmd, msg } = push;
    Kind::Deliver(Deliver { app: app.0, user: user.into(), seq, cmd, msg, from: from.into() })
}

/// A message to all users of an app.
pub(super) fn fan_out(push: Push) -> Kind {
    let Push { app, user, seq, cmd, msg, .. } = push;
    Kind::FanOut(FanOut { app: app.0, from: user.into(), seq, cmd, msg })
}

/// The news that a user has logged in here.
pub(super) fn displaced(user: &User, since_ms: u64, own: &NodeAddr) -> Kind {
    let (app, user, node) = (user.app.0, user.id.to_string(), own.as_str().to_owned());
    Kind::Displaced(Displaced { app, user, since_ms, node })
}

/// Size of the texts of a letter.
pub(super) fn bytes_of(kind: &Kind) -> usize {
    match kind {
        Kind::Deliver(item) => {
            let names = item.user.len() + item.from.len();
            names + item.seq.len() + item.cmd.len() + item.msg.len()
        }
        Kind::FanOut(item) => item.from.len() + item.seq.len() + item.cmd.len() + item.msg.len(),
        Kind::Displaced(item) => item.user.len() + item.node.len(),
        Kind::Canary(_) => 0,
    }
}

/// What the parts of a peer share.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) gauges: Arc<Gauges>,
}
