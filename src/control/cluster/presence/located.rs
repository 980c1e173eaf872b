//! Where users of other nodes are, and which message ids were seen: questions to
//! Redis that somebody waits for.

use super::super::redis::record::Record;
use super::super::redis::{Link, keys};
use super::super::registry::RedisTime;
use super::super::{Nodes, Starts};
use crate::clock::Clock;
use crate::id::{AppId, NodeAddr, UserKey};
use crate::limits::{LOCATED_BYTES_MAX, LOCATED_MAX};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Where a user is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) enum Located {
    /// On this live node.
    At(NodeAddr),
    /// On no other node that lives.
    Nowhere,
    /// Redis cannot say.
    Unknown,
}

/// How long a place is used again for messages. For so long a message may go to a node that
/// the user has just left; it says so, and the user is looked up again. That a user is
/// nowhere is never remembered.
const REMEMBERED: Duration = Duration::from_secs(2);

/// Seconds for which a message id is remembered; as the reference does it.
const SEEN_SECONDS: u64 = 43_200;

/// The questions, and the last answers.
pub(super) struct Places {
    link: Link,
    nodes: watch::Receiver<Nodes>,
    starts: watch::Receiver<Starts>,
    time: Arc<RedisTime>,
    clock: Clock,
    /// Who holds a user, and until when that is believed.
    found: Cache<UserKey, (Claim, Duration), Bytes>,
}

/// Weighs what is remembered, so that long names cannot make it grow.
#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<UserKey, (Claim, Duration)> for Bytes {
    fn weight(&self, key: &UserKey, (claim, _): &(Claim, Duration)) -> u64 {
        LOCATED_BYTES + (key.user.len() + claim.0.as_str().len()) as u64
    }
}

/// Bytes of an entry besides its texts.
const LOCATED_BYTES: u64 = 150;

/// A node that holds a user, and when it has last said so.
type Claim = (NodeAddr, u64);

impl Places {
    pub(super) fn new(
        link: Link,
        nodes: watch::Receiver<Nodes>,
        starts: watch::Receiver<Starts>,
        time: Arc<RedisTime>,
        clock: Clock,
    ) -> Self {
        let found = Cache::with_weighter(LOCATED_MAX, LOCATED_BYTES_MAX, Bytes);
        Self { link, nodes, starts, time, clock, found }
    }

    #[cfg(test)]
    pub(super) fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Where the user is, or was a moment ago.
    pub(super) async fn recall(&self, app: AppId, user: &str) -> Located {
        let key = UserKey { app, user: user.into() };
        if let Some((claim, until)) = self.found.get(&key)
            && self.clock.now() < until
            && let located @ Located::At(_) = self.judge(Some(claim))
        {
            return located;
        }
        self.locate(app, user).await
    }

    /// Where the user is, as Redis says now.
    pub(super) async fn locate(&self, app: AppId, user: &str) -> Located {
        let key = UserKey { app, user: user.into() };
        let mut get = redis::cmd("GET");
        get.arg(keys::user(app, user));
        let Ok(text) = self.link.ask::<Option<Vec<u8>>>(&get).await else {
            return Located::Unknown;
        };
        let record = text.and_then(|text| Record::parse(&text));
        let claim = record.and_then(|record| record.holder(self.time.now()));
        match &claim {
            Some(claim) => {
                self.found.insert(key, (claim.clone(), self.clock.now() + REMEMBERED));
            }
            None => {
                self.found.remove(&key);
            }
        }
        self.judge(claim)
    }

    /// A record may outlive its node, whoever is at the same address now.
    fn judge(&self, claim: Option<Claim>) -> Located {
        let Some((holder, said)) = claim else { return Located::Nowhere };
        if !self.nodes.borrow().contains(&holder) {
            // Which nodes live may not be known yet.
            return if self.time.is_known() { Located::Nowhere } else { Located::Unknown };
        }
        match self.starts.borrow().get(&holder) {
            Some(start) if said < *start => Located::Nowhere,
            _ => Located::At(holder),
        }
    }

    pub(super) async fn first_seen(&self, msg_id: &str) -> Option<bool> {
        let mut set = redis::cmd("SET");
        set.arg(keys::seen(msg_id)).arg(1).arg("NX").arg("EX").arg(SEEN_SECONDS);
        self.link.ask::<Option<String>>(&set).await.ok().map(|set| set.is_some())
    }

    pub(super) async fn forget_seen(&self, msg_id: &str) {
        let mut delete = redis::cmd("DEL");
        delete.arg(keys::seen(msg_id));
        if let Err(error) = self.link.ask::<u64>(&delete).await {
            tracing::debug!(%error, "a msgID stays used up");
        }
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places").field("link", &self.link).finish_non_exhaustive()
    }
}
