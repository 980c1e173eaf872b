//! Assembly: everything a node is made of, started and stopped in order.

mod doors;

use crate::clock::Clock;
use crate::config::{Config, Listener};
use crate::control::{Base, Control, Door, Entry, Plane};
use crate::host::{address, fd_table, kernel};
use crate::hub::Hub;
use crate::id::NodeAddr;
use crate::limits::{EVENTS_MAX, HTTP_CONNECTIONS_MAX, MAIL_DEPTH_MAX, REACTORS_MAX};
use crate::link::{Budget, Current, Mailbox, News, Permits, Post, SharedRate, Subnets, mailbox};
use crate::logging::DroppedLines;
use crate::metrics::Metrics;
use crate::reactor::{self, OpenError, Settings, Setup, Shared, TlsError};
use core_affinity::CoreId;
use doors::Doors;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

/// Why a node could not be started, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A WebSocket listener could not be opened.
    #[error("cannot listen for WebSocket clients on {listener} (listen.websocket): {}", reason(.error))]
    Listen {
        /// Where.
        listener: Listener,
        /// Why not.
        error: io::Error,
    },
    /// The HTTP listener could not be opened.
    #[error("cannot listen for HTTP on {address} (listen.http): {}", reason(.error))]
    Http {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// The gRPC listener could not be opened.
    #[error("cannot listen for other nodes on {address} (listen.grpc): {}", reason(.error))]
    Grpc {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// A certificate or key of the configuration is of no use.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The kernel refused something else that a node needs.
    #[error("cannot start: {0}")]
    Kernel(#[from] io::Error),
}

/// The usual failures in the words of whoever has to mend them.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there already".into(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (ports below 1024 need CAP_NET_BIND_SERVICE, sockets a folder \
             that may be written)"
                .into()
        }
        io::ErrorKind::AddrNotAvailable => "this host has no such address".into(),
        io::ErrorKind::AlreadyExists => "there is a file that is no socket".into(),
        _ => error.to_string(),
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Listen { listener, error } => Self::Listen { listener, error },
            OpenError::Kernel(error) => Self::Kernel(error),
        }
    }
}

/// A node that runs.
#[derive(Debug)]
pub struct Gateway {
    doors: Doors,
    grpc_addr: Option<SocketAddr>,
    stop_timeout: Duration,
    hub: Arc<Hub>,
    reactors: Vec<JoinHandle<()>>,
    control: Control,
}

impl Gateway {
    /// Starts everything. In a cluster the node is registered before its clients
    /// can come. The metrics show how many lines of the log were `dropped`.
    ///
    /// # Errors
    /// When a listener cannot be opened or the kernel refuses a thread or a descriptor.
    pub fn start(config: Config, dropped: DroppedLines) -> Result<Self, StartError> {
        let count = threads(&config);
        let open_files_max = kernel::raise_open_files()?;
        let boxes = Boxes::new(count, config.redis.is_some())?;
        let (bells, pinned) = (boxes.bells(), pinned_cores(&config));
        let metrics = Metrics::new(count);
        let hub = Hub::new(&config, boxes.posts, Arc::clone(&metrics));
        let (events, news) = boxes.news.unzip();
        let shared = Arc::new(shared(&config, &hub, metrics, events, pinned.len())?);
        let base = Base {
            hub: Arc::clone(&hub),
            metrics: Arc::clone(&shared.metrics),
            clock: shared.clock,
        };
        let mut plane = Plane::start(&config, base)?;
        let grpc = news.map(|news| join(&config, &mut plane, news)).transpose()?;
        let mut doors = Doors::open(&config.listen.websocket)?;
        let kept: Vec<RawFd> = bells.into_iter().chain(doors.descriptors()).collect();
        let private = config.reactor.private_fd_table;
        let mut started = Started { hub: Arc::clone(&hub), reactors: Vec::new() };
        for (index, mailbox) in boxes.mailboxes.into_iter().enumerate() {
            let setup = Setup {
                index: u16::try_from(index).unwrap_or(u16::MAX),
                core: (!pinned.is_empty()).then(|| pinned[index % pinned.len()]),
                entrances: doors.entrances(),
                mailbox,
                private_table_with: private.then(|| kept.clone()),
                capacity: fd_table::capacity(open_files_max, count, private),
                shared: Arc::clone(&shared),
            };
            doors.settle(started.start(setup)?);
        }
        let control = open(&config, plane, doors.listeners(), dropped)?;
        tracing::info!(
            websocket = %doors, path = config.listen.path, http = %control.http_addr(),
            reactors = count, open_files_max, "listening"
        );
        warn_of_open_doors(&config, control.http_addr(), grpc);
        let reactors = std::mem::take(&mut started.reactors);
        let stop_timeout = config.stop.timeout;
        Ok(Self { doors, grpc_addr: grpc, stop_timeout, hub, reactors, control })
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

    /// Where the HTTP API listens; the port is never 0.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.control.http_addr()
    }

    /// Where other nodes are listened for, in a cluster; the port is never 0.
    #[must_use]
    pub fn grpc_addr(&self) -> Option<SocketAddr> {
        self.grpc_addr
    }

