//! Connections of other nodes: bounded in number, and in the time they take to begin.

use super::doorman::Doorman;
use crate::control::places::{Held, Place, Places};
use crate::limits::{
    ACCEPT_PAUSE_MS, GRPC_CONNECTIONS_PER_ADDRESS_MAX, GRPC_FIRST_CALL_SECONDS,
    TCP_USER_TIMEOUT_SECONDS,
};
use futures_util::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};

/// The places of connections, and who gives one up for a newcomer: those that have shown no token,
/// certificate or key yet, as a call does. So strangers never keep out nodes.
struct Hall {
    permits: Arc<Semaphore>,
    places: Arc<Places>,
    doorman: Arc<Doorman>,
}

/// Connections, each as soon as one of so many places is free for it.
pub(super) fn connections(
    listener: TcpListener,
    places: usize,
    doorman: Arc<Doorman>,
) -> impl Stream<Item = io::Result<Connection>> {
    let permits = Arc::new(Semaphore::new(places));
    let hall = Hall { permits, places: Arc::default(), doorman };
    stream::unfold((listener, hall), |(listener, hall)| async {
        let (socket, peer) = loop {
            let (socket, peer) = accept(&listener).await;
            if hall.has_room_for(peer.ip()) {
                break (socket, peer);
            }
        };
        let permit = hall.admit().await;
        let held = hall.places.take(Some(peer.ip()), hall.doorman.now());
        let connection = Connection::new(socket, permit, held, Arc::clone(&hall.doorman));
        Some((Ok(connection), (listener, hall)))
    })
}

impl Hall {
    /// Whether the network of a caller may have one more connection, perhaps instead of another one
    /// of its own. Loopback may be a proxy of a service mesh, which speaks for all nodes.
    fn has_room_for(&self, peer: IpAddr) -> bool {
        let is_bounded = !peer.to_canonical().is_loopback();
        if !is_bounded || self.places.held_by(peer) < GRPC_CONNECTIONS_PER_ADDRESS_MAX {
            return true;
        }
        let is_freed = self.places.free_one(Some(peer));
        match is_freed {
            true => self.doorman.count_displaced(),
            false => self.doorman.count_crowded(),
        }
        is_freed
    }

    /// A permit for one more. When all are given out, one that has shown nothing yet is ended; where
    /// there is none of that kind, the newcomer waits.
    async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        const LOOK: Duration = Duration::from_millis(50);
        loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return Some(permit);
            }
            if self.places.free_one(None) {
                self.doorman.count_displaced();
            }
            let next = Arc::clone(&self.permits).acquire_owned();
            // The semaphore is never closed, so there always is a permit in the end.
            if let Ok(permit) = tokio::time::timeout(LOOK, next).await {
                return permit.ok();
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => match prepare(&socket) {
                Ok(()) => return (socket, peer),
                Err(error) => tracing::debug!(%error, "gRPC connection not served"),
            },
            // The peer was gone before it was its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "gRPC connections cannot be accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

/// What both ends of a connection between nodes set on it.
pub(in crate::control) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // Ends a peer that takes nothing, which would hold its place for ever.
    let patience = Duration::from_secs(TCP_USER_TIMEOUT_SECONDS);
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(patience))
}

/// A socket in its place. It loses it if it says nothing at first, or makes no call with what lets
/// it in; later HTTP/2's own pings find out.
pub(super) struct Connection {
    socket: TcpStream,
    /// Until a call has been let in.
    stranger: Option<Box<Stranger>>,
    doorman: Arc<Doorman>,
    held: Held,
    /// Free again when the connection is dropped.
    _permit: Option<OwnedSemaphorePermit>,
}

/// What bounds a connection that has shown nothing yet.
struct Stranger {
    /// How many bytes of the beginning are missing, and how long they may take.
    missing: usize,
    beginning: Pin<Box<Sleep>>,
    /// How long the first call may take.
    first_call: Pin<Box<Sleep>>,
    /// Ready when its place is wanted for another connection.
    wanted: BoxFuture<'static, ()>,
}

/// Length of what an HTTP/2 client says first.
const PREFACE_BYTES: usize = 24;

