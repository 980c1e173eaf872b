//! Assembly: everything a node is made of, started and stopped in order.

mod doors;
mod error;
mod orders;
mod preflight;

pub use error::StartError;
pub use orders::Source;
pub use preflight::faults;

use crate::auth::Access;
use crate::clock::Clock;
use crate::config::{Config, Listener, Secret};
use crate::control::{Base, Control, Door, Entry, Holdings, Plane};
use crate::host::cores::Claims;
use crate::host::kernel::OpenFiles;
use crate::host::memory::Memory;
use crate::host::refused::Explain;
use crate::host::{address, fd_table, kernel, threads as host_threads, tls};
use crate::hub::Hub;
use crate::id::NodeAddr;
use crate::limits::{
    EVENTS_MAX, MAIL_DEPTH_MAX, MAIL_RESERVED, ORDERS_MAX, REACTORS_MAX, SENDS_BYTES_MAX, SENDS_MAX,
};
use crate::link::{
    Backlogs, Budget, Current, Mailbox, News, Order, Outgoing, Permits, Plan, Post, SharedRate,
    Subnets, Waiting, mailbox, mailbox_with_reserve,
};
use crate::logging::DroppedLines;
use crate::metrics::Metrics;
use crate::reactor::{self, Settings, Setup, Shared};
use core_affinity::CoreId;
use crossbeam_channel::{Receiver, Sender};
use doors::{Doors, listen_tcp};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

/// A node that runs.
#[derive(Debug)]
pub struct Gateway {
    /// As far as it is followed: what only the next start can change is as it was at this one.
    config: Config,
    doors: Doors,
    grpc_addr: Option<SocketAddr>,
    shared: Arc<Shared>,
    reactors: Reactors,
    control: Control,
    /// Gives orders to itself and to all others who have a copy.
    order: Sender<Order>,
    orders: Receiver<Order>,
    /// What an operator shows, where the configuration has no keys.
    admin_key: Option<Secret>,
}

/// The threads that own the sockets.
#[derive(Debug)]
struct Reactors {
    threads: Vec<JoinHandle<()>>,
    /// Closed when the last of them has ended.
    alive: Receiver<Infallible>,
    /// Other processes of this host leave these cores alone.
    _claims: Claims,
}

impl Gateway {
    /// Starts everything. In a cluster the node is registered before its clients
    /// can come. The metrics show how many lines of the log were `dropped`.
    ///
    /// # Errors
    /// When a listener cannot be opened or the kernel refuses a thread or a descriptor.
    pub fn start(config: Config, dropped: DroppedLines) -> Result<Self, StartError> {
        let mut access = Access::load(&config.auth)?;
        let admin_key = access.make_start_key()?;
        let count = threads(&config);
        let open_files_max = raise_open_files();
        let (private, capacity) = descriptor_tables(&config, count, open_files_max);
        let boxes = Boxes::new(count, config.redis.is_some())?;
        let (bells, claims) = (boxes.bells(), claim_cores(&config, count));
        let metrics = Metrics::new(count);
        let hub = Hub::new(&config, boxes.posts, Arc::clone(&metrics));
        let (events, news) = boxes.news.unzip();
        let (post, sends) = boxes.sends;
        let told = Told { events, outgoing: Outgoing::new(post, SENDS_BYTES_MAX) };
        let tls = tls::load(&config.listen)?;
        let settings = Settings::new(&config, &access, tls.clone());
        let shared = Arc::new(shared(&config, &hub, metrics, told, settings, claims.cores().len()));
        shared.drain.configure_refuges(&config.stop.other_nodes);
        let (order, orders) = crossbeam_channel::bounded(ORDERS_MAX);
        let base = Base {
            hub,
            metrics: Arc::clone(&shared.metrics),
            clock: shared.clock,
            access: Arc::new(Current::new(access)),
            drain: Arc::clone(&shared.drain),
            holdings: Holdings {
                backlogs: Arc::clone(&shared.backlogs),
                outboxes: Arc::clone(&shared.outboxes),
                assemblies: Arc::clone(&shared.assemblies),
                capacity: capacity.saturating_mul(count),
            },
            orders: order.clone(),
        };
        let mut plane = Plane::start(&config, base)?;
        let grpc = news.map(|news| join(&config, &mut plane, news)).transpose()?;
        let mut doors = Doors::open(&config.listen.websocket)?;
        let kept: Vec<RawFd> = bells.into_iter().chain(doors.descriptors()).collect();
        let (is_alive, alive) = crossbeam_channel::bounded(0);
        let mut started = Started { shared: Arc::clone(&shared), threads: Vec::new() };
        for (index, mailbox) in boxes.mailboxes.into_iter().enumerate() {
            let setup = Setup {
                index: u16::try_from(index).unwrap_or(u16::MAX),
                core: claims.core_of(index).map(|id| CoreId { id }),
                entrances: doors.entrances(),
                mailbox,
                private_table_with: private.then(|| kept.clone()),
                capacity,
                alive: is_alive.clone(),
                shared: Arc::clone(&shared),
            };
            doors.settle(started.start(setup)?);
        }
        let http = doors.open_http(&config.listen.http)?;
        let door = Door { listeners: doors.listeners(), sends, dropped, http, tls };
        let control = plane.open(&config, door)?;
        let http: Vec<String> = control.served_at().iter().map(Listener::to_string).collect();
        tracing::info!(
            websocket = %doors, path = config.listen.path, http = http.join(", "),
            reactors = count, open_files_max, "listening"
        );
        warn_of_open_doors(&config, control.served_at(), grpc);
        let threads = std::mem::take(&mut started.threads);
        let (reactors, grpc_addr) = (Reactors { threads, alive, _claims: claims }, grpc);
        Ok(Self { config, doors, grpc_addr, shared, reactors, control, order, orders, admin_key })
    }