    /// Ends in good order: no new clients, close 1012 to everybody at a pace
    /// that fits into `stop.timeout`, then the control plane.
    pub fn stop(mut self) {
        tracing::info!(users = self.hub.directory.users(), "stopping");
        self.hub.announcer.silence();
        self.control.leave(self.stop_timeout);
        drain(&self.hub, self.reactors, self.stop_timeout);
        self.control.stop();
        tracing::info!("stopped");
    }
}

/// The boxes of all reactors, and in a cluster the one for their news. They are
/// made before any descriptor table is split off: every thread must hold every bell.
struct Boxes {
    posts: Vec<Post>,
    mailboxes: Vec<Mailbox>,
    news: Option<(Post<News>, Mailbox<News>)>,
}

impl Boxes {
    fn new(count: usize, in_cluster: bool) -> io::Result<Self> {
        let boxes = (0..count).map(|_| mailbox(MAIL_DEPTH_MAX)).collect::<io::Result<Vec<_>>>()?;
        let (posts, mailboxes) = boxes.into_iter().unzip();
        let news = in_cluster.then(|| mailbox(EVENTS_MAX)).transpose()?;
        Ok(Self { posts, mailboxes, news })
    }

    fn bells(&self) -> Vec<RawFd> {
        let news = self.news.iter().map(|(post, _)| post.bell());
        self.posts.iter().map(Post::bell).chain(news).collect()
    }
}

/// What all reactors work on.
fn shared(
    config: &Config,
    hub: &Arc<Hub>,
    metrics: Arc<Metrics>,
    events: Option<Post<News>>,
    pinned: usize,
) -> Result<Shared, StartError> {
    let count = metrics.reactors.len();
    Ok(Shared {
        hub: Arc::clone(hub),
        metrics,
        clock: Clock::start(),
        events,
        outboxes: Budget::new(share_of_memory(config.limits.outbox_total_bytes)?, count),
        assemblies: Budget::new(share_of_memory(config.limits.assembly_total_bytes)?, count),
        fanouts: match pinned {
            0 => Permits::floating(count, cores()),
            cores => Permits::pinned(count, cores),
        },
        subnets: Subnets::default(),
        handshakes: SharedRate::default(),
        connections: AtomicUsize::new(0),
        settings: Current::new(Settings::new(config)?),
    })
}

/// Opens the gRPC listener and joins the cluster; returns where it listens.
fn join(config: &Config, plane: &mut Plane, news: Mailbox<News>) -> Result<SocketAddr, StartError> {
    let address = config.listen.grpc;
    let grpc = listen_tcp(address).map_err(|error| StartError::Grpc { address, error })?;
    let bound = grpc.local_addr()?;
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

/// Opens the HTTP listener and starts what is behind it.
fn open(
    config: &Config,
    plane: Plane,
    listeners: Vec<Listener>,
    dropped: DroppedLines,
) -> Result<Control, StartError> {
    let address = config.listen.http;
    let http = listen_tcp(address).map_err(|error| StartError::Http { address, error })?;
    Ok(plane.open(config, Door { listeners, dropped, http })?)
}

fn warn_of_open_doors(config: &Config, http: SocketAddr, grpc: Option<SocketAddr>) {
    if !http.ip().is_loopback() {
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

fn pinned_cores(config: &Config) -> Vec<CoreId> {
    let cores = if config.reactor.pin { core_affinity::get_core_ids() } else { None };
    cores.unwrap_or_default()
}

/// With room for all connections that are served at once: the standard
/// library asks for less, and a burst of callers would wait for SYN retries.
fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(HTTP_CONNECTIONS_MAX).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// Reactors that have been started; ends them again if the start fails half-way.
struct Started {
    hub: Arc<Hub>,
    reactors: Vec<JoinHandle<()>>,
}

impl Started {
    /// Starts one and returns where it listens.
    fn start(&mut self, setup: Setup) -> Result<Vec<Listener>, StartError> {
        let (tell, told) = crossbeam_channel::bounded(1);
        let thread = reactor::spawn(setup, tell)?;
        match told.recv().map_err(|_| io::Error::other("the reactor died"))? {
            Ok(listeners) => {
                self.reactors.push(thread);
                Ok(listeners)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drain(&self.hub, std::mem::take(&mut self.reactors), Duration::ZERO);
    }
}

/// Closes all connections of these reactors and waits for their end.
fn drain(hub: &Hub, reactors: Vec<JoinHandle<()>>, limit: Duration) {
    for (index, thread) in reactors.iter().enumerate() {
        // A full mailbox is being emptied by its owner: it has room in a moment.
        while !thread.is_finished() && hub.router.drain(index, limit).is_err() {
            std::thread::yield_now();
        }
    }
    for thread in reactors {
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

/// A bound in bytes: as configured, or an eighth of the RAM.
fn share_of_memory(configured: usize) -> io::Result<usize> {
    match configured {
        0 => Ok(kernel::memory_bytes()? / 8),
        bytes => Ok(bytes),
    }
}
