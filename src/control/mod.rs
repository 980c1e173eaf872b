//! The control plane: a small tokio runtime beside the reactors.
//!
//! Invariant: nothing here waits for a reactor. It reads the directory and
//! the counters, and posts orders; a full mailbox is an error, not a wait. The list
//! of clients' addresses alone is told by reactors, as they find time, and is
//! waited for with a limit.

mod audit;
mod cluster;
mod delivery;
mod grpc;
mod http;
mod listen;
mod orders;
mod pace;
mod places;
mod pressure;
mod proto;
mod push;
mod ready;
mod sends;
mod tasks;

use crate::auth::Access;
use crate::clock::Clock;
use crate::config::{Config, Listener};
use crate::host::refused::Explain;
use crate::hub::{Digests, Hub};
use crate::id::NodeAddr;
use crate::link::{Backlogs, Budget, Current, Drain, Mailbox, News, Order, Waiting};
use crate::logging::DroppedLines;
use crate::metrics::Metrics;
use cluster::{Cluster, Joining};
use crossbeam_channel::Sender;
use delivery::Delivery;
use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use http::{Policy, Site, Traces};
use pace::Pace;
use ready::Readiness;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;
use tasks::Tasks;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// What keeps a node from joining its cluster with this configuration, one line each: a token that
/// cannot be sent, files that cannot be used or do not belong together. Nothing is called.
#[must_use]
pub fn cluster_faults(config: &Config) -> Vec<String> {
    let security = grpc::Security::faults(&config.cluster);
    security.into_iter().chain(config.redis.as_ref().and_then(cluster::redis_fault)).collect()
}

/// What both parts of the control plane work on.
#[derive(Clone, Debug)]
pub struct Base {
    /// Who is where.
    pub hub: Arc<Hub>,
    /// The reactors' counters.
    pub metrics: Arc<Metrics>,
    /// The node's time.
    pub clock: Clock,
    /// Who may do what; replaced as a whole.
    pub access: Arc<Current<Access>>,
    /// How the node ends.
    pub drain: Arc<Drain>,
    /// What the reactors hold.
    pub holdings: Holdings,
    /// Takes orders to the whole node.
    pub orders: Sender<Order>,
}

/// What the reactors hold for their clients, and may hold.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// The largest backlogs.
    pub backlogs: Arc<Backlogs>,
    /// Bytes that wait for slow peers.
    pub outboxes: Arc<Budget>,
    /// Bytes of half-received requests and messages.
    pub assemblies: Arc<Budget>,
    /// Connections that the descriptor tables of all reactors hold.
    pub capacity: usize,
}

/// What a node needs to join a cluster.
#[derive(Debug)]
pub struct Entry {
    /// An open listener for gRPC.
    pub grpc: TcpListener,
    /// Where other nodes reach it.
    pub own: NodeAddr,
    /// What the reactors tell.
    pub news: Mailbox<News>,
}

/// What is served to users and operators.
#[derive(Debug)]
pub struct Door {
    /// Where clients are listened for.
    pub listeners: Vec<Listener>,
    /// Messages of clients to others.
    pub sends: Mailbox<Waiting>,
    /// The log's lost lines.
    pub dropped: DroppedLines,
    /// Where the API is served.
    pub http: Vec<HttpDoor>,
    /// What its `tls` listeners show.
    pub tls: Option<Arc<ServerConfig>>,
}

/// One place where the API is served, open already.
#[derive(Debug)]
pub struct HttpDoor {
    /// Where; no port is 0.
    pub listener: Listener,
    /// What connections are accepted from, without blocking.
    pub socket: HttpSocket,
}

/// A listening socket.
#[derive(Debug)]
pub enum HttpSocket {
    /// At an address.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
}

/// The tokens and certificates of a cluster, as they have been read; nothing outside of one.
#[derive(Debug)]
pub struct Trust(Option<grpc::Security>);

/// The control plane before it serves anybody.
#[derive(Debug)]
pub struct Plane {
    runtime: Runtime,
    base: Base,
    ending: watch::Sender<bool>,
    tasks: Arc<Tasks>,
    cluster: Option<Arc<Cluster>>,
    /// Serves other nodes, in a cluster.
    grpc: Option<JoinHandle<()>>,
}