    /// The first address that WebSocket clients are listened for at; the port is
    /// never 0, unless there is no address at all but unix sockets.
    #[must_use]
    pub fn websocket_addr(&self) -> SocketAddr {
        let first = self.doors.listeners().iter().find_map(Listener::address);
        first.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// All places where they are listened for, in the order of the configuration;
    /// no port is 0.
    #[must_use]
    pub fn websocket_listeners(&self) -> Vec<Listener> {
        self.doors.listeners()
    }

    /// The first address that the HTTP API is served at; the port is never 0, unless
    /// there is no address at all but unix sockets.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        let first = self.control.served_at().iter().find_map(Listener::address);
        first.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// All places where the API is served, in the order of the configuration; no port is 0.
    #[must_use]
    pub fn http_listeners(&self) -> &[Listener] {
        self.control.served_at()
    }

    /// The key that this node made for its operator, because the configuration has no keys. It is
    /// good until the process ends or a reload brings others.
    #[must_use]
    pub fn admin_key(&self) -> Option<&Secret> {
        self.admin_key.as_ref()
    }

    /// Where other nodes are listened for, in a cluster; the port is never 0.
    #[must_use]
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc_addr
    }
}

/// The boxes of all reactors, and those for what they tell. They are
/// made before any descriptor table is split off: every thread must hold every bell.
struct Boxes {
    posts: Vec<Post>,
    mailboxes: Vec<Mailbox>,
    news: Option<(Post<News>, Mailbox<News>)>,
    sends: (Post<Waiting>, Mailbox<Waiting>),
}

impl Boxes {
    fn new(count: usize, in_cluster: bool) -> io::Result<Self> {
        let boxes = (0..count)
            .map(|_| mailbox_with_reserve(MAIL_DEPTH_MAX, MAIL_RESERVED))
            .collect::<io::Result<Vec<_>>>()?;
        let (posts, mailboxes) = boxes.into_iter().unzip();
        let news = in_cluster.then(|| mailbox(EVENTS_MAX)).transpose()?;
        // Whether clients may send can change while the node runs; the tables cannot.
        let sends = mailbox(SENDS_MAX)?;
        Ok(Self { posts, mailboxes, news, sends })
    }

    fn bells(&self) -> Vec<RawFd> {
        let news = self.news.iter().map(|(post, _)| post.bell());
        let sends = [self.sends.0.bell()];
        self.posts.iter().map(Post::bell).chain(news).chain(sends).collect()
    }
}