/// Time for it.
const PREFACE_PATIENCE: Duration = Duration::from_secs(5);

impl Connection {
    fn new(
        socket: TcpStream,
        permit: Option<OwnedSemaphorePermit>,
        held: Held,
        doorman: Arc<Doorman>,
    ) -> Self {
        let place = Arc::clone(&held.place);
        let stranger = Stranger {
            missing: PREFACE_BYTES,
            beginning: Box::pin(tokio::time::sleep(PREFACE_PATIENCE)),
            first_call: Box::pin(tokio::time::sleep(Duration::from_secs(GRPC_FIRST_CALL_SECONDS))),
            wanted: Box::pin(async move { place.wanted().await }),
        };
        Self { socket, stranger: Some(Box::new(stranger)), doorman, held, _permit: permit }
    }
}

impl Connection {
    /// Whether a byte has come from the peer. A health check may connect and close without one.
    pub(super) fn has_spoken(&self) -> bool {
        self.stranger.as_ref().is_none_or(|stranger| stranger.missing < PREFACE_BYTES)
    }
}

impl Stranger {
    /// Why it has to go, if it has to.
    fn poll_end(&mut self, context: &mut Context<'_>, doorman: &Doorman) -> Option<io::Error> {
        if self.wanted.as_mut().poll(context).is_ready() {
            return Some(io::ErrorKind::ConnectionAborted.into());
        }
        let is_late = self.missing > 0 && self.beginning.as_mut().poll(context).is_ready();
        if is_late || self.first_call.as_mut().poll(context).is_ready() {
            doorman.count_silent();
            return Some(io::ErrorKind::TimedOut.into());
        }
        None
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.held.place.waits_for_peer() {
            this.stranger = None;
        }
        if let Some(stranger) = &mut this.stranger
            && let Some(error) = stranger.poll_end(context, &this.doorman)
        {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.socket).poll_read(context, buffer);
        if let Some(stranger) = &mut this.stranger {
            stranger.missing = stranger.missing.saturating_sub(buffer.filled().len() - before);
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// What a call knows of its connection.
#[derive(Clone)]
pub(super) struct Caller {
    tcp: TcpConnectInfo,
    place: Arc<Place>,
}

impl Caller {
    /// That of a call which came over a connection of this server.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Option<&Self> {
        let extensions = request.extensions();
        let over_tls = || Some(extensions.get::<TlsConnectInfo<Self>>()?.get_ref());
        extensions.get::<Self>().or_else(over_tls)
    }

    /// Where it comes from.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.tcp.remote_addr()
    }

    /// The connection of a call that is let in keeps its place.
    pub(super) fn let_in(&self, now: Duration) {
        if self.place.waits_for_peer() {
            self.place.begin_answer(now);
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        Caller { tcp: self.socket.connect_info(), place: Arc::clone(&self.held.place) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::metrics::Metrics;
    use futures_util::{FutureExt, StreamExt};
    use std::sync::atomic::Ordering;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_stranger_gives_its_place_to_a_newcomer_and_a_node_keeps_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let metrics = Metrics::new(1);
        let doorman = Arc::new(Doorman::new(Clock::start(), Arc::clone(&metrics)));
        let mut connections = std::pin::pin!(connections(listener, 2, doorman));
        let mut callers = Vec::new();
        for _ in 0..3 {
            callers.push(TcpStream::connect(addr).await.unwrap());
        }
        let node = connections.next().await.unwrap().unwrap();
        node.connect_info().let_in(Duration::ZERO);
        let mut stranger = connections.next().await.unwrap().unwrap();
        assert!(connections.next().now_or_never().is_none(), "there are two places");
        let error = stranger.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        drop(stranger);
        let newcomer = connections.next().await.unwrap().unwrap();
        assert_eq!(metrics.peers.displaced.load(Ordering::Relaxed), 1);
        newcomer.connect_info().let_in(Duration::ZERO);
        callers.push(TcpStream::connect(addr).await.unwrap());
        assert!(connections.next().now_or_never().is_none(), "nobody is a stranger");
        drop(node);
        assert!(connections.next().await.unwrap().is_ok());
    }
}