/// The running control plane.
#[derive(Debug)]
pub struct Control {
    plane: Plane,
    site: Arc<Site>,
    http: JoinHandle<()>,
    /// Writes off the users of this node, once it has left.
    farewell: Option<JoinHandle<()>>,
}

impl Plane {
    /// Starts the runtime.
    ///
    /// # Errors
    /// When the kernel refuses a thread or a descriptor.
    pub fn start(config: &Config, base: Base) -> io::Result<Self> {
        let runtime = runtime(config.control.threads)?;
        let (ending, _) = watch::channel(false);
        let tasks = Arc::new(Tasks::new(base.clock));
        Ok(Self { runtime, base, ending, tasks, cluster: None, grpc: None })
    }

    /// Joins the cluster: other nodes know of this one when it returns, unless
    /// Redis is away.
    ///
    /// # Errors
    /// When a file of the configuration cannot be read, or the kernel refuses a descriptor.
    pub fn join(&mut self, config: &Config, entry: Entry) -> io::Result<()> {
        let Entry { grpc, own, news } = entry;
        grpc.set_nonblocking(true)?;
        let (base, tasks) = (self.base.clone(), Arc::clone(&self.tasks));
        let ended = self.ending.subscribe();
        let (cluster, serving) = self.runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(grpc)
                .explain("epoll_ctl(2)", "to watch listen.grpc")?;
            let joining = Joining { config, own, base, news, tasks };
            Cluster::join(joining, listener, ended).await
        })?;
        self.cluster = Some(cluster);
        self.grpc = Some(serving);
        Ok(())
    }

    /// Serves HTTP, and sends digests.
    ///
    /// # Errors
    /// When the kernel refuses a descriptor.
    pub fn open(self, config: &Config, door: Door) -> io::Result<Control> {
        let _inside = self.runtime.enter();
        let (served_at, sockets): (Vec<_>, Vec<_>) =
            door.http.into_iter().map(|door| (door.listener, door.socket)).unzip();
        let Base { hub, metrics, clock, access, drain, holdings, orders } = self.base.clone();
        let tasks = Arc::clone(&self.tasks);
        let readiness = Arc::new(Readiness::new(config, Arc::clone(&drain), Arc::clone(&tasks)));
        let (watched, base, cluster) =
            (Arc::clone(&readiness), self.base.clone(), self.cluster.clone());
        tasks.start("readiness", move || {
            ready::watch(Arc::clone(&watched), base.clone(), cluster.clone())
        });
        let delivery = Delivery::new(config, Arc::clone(&hub), clock, self.cluster.clone());
        let delivery = Arc::new(delivery);
        sends::deliver(door.sends, Arc::clone(&delivery), Arc::clone(&hub), &tasks)?;
        let site = Arc::new(Site {
            policy: Current::new(Policy::new(config)),
            delivery,
            access,
            denials: Pace::default(),
            hub,
            metrics,
            clock,
            questions: Arc::default(),
            // Half of the threads at most: the other half answers probes and all others.
            pieces: Arc::new(Semaphore::new((config.control.threads / 2).max(1))),
            cluster: self.cluster.clone(),
            readiness,
            listeners: door.listeners,
            served_at,
            tls: Current::new(door.tls),
            traces: Traces::default(),
            dropped: door.dropped,
            drain,
            holdings,
            orders,
            ended: self.ending.subscribe(),
        });
        let here = Arc::clone(&site);
        tasks.start("digests", move || send_digests(Arc::clone(&here)));
        let here = Arc::clone(&site);
        tasks.start("memory", move || pressure::watch(Arc::clone(&here)));
        let serving = http::serve(sockets, Arc::clone(&site), self.ending.subscribe())?;
        let serving = serving.map(Ok::<(), Infallible>);
        let http = self.runtime.spawn(async move { tasks.keep_once("HTTP", serving).await });
        Ok(Control { plane: self, site, http, farewell: None })
    }
}

/// Threads for what may block: names that are looked up, answers that are waited for.
const BLOCKING_THREADS_MAX: usize = 32;

/// A thread that may block is kept, because a new one can be refused later.
const BLOCKING_KEPT_FOR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Time for threads to begin, on a host that is very busy.
const THREADS_BEGIN_WITHIN: Duration = Duration::from_secs(10);

