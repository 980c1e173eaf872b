//! What becomes of a message that came in over HTTP, or from a client.
//!
//! Invariant: this is the only place that may ever send a message on to
//! another node; what comes from another node never gets here.

use super::cluster::{Cluster, Located, Outcome, PeerError};
use super::push::Push;
use crate::clock::Clock;
use crate::command::Code;
use crate::config::Config;
use crate::envelope::Frame;
use crate::hub::{Delivered, Hub, Seen};
use crate::id::{AppId, UserId};
use crate::limits::{BROADCAST_LOOK_MS, MSG_ID_BYTES_MAX, USER_ID_BYTES_MAX};
use crate::link::{Asked, BroadcastSize, Fanout, Refused, Ticket};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Takes messages for users, wherever they are.
#[derive(Debug)]
pub(super) struct Delivery {
    hub: Arc<Hub>,
    seen: Seen,
    /// A msgID whose message found its user offline may be used again.
    only_delivered: AtomicBool,
    clock: Clock,
    cluster: Option<Arc<Cluster>>,
}

/// A message as the API got it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) app: AppId,
    /// The addressee of a message to one, the sender of a message to all.
    pub(super) user: &'a str,
    /// What it is known by; empty is never taken for a repetition.
    pub(super) msg_id: &'a str,
    /// The push's `seq`.
    pub(super) seq: &'a str,
    pub(super) text: &'a str,
    /// Whom a message to one is from; empty is the addressee, as in the reference.
    pub(super) from: &'a str,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Its msgID was seen before; nothing was sent.
    Duplicate,
    /// Handed to the reactor, or reactors.
    Yes,
    /// The user is nowhere online.
    Offline,
    /// Nobody got it; says why.
    Failed(&'static str),
    /// It cannot be sent to anybody as it is; the code and the words say why.
    Invalid(Code, Cow<'static, str>),
    /// Nobody got it, because a node is overloaded; says so.
    Overloaded(&'static str),
    /// Not everybody got it, or nobody knows, and a second try would reach some twice; says why.
    Partly(&'static str),
}

impl Sent {
    /// Of a message without a text. An empty text is one.
    pub(super) fn without_message() -> Self {
        Self::Invalid(Code::BadParameter, Cow::Borrowed(NO_MESSAGE))
    }

    /// What became of it, as callers of the reference know it.
    pub(super) fn told(&self) -> Value {
        match self {
            Self::Duplicate => json!({}),
            Self::Yes => json!({"sendResults": true}),
            Self::Offline => json!({"sendResults": false}),
            Self::Failed(why) | Self::Overloaded(why) | Self::Partly(why) => {
                json!({"sendResults": false, "sendResultsErr": why})
            }
            Self::Invalid(code, why) => {
                json!({"sendResults": false, "sendResultsErr": why, "code": code.number()})
            }
        }
    }
}

impl Delivery {
    pub(super) fn new(
        config: &Config,
        hub: Arc<Hub>,
        clock: Clock,
        cluster: Option<Arc<Cluster>>,
    ) -> Self {
        let seen = Seen::new(config.dedup.window, config.dedup.entries_max);
        let only_delivered = config.dedup.only_delivered.into();
        Self { hub, seen, only_delivered, clock, cluster }
    }

    /// Remembers message ids as another configuration says.
    pub(super) fn reload(&self, config: &Config) {
        self.seen.set_bounds(config.dedup.window, config.dedup.entries_max);
        self.only_delivered.store(config.dedup.only_delivered, Ordering::Relaxed);
    }

    /// Sends to one user of one app.
    pub(super) async fn to_user(&self, message: Message<'_>) -> Sent {
        if message.user.is_empty() {
            return Sent::Invalid(Code::BadUserId, Cow::Borrowed(NO_USER_ID));
        }
        if let Some(invalid) = self.judge(&message, self.hub.bounds.user_id_bytes()) {
            return invalid;
        }
        if !self.is_new(message.msg_id).await {
            return Sent::Duplicate;
        }
        let is_known = self.hub.directory.room_of(message.app).is_some();
        let push = message.push();
        let frame = push.encode();
        let sent = if self.is_too_large(&push, &frame) {
            Sent::Failed(TOO_LARGE)
        } else {
            self.somewhere(push, frame).await
        };
        // Another node may know an app that this one does not.
        let sent = match sent {
            Sent::Offline if !is_known => {
                Sent::Invalid(Code::NotAuthorized, Cow::Borrowed(NO_SUCH_APP))
            }
            sent => sent,
        };
        self.settle(message.msg_id, sent).await
    }

    /// Delivers to a user of this node, unless Redis says that the user has moved to another;
    /// or to the node that a user of others is on.
    async fn somewhere(&self, push: Push, frame: Frame) -> Sent {
        if let Some(cluster) = &self.cluster
            && self.hub.directory.find(push.app, &push.user).is_some()
            && let Some(node) = cluster.moved_to(push.app, &push.user).await
        {
            match cluster.send(&node, push.clone()).await {
                Ok(Outcome::Sent) => return Sent::Yes,
                // It may have the message: a second one here could double it.
                Err(PeerError::Late | PeerError::Lost) => return Sent::Partly(UNCERTAIN),
                // It has not, and the user is still connected to this node as well.
                Ok(_) | Err(_) => {}
            }
        }
        match self.hub.router.deliver(push.app, &push.user, frame) {
            Delivered::Sent => Sent::Yes,
            Delivered::Offline => self.elsewhere(push).await,
            Delivered::Refused => Sent::Overloaded(BUSY),
        }
    }

    /// Sends each to its user; what became of each, in their order. Messages to
    /// one user are sent one after the other, those to others meanwhile.
    pub(super) async fn to_users(&self, messages: &[Message<'_>]) -> Vec<Sent> {
        let mut of_user: HashMap<_, Vec<usize>> = HashMap::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            of_user.entry((message.app, message.user)).or_default().push(index);
        }
        let in_order = of_user.into_values().map(|indices| async move {
            let mut sent = Vec::with_capacity(indices.len());
            for (index, message) in indices.iter().filter_map(|at| Some((*at, messages.get(*at)?)))
            {
                sent.push((index, self.to_user(*message).await));
            }
            sent
        });
        let mut sent: Vec<_> = join_all(in_order).await.into_iter().flatten().collect();
        sent.sort_unstable_by_key(|(index, _)| *index);
        sent.into_iter().map(|(_, sent)| sent).collect()
    }

    /// Sends to every user of an app but the sender. The message has `waited` already, which
    /// counts as waiting for admission.
    pub(super) async fn to_all(&self, message: Message<'_>, waited: Duration) -> Sent {
        // Who sends to all need not be a client: its name only has to be one that some node allows.
        if let Some(invalid) = self.judge(&message, USER_ID_BYTES_MAX) {
            return invalid;
        }
        if !self.is_new(message.msg_id).await {
            return Sent::Duplicate;
        }
        let push = message.push();
        let frame = push.encode();
        if self.is_too_large(&push, &frame) {
            return self.settle(message.msg_id, Sent::Failed(TOO_LARGE)).await;
        }
        let except = UserId::from(message.user);
        let size = self.hub.router.size_of_broadcast(message.app, &frame);
        if self.hub.bounds.is_too_much(size) {
            return self.settle(message.msg_id, Sent::Failed(TOO_LARGE_FOR_ALL)).await;
        }
        let Ok(ticket) = self.admit(message.app, &except, size, waited).await else {
            return self.settle(message.msg_id, Sent::Overloaded(BUSY_FOR_ALL)).await;
        };
        let fanout = Fanout { app: message.app, except, frame, announcement: None, ticket };
        let is_known = self.hub.directory.room_of(message.app).is_some();
        let elsewhere = self.cluster.as_ref().map(|cluster| cluster.send_all(push, is_known));
        if elsewhere.is_some() {
            // Let it leave for the other nodes first: once the reactors here write to
            // everybody, the cores are theirs for a while.
            tokio::task::yield_now().await;
        }
        let here = self.hub.router.fan_out(fanout);
        let missed = match elsewhere {
            Some(told) => told.await,
            None => 0,
        };
        match here {
            Err(Refused) => Sent::Partly(BUSY_PARTLY),
            Ok(()) if missed > 0 => Sent::Partly(NODES_MISSED),
            Ok(()) => Sent::Yes,
        }
    }

    fn is_too_large(&self, push: &Push, frame: &Frame) -> bool {
        let bounds = &self.hub.bounds;
        push.content_bytes() > bounds.content_bytes() || frame.len() > bounds.frame_bytes()
    }

    /// Admits a broadcast, before any reactor or node gets it; waits for its turn for a short time.
    async fn admit(
        &self,
        app: AppId,
        sender: &UserId,
        size: BroadcastSize,
        waited: Duration,
    ) -> Result<Ticket, Refused> {
        let mut place = match self.hub.router.broadcasts().ask(app, sender, size, waited) {
            Asked::Admitted(ticket) => return Ok(ticket),
            Asked::Refused => return Err(Refused),
            Asked::Waits(place) => place,
        };
        loop {
            // Reactors give tickets back, and cannot wake a task.
            tokio::time::sleep(Duration::from_millis(BROADCAST_LOOK_MS)).await;
            if let Some(decided) = place.poll() {
                return decided;
            }
        }
    }

    /// How many message ids are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.seen.len()
    }

    /// Finds the node that a user is on and sends the message there. Where it
    /// was found may be out of date: if nothing was sent, Redis is asked once more.
    async fn elsewhere(&self, push: Push) -> Sent {
        let Some(cluster) = &self.cluster else { return Sent::Offline };
        let mut why = Sent::Offline;
        for is_first in [true, false] {
            let located = if is_first {
                cluster.recall(push.app, &push.user).await
            } else {
                cluster.locate(push.app, &push.user).await
            };
            let node = match located {
                Located::At(node) => node,
                Located::Nowhere => return Sent::Offline,
                Located::Unknown => return Sent::Failed(CANNOT_LOCATE),
            };
            match cluster.send(&node, push.clone()).await {
                Ok(Outcome::Sent) => return Sent::Yes,
                Ok(Outcome::Refused) => return Sent::Overloaded(BUSY_THERE),
                Ok(Outcome::Invalid) => return Sent::Failed(NOT_TAKEN),
                Ok(Outcome::Offline) => why = Sent::Offline,
                // It may have the message: a second try could double it.
                Err(PeerError::Late | PeerError::Lost) => return Sent::Partly(UNCERTAIN),
                // Nobody is at that address any more.
                Err(PeerError::Gone) => why = Sent::Offline,
                Err(_) => why = Sent::Failed(UNREACHABLE),
            }
        }
        why
    }

    /// What is wrong with the names of a message. They are kept, sent on and looked up in Redis,
    /// so they are bounded before any of that.
    fn judge(&self, message: &Message<'_>, user_id_bytes: usize) -> Option<Sent> {
        if message.user.len() > user_id_bytes {
            return Some(self.refuse(Code::BadUserId, USER_ID_TOO_LONG));
        }
        (message.msg_id.len() > MSG_ID_BYTES_MAX)
            .then(|| self.refuse(Code::BadParameter, MSG_ID_TOO_LONG))
    }

    fn refuse(&self, code: Code, why: &'static str) -> Sent {
        self.hub.router.metrics().shared.names_refused.fetch_add(1, Ordering::Relaxed);
        Sent::Invalid(code, Cow::Borrowed(why))
    }

    /// Whether a msgID was not used before, anywhere in the cluster as far as Redis can be asked.
    async fn is_new(&self, msg_id: &str) -> bool {
        if !self.seen.is_new(msg_id, self.clock.now()) {
            return false;
        }
        match &self.cluster {
            Some(cluster) if !msg_id.is_empty() => cluster.first_seen(msg_id).await.unwrap_or(true),
            _ => true,
        }
    }

    /// What failed may be tried again under the same msgID; with `dedup.only_delivered` also what
    /// reached nobody because its user was offline.
    async fn settle(&self, msg_id: &str, sent: Sent) -> Sent {
        let may_try_again = match sent {
            Sent::Failed(_) | Sent::Overloaded(_) | Sent::Invalid(..) => true,
            Sent::Offline => self.only_delivered.load(Ordering::Relaxed),
            _ => false,
        };
        if may_try_again && !msg_id.is_empty() {
            self.seen.forget(msg_id);
            if let Some(cluster) = &self.cluster {
                cluster.forget_seen(msg_id).await;
            }
        }
        sent
    }
}

impl Message<'_> {
    fn push(&self) -> Push {
        Push {
            app: self.app,
            user: self.user.into(),
            from: self.from.into(),
            seq: self.seq.to_owned(),
            cmd: "msg".to_owned(),
            msg: self.text.to_owned(),
        }
    }
}

const NO_MESSAGE: &str = "message is missing";
const NO_USER_ID: &str = "userID is missing";
const NO_SUCH_APP: &str = "appID is missing, or there is no such app (apps.ids)";
const USER_ID_TOO_LONG: &str = "userID is longer than that of any user (limits.user_id_bytes)";
const MSG_ID_TOO_LONG: &str = "msgID is longer than 255 bytes";
const TOO_LARGE: &str = "the message is larger than limits.http_body_bytes";
const TOO_LARGE_FOR_ALL: &str =
    "the message is too large for so many receivers (limits.outbox_total_bytes)";
const BUSY: &str = "the node is overloaded, try again";
const BUSY_THERE: &str = "the node of this user is overloaded, try again";
const BUSY_FOR_ALL: &str = "the node is overloaded, nobody got the message: try again";
const BUSY_PARTLY: &str = "the node is stopping, not everybody got the message";
const NODES_MISSED: &str = "not every node could be reached, not everybody got the message";
const CANNOT_LOCATE: &str = "the user is not on this node, and Redis cannot say where else";
const NOT_TAKEN: &str = "the node of this user takes no such message";
const UNCERTAIN: &str = "the node of this user did not answer: the message may have arrived or not";
const UNREACHABLE: &str = "the node of this user cannot be reached";
