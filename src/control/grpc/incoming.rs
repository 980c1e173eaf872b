//! Connections of other nodes: bounded in number, and in the time they take to begin.

use crate::limits::{ACCEPT_PAUSE_MS, TCP_USER_TIMEOUT_SECONDS};
use futures_util::Stream;
use futures_util::stream;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections, each as soon as one of so many places is free for it.
pub(super) fn connections(
    listener: TcpListener,
    places: usize,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(places));
    stream::unfold((listener, places), |(listener, places)| async {
        // The semaphore is never closed, so there always is a permit in the end.
        let place = Arc::clone(&places).acquire_owned().await.ok();
        let socket = accept(&listener).await;
        Some((Ok(Connection::new(socket, place)), (listener, places)))
    })
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => match prepare(&socket) {
                Ok(()) => return socket,
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

/// A socket in its place. Who says nothing at first loses it; later HTTP/2's
/// own pings find out.
pub(super) struct Connection {
    socket: TcpStream,
    /// How long the beginning may take, and how many bytes of it are missing.
    beginning: Option<(Pin<Box<Sleep>>, usize)>,
    /// Free again when the connection is dropped.
    _place: Option<OwnedSemaphorePermit>,
}

/// Length of what an HTTP/2 client says first.
const PREFACE_BYTES: usize = 24;

/// Time for it.
const PREFACE_PATIENCE: Duration = Duration::from_secs(5);

impl Connection {
    fn new(socket: TcpStream, place: Option<OwnedSemaphorePermit>) -> Self {
        let patience = Box::pin(tokio::time::sleep(PREFACE_PATIENCE));
        Self { socket, beginning: Some((patience, PREFACE_BYTES)), _place: place }
    }

    /// Whether a byte has come from the peer. A health check may connect and close without one.
    pub(super) fn has_spoken(&self) -> bool {
        self.beginning.as_ref().is_none_or(|(_, missing)| *missing < PREFACE_BYTES)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if let Some((patience, missing)) = &mut self.beginning {
            if read.is_pending() && patience.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            *missing = missing.saturating_sub(buffer.filled().len() - before);
            if *missing == 0 {
                self.beginning = None;
            }
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

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};

    #[tokio::test]
    async fn a_connection_waits_for_a_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut connections = std::pin::pin!(connections(listener, 1));
        let _callers = [TcpStream::connect(addr).await, TcpStream::connect(addr).await];
        let first = connections.next().await.unwrap().unwrap();
        assert!(connections.next().now_or_never().is_none(), "there is one place");
        drop(first);
        assert!(connections.next().await.unwrap().is_ok());
    }
}