/// Where reactors tell what they have to tell.
struct Told {
    events: Option<Post<News>>,
    outgoing: Outgoing,
}

/// What all reactors work on.
fn shared(
    config: &Config,
    hub: &Arc<Hub>,
    metrics: Arc<Metrics>,
    told: Told,
    settings: Settings,
    pinned: usize,
) -> Shared {
    let (count, limits) = (metrics.reactors.len(), &config.limits);
    let memory = Memory::read(Path::new("/"));
    warn_of_memory(config, &memory);
    let outbox_total_bytes = budget(&memory, limits.outbox_total_bytes);
    hub.bounds.set_backlogs(outbox_total_bytes);
    Shared {
        hub: Arc::clone(hub),
        metrics,
        clock: Clock::start(),
        events: told.events,
        outgoing: told.outgoing,
        outboxes: Arc::new(Budget::new(outbox_total_bytes, count)),
        assemblies: Arc::new(Budget::new(budget(&memory, limits.assembly_total_bytes), count)),
        fanouts: match pinned {
            0 => Permits::floating(count, cores()),
            cores => Permits::pinned(count, cores),
        },
        subnets: Subnets::default(),
        handshakes: SharedRate::default(),
        connections: AtomicUsize::new(0),
        settings: Current::new(settings),
        drain: Arc::default(),
        backlogs: Arc::new(Backlogs::new(count)),
    }
}

/// Opens the gRPC listener and joins the cluster; returns where it listens.
fn join(config: &Config, plane: &mut Plane, news: Mailbox<News>) -> Result<SocketAddr, StartError> {
    let address = config.listen.grpc;
    let grpc = listen_tcp(address, false).map_err(|error| StartError::Grpc { address, error })?;
    let bound = grpc.local_addr().explain("getsockname(2)", "the address of listen.grpc")?;
    let own = match config.cluster.advertise.as_str() {
        "" => SocketAddr::new(reachable(bound), bound.port()).to_string(),
        given => given.to_owned(),
    };
    let own = NodeAddr::parse(&own).ok_or_else(|| io::Error::other("no address to advertise"))?;
    plane.join(config, Entry { grpc, own, news })?;
    Ok(bound)
}

