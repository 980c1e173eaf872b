//! HTTP connections: accepted, bounded in number and in time, and ended in
//! good order.

use crate::limits::{
    ACCEPT_PAUSE_MS, HTTP_CONNECTIONS_MAX, HTTP_HEAD_BYTES_MAX, HTTP_IDLE_SECONDS,
    TCP_USER_TIMEOUT_SECONDS,
};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Serves `routes` until `ended` says so; returns when the last connection has ended.
pub(super) async fn run(listener: TcpListener, routes: Router, mut ended: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(HTTP_CONNECTIONS_MAX as usize));
    loop {
        let (socket, place) = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = end(&mut ended) => break,
        };
        tokio::spawn(converse(socket, place, routes.clone(), ended.clone()));
    }
    drop(listener);
    // All places are free when all connections have ended. The semaphore is never closed.
    let _all = places.acquire_many(HTTP_CONNECTIONS_MAX).await;
}

/// Waits until the server is to end. An error means that the sender is gone: an end as well.
async fn end(ended: &mut watch::Receiver<bool>) {
    let _told = ended.wait_for(|ended| *ended).await;
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there always is a permit in the end.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((socket, _)) => return (socket, place),
            // The peer was gone before it was its turn.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "HTTP connections cannot be accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

/// Answers on one connection until either side ends it.
async fn converse(
    socket: TcpStream,
    place: Option<OwnedSemaphorePermit>,
    routes: Router,
    mut ended: watch::Receiver<bool>,
) {
    if let Err(error) = prepare(&socket) {
        tracing::debug!(%error, "HTTP connection not served");
        return;
    }
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        // Also the bound of idling: hyper waits for the next head from the end of an answer on.
        .header_read_timeout(Duration::from_secs(HTTP_IDLE_SECONDS))
        .max_buf_size(HTTP_HEAD_BYTES_MAX);
    let connection =
        protocol.serve_connection(TokioIo::new(socket), TowerToHyperService::new(routes));
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = end(&mut ended) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP connection ended early");
    }
    drop(place);
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    // Ends a reader that takes nothing of its answer, which would hold its place for ever.
    let patience = Duration::from_secs(TCP_USER_TIMEOUT_SECONDS);
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(patience))
}
