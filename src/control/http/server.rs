//! HTTP connections: accepted, bounded in number and in time, and ended in
//! good order.

use super::Site;
use super::answer::overloaded;
use super::watched::{Guarded, Watched};
use crate::control::HttpSocket;
use crate::control::places::{Place, Places};
use crate::limits::{
    ACCEPT_PAUSE_MS, HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_ADDRESS_MAX,
    HTTP_CONNECTIONS_RESERVED, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_SECONDS, HTTP_HEADERS_MAX,
    HTTP_TLS_SECONDS, TCP_USER_TIMEOUT_SECONDS,
};
use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request};
use axum::response::Response;
use futures_util::TryFutureExt;
use futures_util::future::{Either, join_all};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

/// Where connections come in.
pub(super) struct Door {
    socket: Listening,
    speaks_tls: bool,
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What all connections share.
#[derive(Clone)]
pub(super) struct Inside {
    site: Arc<Site>,
    routes: Router,
    ended: watch::Receiver<bool>,
    permits: Arc<Semaphore>,
    places: Arc<Places>,
}

/// A connection as it was accepted.
type Socket = Either<TcpStream, UnixStream>;

/// The address of a caller; none over a unix socket. Each request carries it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix socket"),
        }
    }
}

impl Door {
    /// Over an open socket. Must be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub(super) fn new(socket: HttpSocket, speaks_tls: bool) -> io::Result<Self> {
        let socket = match socket {
            HttpSocket::Tcp(socket) => Listening::Tcp(TcpListener::from_std(socket)?),
            HttpSocket::Unix(socket) => Listening::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self { socket, speaks_tls })
    }

    /// The next connection.
    async fn next(&self) -> (Socket, Peer) {
        loop {
            let accepted = match &self.socket {
                Listening::Tcp(socket) => {
                    let accepted = socket.accept().await;
                    accepted.map(|(socket, peer)| (Either::Left(socket), Peer(Some(peer))))
                }
                Listening::Unix(socket) => {
                    let accepted = socket.accept().await;
                    accepted.map(|(socket, _)| (Either::Right(socket), Peer(None)))
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                // The peer was gone before it was its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "HTTP connections cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }
}

/// Serves until it is to end; returns when the last connection has ended.
pub(super) async fn run(doors: Vec<Door>, inside: Inside) {
    let permits = Arc::clone(&inside.permits);
    join_all(doors.into_iter().map(|door| attend(door, inside.clone()))).await;
    drop(inside);
    // All places are free when all connections have ended. The semaphore is never closed.
    let _all = permits.acquire_many(PLACES).await;
}

/// Lets in who comes through one door, until it is to end.
async fn attend(door: Door, mut inside: Inside) {
    loop {
        let host = inside.clone();
        let next = async {
            loop {
                let visitor = door.next().await;
                if host.has_room_for(visitor.1) {
                    break (visitor, host.admit().await);
                }
            }
        };
        let (visitor, permit) = tokio::select! {
            next = next => next,
            () = end(&mut inside.ended) => return,
        };
        tokio::spawn(inside.clone().receive(visitor, door.speaks_tls, permit));
    }
}

/// Waits until the server is to end. An error means that the sender is gone: an end as well.
async fn end(ended: &mut watch::Receiver<bool>) {
    let _told = ended.wait_for(|ended| *ended).await;
}

impl Inside {
    pub(super) fn new(site: Arc<Site>, routes: Router, ended: watch::Receiver<bool>) -> Self {
        let permits = Arc::new(Semaphore::new(PLACES as usize));
        Self { site, routes, ended, permits, places: Arc::default() }
    }

    /// Whether the network of a caller may have one more connection. If it has as many as it may, one
    /// of its own that waits for its peer is ended.
    fn has_room_for(&self, peer: Peer) -> bool {
        let Some(ip) = peer.0.map(|peer| peer.ip()) else { return true };
        let speaks_for_others =
            ip.to_canonical().is_loopback() || self.site.policy.get().trusted.trusts(Some(ip));
        if speaks_for_others || self.places.held_by(ip) < HTTP_CONNECTIONS_PER_ADDRESS_MAX {
            return true;
        }
        let shared = &self.site.metrics.shared;
        let is_freed = self.places.free_one(Some(ip));
        let counter = if is_freed { &shared.http_displaced } else { &shared.http_crowded };
        counter.fetch_add(1, Ordering::Relaxed);
        is_freed
    }

    /// Whether only the places for probes and operators are left.
    fn is_nearly_full(&self) -> bool {
        self.permits.available_permits() < HTTP_CONNECTIONS_RESERVED as usize
    }

    /// A permit for one more connection. When all are given out, a connection that waits for its
    /// peer is ended; where there is none of that kind, the newcomer waits.
    async fn admit(&self) -> Option<OwnedSemaphorePermit> {
        const LOOK: Duration = Duration::from_millis(50);
        loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                if self.is_nearly_full() && self.free_one() {
                    // An idle connection gives its place up before the newcomer gets a reserved one.
                    let reserve = self.permits.acquire_many(HTTP_CONNECTIONS_RESERVED);
                    drop(tokio::time::timeout(LOOK, reserve).await);
                }
                return Some(permit);
            }
            self.free_one();
            let next = Arc::clone(&self.permits).acquire_owned();
            // The semaphore is never closed, so there always is a permit in the end.
            if let Ok(permit) = tokio::time::timeout(LOOK, next).await {
                return permit.ok();
            }
        }
    }

    /// Ends a connection that waits for its peer; `false` if there is none.
    fn free_one(&self) -> bool {
        let is_freed = self.places.free_one(None);
        if is_freed {
            self.site.metrics.shared.http_displaced.fetch_add(1, Ordering::Relaxed);
        }
        is_freed
    }

    /// The answer to what may not be asked over a place for probes and operators, while no other
    /// one is free.
    fn refusal(&self, place: &Place, path: &str) -> Option<Response> {
        if !place.is_reserved() || is_vital(path) || !self.is_nearly_full() {
            return None;
        }
        self.site.metrics.shared.http_reserved_refused.fetch_add(1, Ordering::Relaxed);
        let mut response = overloaded("all places for connections are taken: try again");
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Some(response)
    }

    async fn receive(
        self,
        (socket, peer): (Socket, Peer),
        speaks_tls: bool,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let held = self.places.take(peer.0.map(|peer| peer.ip()), self.site.clock.now());
        let place = Arc::clone(&held.place);
        if self.is_nearly_full() {
            place.reserve();
        }
        let clock = self.site.clock;
        let slow = Arc::clone(&self.site.metrics.shared.http_slow_readers);
        let served = async {
            match socket {
                Either::Left(socket) => match prepare(&socket) {
                    Ok(()) => {
                        let socket = Watched::new(socket, Arc::clone(&place), clock, slow);
                        self.open(socket, place, peer, speaks_tls).await;
                    }
                    Err(error) => tracing::debug!(%error, "HTTP connection not served"),
                },
                Either::Right(socket) => {
                    let socket = Watched::new(socket, Arc::clone(&place), clock, slow);
                    self.open(socket, place, peer, speaks_tls).await;
                }
            }
        };
        tokio::select! {
            () = served => {}
            () = held.place.wanted() => tracing::debug!("HTTP connection ended for another one"),
        }
        drop(held);
        drop(permit);
    }

    async fn open<S>(self, socket: Watched<S>, place: Arc<Place>, peer: Peer, speaks_tls: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if !speaks_tls {
            return self.converse(socket, peer, place).await;
        }
        match self.shake(socket).await {
            Ok(socket) => self.converse(socket, peer, place).await,
            Err(error) if !place.has_spoken() => {
                tracing::debug!(%error, "HTTP connection ended before its TLS handshake");
            }
            Err(error) => {
                self.site.metrics.shared.http_tls_failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "HTTP connection without TLS");
            }
        }
    }

    async fn shake<S>(&self, socket: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.site.tls.get();
        let config = config.as_ref().as_ref().ok_or(io::ErrorKind::NotFound)?;
        let acceptor = TlsAcceptor::from(Arc::clone(config));
        let patience = Duration::from_secs(HTTP_TLS_SECONDS);
        tokio::time::timeout(patience, acceptor.accept(socket)).await?
    }

    /// Answers on one connection until either side ends it.
    async fn converse<S>(mut self, socket: S, peer: Peer, place: Arc<Place>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            // Also the bound of idling: hyper waits for the next head from the end of an answer on.
            .header_read_timeout(self.site.policy.get().config.control.keep_alive)
            .max_headers(HTTP_HEADERS_MAX)
            .max_buf_size(HTTP_HEAD_BYTES_MAX);
        let (routes, clock, inside) = (self.routes.clone(), self.site.clock, self.clone());
        let asked = Arc::clone(&place);
        let routes = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            place.ask(clock.now());
            let (arrived, answered) = (Arc::clone(&place), Arc::clone(&place));
            // An answer is made from the end of the request's body to the end of its own.
            let request = request.map(|body| {
                Body::new(Guarded::new(body, move || arrived.begin_answer(clock.now())))
            });
            let answer = match inside.refusal(&place, request.uri().path()) {
                Some(refusal) => Either::Left(std::future::ready(Ok(refusal))),
                None => Either::Right(routes.clone().oneshot(request)),
            };
            answer.map_ok(move |answer| {
                answer.map(|body| Guarded::new(body, move || answered.end_answer(clock.now())))
            })
        });
        let mut connection = pin!(protocol.serve_connection(TokioIo::new(socket), routes));
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = silence(&asked) => return,
            () = end(&mut self.ended) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "HTTP connection ended early");
        }
    }
}

/// All places, those for probes and operators included.
const PLACES: u32 = HTTP_CONNECTIONS_MAX + HTTP_CONNECTIONS_RESERVED;

/// Whether a probe, a collector of metrics or an operator asks for this.
fn is_vital(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics" | "/admin") || path.starts_with("/admin/")
}

/// Returns when the time for the first head is over and no head has come.
async fn silence(place: &Place) {
    tokio::time::sleep(Duration::from_secs(HTTP_HEAD_SECONDS)).await;
    if place.has_asked() {
        std::future::pending::<()>().await;
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // Ends a reader that takes nothing of its answer, which would hold its place for ever.
    let patience = Duration::from_secs(TCP_USER_TIMEOUT_SECONDS);
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(patience))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_and_operators_are_told_by_their_paths() {
        for path in ["/healthz", "/readyz", "/metrics", "/admin", "/admin/state"] {
            assert!(is_vital(path), "{path}");
        }
        for path in ["/", "/user/list", "/healthz/x", "/administrator", "//admin", "/home/index"] {
            assert!(!is_vital(path), "{path}");
        }
    }
}