/// The address that others reach a listener at.
fn reachable(bound: SocketAddr) -> IpAddr {
    if !bound.ip().is_unspecified() {
        return bound.ip();
    }
    address::first().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Warns of what strangers may reach without a key, or spoof.
fn warn_of_open_doors(config: &Config, http: &[Listener], grpc: Option<SocketAddr>) {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let addresses = http.iter().filter_map(Listener::address);
    let open = addresses.filter(|http| !http.ip().is_loopback() && config.auth.keys.is_empty());
    for http in open {
        tracing::warn!(
            %http,
            "the HTTP API has no key: whoever reaches this address can send to every user"
        );
    }
    if let Some(grpc) = grpc.filter(|grpc| !grpc.ip().is_loopback())
        && !config.cluster.is_guarded()
    {
        tracing::warn!(
            %grpc,
            "gRPC has neither token nor TLS: whoever reaches this address can send to every user"
        );
    }
}

/// Claims a core for each reactor, or all that this process may use if there are fewer. If
/// other processes have claimed too many, reactors run wherever the scheduler puts them.
fn claim_cores(config: &Config, reactors: usize) -> Claims {
    if !config.reactor.pin {
        return Claims::default();
    }
    let Some(cores) = core_affinity::get_core_ids() else {
        tracing::warn!("reactors are not pinned: sched_getaffinity(2) does not tell the cores");
        return Claims::default();
    };
    let cores: Vec<usize> = cores.into_iter().map(|core| core.id).collect();
    Claims::make(&cores, reactors.min(cores.len())).unwrap_or_else(|error| {
        tracing::warn!("reactors are not pinned to cores (reactor.pin): {error}");
        Claims::default()
    })
}

/// Raises the limit of open files as far as the kernel allows and returns it.
fn raise_open_files() -> u64 {
    let OpenFiles { limit, refused } = kernel::raise_open_files();
    if let Some(error) = refused {
        tracing::warn!(
            open_files_max = limit,
            "setrlimit(2) does not raise the limit of open files to the hard limit: {error}"
        );
    }
    limit
}

/// Whether each reactor gets a descriptor table of its own, as configured if the kernel allows
/// it, and how many connections each reactor can hold.
fn descriptor_tables(config: &Config, reactors: usize, open_files_max: u64) -> (bool, usize) {
    let capacity = |private| fd_table::capacity(open_files_max, reactors, private);
    if !config.reactor.private_fd_table {
        return (false, capacity(false));
    }
    let Err(error) = fd_table::test() else { return (true, capacity(true)) };
    tracing::warn!(
        connections = capacity(false).saturating_mul(reactors),
        open_files_max,
        "all reactors share one descriptor table, and its limit of open files bounds the \
         connections of this node: {error}"
    );
    (false, capacity(false))
}

/// Threads besides reactors and the control plane's: those that write the log, that wait for
/// signals, that read what reactors tell and what clients send, and one that may block.
const THREADS_BESIDE: usize = 5;

/// Makes sure that the kernel gives all threads that a node of this configuration needs.
///
/// # Errors
/// When it refuses one of them; the message says how many it gives.
pub fn test_threads(config: &Config) -> Result<(), StartError> {
    let needed = threads(config) + config.control.threads + THREADS_BESIDE;
    host_threads::test(needed).map_err(|error| StartError::Threads(Box::new(error)))
}

/// Reactors that have been started; ends them again if the start fails half-way.
struct Started {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Started {
    /// Starts one and returns where it listens.
    fn start(&mut self, setup: Setup) -> Result<Vec<Listener>, StartError> {
        let (tell, told) = crossbeam_channel::bounded(1);
        let thread = reactor::spawn(setup, tell)?;
        match told.recv().map_err(|_| io::Error::other("the reactor died"))? {
            Ok(listeners) => {
                self.threads.push(thread);
                Ok(listeners)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        let at_once = Plan { grace: Duration::ZERO, rate: 0, timeout: Duration::ZERO };
        self.shared.drain.close(self.shared.clock.now(), 0, at_once);
        bid_drain(&self.shared.hub, &self.threads);
        join_all(std::mem::take(&mut self.threads));
    }
}

/// Bids all these reactors close their connections.
fn bid_drain(hub: &Hub, threads: &[JoinHandle<()>]) {
    let mut left: Vec<usize> = (0..threads.len()).collect();
    loop {
        left.retain(|index| !threads[*index].is_finished() && hub.router.drain(*index).is_err());
        if left.is_empty() {
            return;
        }
        // A full mailbox is being emptied by its owner. One that is stuck holds up no other.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for their end.
fn join_all(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A reactor that panics ends the process; there is nothing to learn here.
        let _ended = thread.join();
    }
}

fn threads(config: &Config) -> usize {
    match config.reactor.threads {
        0 => cores().min(REACTORS_MAX),
        threads => threads.min(REACTORS_MAX),
    }
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A budget in bytes: as configured, or its share of the memory.
fn budget(memory: &Memory, configured: usize) -> usize {
    usize::try_from(memory.budget_bytes(configured as u64)).unwrap_or(usize::MAX)
}

/// Warns where the memory is unknown, and of a reserve that leaves nothing for clients.
fn warn_of_memory(config: &Config, memory: &Memory) {
    let Some(total) = memory.total_bytes() else {
        tracing::warn!(
            budget_bytes = memory.budget_bytes(0),
            "/proc/meminfo cannot be read: the memory of this host is unknown, budgets that are \
             not configured are small, and new clients are let in however short memory is"
        );
        return;
    };
    let reserve = memory.reserve_bytes(config.limits.memory_reserve_bytes as u64);
    if reserve >= total {
        tracing::warn!(
            memory_bytes = total,
            memory_reserve_bytes = reserve,
            "limits.memory_reserve_bytes is not less than the memory that this process may use: \
             every client will be refused"
        );
    }
}