/// A runtime whose threads all run. Tokio builds one as well if the kernel refuses some of
/// them; that runtime waits for them at its end, and look-ups of names wait for ever.
fn runtime(threads: usize) -> io::Result<Runtime> {
    let (tell, told) = std::sync::mpsc::channel();
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_KEPT_FOR)
        .thread_name("control")
        .on_thread_start(move || {
            // Later threads find that nobody counts any more.
            let _counted = tell.send(());
        })
        .enable_all()
        .build()
        .explain("epoll_create1(2) or eventfd(2)", "what the control plane waits with")?;
    // The first of those that may block; the others are started as they are needed.
    drop(runtime.spawn_blocking(|| ()));
    for begun in 0..=threads {
        if told.recv_timeout(THREADS_BEGIN_WITHIN).is_err() {
            // Not dropped: that would wait for the threads that are not there.
            runtime.shutdown_background();
            let needed = threads + 1;
            return Err(io::Error::other(format!(
                "the control plane needs {needed} threads and {begun} have started; raise the \
                 limit of threads: TasksMax=, pids.max or ulimit -u"
            )));
        }
    }
    Ok(runtime)
}

impl Control {
    /// Where the HTTP API is served; no port is 0.
    #[must_use]
    pub fn served_at(&self) -> &[Listener] {
        &self.site.served_at
    }

    /// Reads what the nodes of the cluster show to each other: all that can fail of it.
    ///
    /// # Errors
    /// When a file cannot be read or used, as a line that names the key.
    pub fn load_trust(&self, config: &Config) -> Result<Trust, String> {
        let is_member = self.plane.cluster.is_some();
        let security = is_member.then(|| grpc::Security::load(&config.cluster)).transpose();
        security.map(Trust).map_err(|error| error.to_string())
    }

    /// Goes by another configuration, as far as it can be changed.
    pub fn reload(
        &self,
        config: &Config,
        access: Access,
        tls: Option<Arc<ServerConfig>>,
        trust: Trust,
    ) {
        self.site.reload(config, access, tls);
        if let (Some(cluster), Trust(Some(security))) = (&self.plane.cluster, trust) {
            cluster.trust(security);
        }
    }

    /// From here on no messages come from elsewhere, and who is here is written
    /// off, while the reactors close them within `limit`.
    pub fn leave(&mut self, limit: Duration) {
        let Some(cluster) = self.plane.cluster.clone() else { return };
        self.plane.runtime.block_on(cluster.leave());
        let farewell = async move { cluster.write_off_all(limit + FAREWELL_GRACE).await };
        self.farewell = Some(self.plane.runtime.spawn(farewell));
    }

    /// Lets what is under way finish for a moment, then ends.
    pub fn stop(self) {
        let Self { mut plane, http, farewell, .. } = self;
        if let Some(farewell) = farewell {
            // It has a limit of its own.
            let _written = plane.runtime.block_on(farewell);
        }
        // Nobody is left to be told if the server has ended already.
        let _told = plane.ending.send(true);
        let grpc = OptionFuture::from(plane.grpc.take());
        let http = async { tokio::time::timeout(HTTP_GRACE, http).await };
        // That of other nodes has a limit of its own.
        let (waited, _served) = plane.runtime.block_on(async { tokio::join!(http, grpc) });
        if waited.is_err() {
            tracing::warn!("HTTP requests were cut off");
        }
        plane.runtime.shutdown_background();
    }
}

/// Time to write off the last users after their connections have gone.
const FAREWELL_GRACE: Duration = Duration::from_secs(2);

/// Time that HTTP requests get to finish at the end.
const HTTP_GRACE: Duration = Duration::from_secs(2);

/// How often it is looked whether a digest is due.
const DIGEST_TICK: Duration = Duration::from_millis(250);

async fn send_digests(site: Arc<Site>) {
    let mut ticks = tokio::time::interval(DIGEST_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut digests = Digests::new(0);
    loop {
        ticks.tick().await;
        digests.set_rate(site.policy.get().config.announce.digests_per_second);
        site.hub.announcer.send_digests(&mut digests, site.clock.now());
    }
}
