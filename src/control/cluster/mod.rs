//! This node as one of many: where the users of other nodes are, and the way to them.
//!
//! Invariant: what a peer sends never gets here. Messages leave through
//! [`super::delivery`], announcements of this node's own users through [`news`].

mod canary;
mod conflicts;
mod login;
mod news;
mod peers;
mod presence;
mod redis;
mod registry;
#[cfg(test)]
mod testing;

pub(super) use peers::{Listing, Outcome, PeerError, PeerState, Peers};
pub(super) use presence::Located;

use super::Base;
use super::grpc::{self, Credentials, Security};
use super::listen::listen;
use super::push::Push;
use super::ready::Findings;
use super::tasks::Tasks;
use crate::config::{self, Config};
use crate::id::{AppId, NodeAddr};
use crate::limits::{EVENTS_PER_STRETCH, RELAY_PUSH_BYTES_MAX};
use crate::link::{Mailbox, News};
use crate::metrics::Metrics;
use canary::Canaries;
use futures_util::FutureExt;
use peers::Wiring;
use presence::Presence;
use redis::Link;
use registry::{RedisTime, Registry};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;

/// The live nodes other than this one.
pub(super) type Nodes = Arc<BTreeSet<NodeAddr>>;

/// When each registered node has last written its stamp, in unix seconds.
pub(super) type Stamps = Arc<BTreeMap<NodeAddr, u64>>;

/// When those of them that are millgate started, in unix seconds by the clock of
/// Redis: what a record says of an earlier time was said by another process.
pub(super) type Starts = Arc<BTreeMap<NodeAddr, u64>>;

/// Why this Redis cannot be used, whatever answers there.
pub(super) fn redis_fault(redis: &config::Redis) -> Option<String> {
    redis::fault(redis)
}

/// What a cluster is joined with.
#[derive(Debug)]
pub(super) struct Joining<'a> {
    pub(super) config: &'a Config,
    /// Where other nodes reach this one.
    pub(super) own: NodeAddr,
    pub(super) base: Base,
    /// What the reactors tell.
    pub(super) news: Mailbox<News>,
    /// What keeps its tasks.
    pub(super) tasks: Arc<Tasks>,
}

/// This node's part in a cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    own: NodeAddr,
    registry: Arc<Registry>,
    presence: Arc<Presence>,
    peers: Arc<Peers>,
    canaries: Canaries,
    security: Arc<Credentials>,
    metrics: Arc<Metrics>,
}

/// How long the end may take to leave the list of nodes.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// Conflicts that wait to be settled; what does not fit comes again with the next renewal.
const CONFLICTS_MAX: usize = 4_096;

impl Cluster {
    /// Joins: other nodes reach this one on `listener` when this returns, and
    /// know of it unless Redis is away. The task serves them: after `ended` it goes on
    /// until what is under way has its answers, for a moment. Call it within the runtime.
    ///
    /// # Errors
    /// When the settings cannot be used or the kernel refuses a thread.
    pub(super) async fn join(
        joining: Joining<'_>,
        listener: TcpListener,
        ended: watch::Receiver<bool>,
    ) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let Joining { config, own, base, news, tasks } = joining;
        let security = Security::load(&config.cluster).map_err(io::Error::other)?;
        let security = Arc::new(Credentials::new(security, base.clock));
        let (tell, conflicts) = mpsc::channel(CONFLICTS_MAX);
        let cluster = Arc::new(Self::open(config, own, &base, Arc::clone(&security), tell)?);
        let client_url = config.cluster.client_url.clone();
        let serving = cluster.serve(listener, &base, security, client_url, ended, &tasks);
        let registry = Arc::clone(&cluster.registry);
        if !registry.register().await {
            tracing::warn!("this node is alone until Redis answers");
        }
        tasks.start("registration", move || {
            let registry = Arc::clone(&registry);
            async move { registry.run().await }
        });
        let presence = Arc::clone(&cluster.presence);
        tasks.start("presence", move || {
            let presence = Arc::clone(&presence);
            async move { presence.run().await }
        });
        let told = Arc::new(Mutex::new(listen("news", news, EVENTS_PER_STRETCH, &tasks)?));
        let conflicts = Arc::new(Mutex::new(conflicts));
        let (settling, hub) = (Arc::clone(&cluster), Arc::clone(&base.hub));
        tasks.start("conflicts", move || {
            let (conflicts, cluster, hub) =
                (Arc::clone(&conflicts), Arc::clone(&settling), Arc::clone(&hub));
            async move { conflicts::settle(&conflicts, &cluster, &hub).await }
        });
        let (telling, hub) = (Arc::clone(&cluster), base.hub);
        tasks.start("news of reactors", move || {
            let (told, cluster, hub) = (Arc::clone(&told), Arc::clone(&telling), Arc::clone(&hub));
            async move { news::pass_on(&told, &cluster, &hub).await }
        });
        Ok((cluster, serving))
    }

    /// All parts, connected with each other.
    fn open(
        config: &Config,
        own: NodeAddr,
        base: &Base,
        security: Arc<Credentials>,
        conflicts: mpsc::Sender<presence::Conflict>,
    ) -> io::Result<Self> {
        let Base { hub, metrics, clock, .. } = base.clone();
        let settings: config::Redis = config.redis.clone().unwrap_or_default();
        let link = |purpose| {
            Link::open(&settings, purpose, Arc::clone(&metrics)).map_err(io::Error::other)
        };
        let time = Arc::new(RedisTime::new(clock));
        let registry = Registry::new(link("registry")?, own.clone(), Arc::clone(&time));
        let (writes, lookups) = (link("presence")?, link("lookups")?);
        let canaries = Canaries::new(writes.clone(), lookups.clone(), &own);
        let presence = Presence::new(presence::Parts {
            writes,
            lookups,
            here: own.clone(),
            directory: Arc::clone(&hub.directory),
            nodes: registry.nodes(),
            starts: registry.starts(),
            is_mixed: registry.is_mixed(),
            time,
            conflicts,
            clock,
            metrics: Arc::clone(&metrics),
        });
        let push_bytes_max = RELAY_PUSH_BYTES_MAX.max(hub.bounds.content_bytes());
        let wiring = Wiring {
            security: Arc::clone(&security),
            clock,
            metrics: Arc::clone(&metrics),
            push_bytes_max,
        };
        let peers = Peers::start(own.clone(), registry.nodes(), wiring);
        peers.heed(registry.stamps());
        Ok(Self { own, registry, presence, peers, canaries, security, metrics })
    }

    /// Goes by other tokens and certificates: in calls and connections that begin from now on.
    pub(super) fn trust(&self, security: Security) {
        self.security.replace(security);
    }

    /// Lets other nodes in, by a task of its own.
    fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        base: &Base,
        security: Arc<Credentials>,
        client_url: String,
        ended: watch::Receiver<bool>,
        tasks: &Arc<Tasks>,
    ) -> JoinHandle<()> {
        let cluster = Arc::downgrade(self);
        let anywhere: grpc::Anywhere = Arc::new(move |app, user: &str| {
            let (cluster, user) = (cluster.upgrade(), user.to_owned());
            async move { cluster?.is_elsewhere(app, &user).await }.boxed()
        });
        let parts = grpc::Parts {
            hub: Arc::clone(&base.hub),
            metrics: Arc::clone(&base.metrics),
            drain: Arc::clone(&base.drain),
            client_url,
            clock: base.clock,
            access: Arc::clone(&base.access),
            security,
            anywhere,
            logins: Arc::clone(&self.presence) as Arc<dyn grpc::Logins>,
            callers: self.registry.callers(),
        };
        let tasks = Arc::clone(tasks);
        let serving = grpc::serve(listener, parts, ended);
        tokio::spawn(async move { tasks.keep_once("calls of other nodes", serving).await })
    }

    /// The node that a user is on, other than this one, as Redis says now.
    pub(super) async fn locate(&self, app: AppId, user: &str) -> Located {
        self.not_here(self.presence.locate(app, user).await)
    }

    /// The same; where the user was a moment ago is good enough.
    pub(super) async fn recall(&self, app: AppId, user: &str) -> Located {
        self.not_here(self.presence.recall(app, user).await)
    }

    /// The node of the reference, or other node, to which the user of a connection of this
    /// node has moved, as far as Redis knows. It is asked only while nodes of the reference
    /// live: those do not tell this one that a user has logged in there.
    pub(super) async fn moved_to(&self, app: AppId, user: &str) -> Option<NodeAddr> {
        if !self.presence.is_mixed() || self.presence.is_pending(app, user) {
            return None;
        }
        let Located::At(node) = self.locate(app, user).await else { return None };
        // The connection here learns of it by the same way as at each renewal.
        self.presence.renew_now(app, user);
        Some(node)
    }

    /// The directory knows better who is here.
    fn not_here(&self, located: Located) -> Located {
        match located {
            Located::At(node) if node == self.own => Located::Nowhere,
            located => located,
        }
    }

    /// Whether a user is on another node; `None` when Redis cannot say.
    async fn is_elsewhere(&self, app: AppId, user: &str) -> Option<bool> {
        match self.locate(app, user).await {
            Located::At(_) => Some(true),
            Located::Nowhere => Some(false),
            Located::Unknown => None,
        }
    }

    /// Sends to one user on another node.
    ///
    /// # Errors
    /// When that node cannot be reached within a second, or is overloaded.
    pub(super) async fn send(&self, node: &NodeAddr, push: Push) -> Result<Outcome, PeerError> {
        self.peers.send(node, push).await
    }

    /// Sends to everybody of an app on all other nodes; how many nodes may have users who did
    /// not get it. Nobody is at an address that refuses connections, and of an app that this
    /// node does not know (`is_known` is false) another need not know either. It is in their
    /// queues when this returns.
    pub(super) fn send_all(
        &self,
        push: Push,
        is_known: bool,
    ) -> impl Future<Output = usize> + Send + use<> {
        let is_missed = move |told: &Result<Outcome, PeerError>| match told {
            Ok(Outcome::Sent) | Err(PeerError::Gone) => false,
            Ok(Outcome::Invalid) => is_known,
            _ => true,
        };
        let told = self.peers.send_all(push);
        told.map(move |told| told.iter().filter(|(_, told)| is_missed(told)).count())
    }

    /// Whether a msgID is used for the first time; `None` when Redis cannot say.
    pub(super) async fn first_seen(&self, msg_id: &str) -> Option<bool> {
        self.presence.first_seen(msg_id).await
    }

    /// Lets a msgID be used again.
    pub(super) async fn forget_seen(&self, msg_id: &str) {
        self.presence.forget_seen(msg_id).await;
    }

    /// The other nodes.
    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// What keeps users of other nodes from being reached, Redis left out, and what is wrong
    /// with Redis; true if it answers and refuses what a node needs.
    pub(super) async fn findings(&self, now: Duration) -> (Findings, Vec<String>, bool) {
        let (findings, lost) = self.canaries.findings(&self.peers, now).await;
        let refusal = self.registry.refusal();
        let is_refused = refusal.is_some() || lost.as_ref().is_some_and(|lost| lost.is_refused);
        let redis = lost.map(|lost| lost.why).into_iter().chain(refusal).collect();
        (findings, redis, is_refused)
    }

    /// No more messages from others, please.
    pub(super) async fn leave(&self) {
        if tokio::time::timeout(LEAVE_LIMIT, self.registry.leave()).await.is_err() {
            tracing::warn!(
                "Redis does not answer: other nodes will see for themselves that this one has gone"
            );
        }
    }

    /// Writes off everybody who is here, in this time.
    pub(super) async fn write_off_all(&self, limit: Duration) {
        // What is left was logged.
        let _left = self.presence.write_off_all(limit).await;
    }
}
