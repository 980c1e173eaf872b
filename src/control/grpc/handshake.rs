//! TLS before anything else: only nodes with a certificate of the cluster's authority come in.
//!
//! The server of the gRPC library would do it too, but tells nobody who failed, and why.

use super::credentials::Credentials;
use super::doorman::Doorman;
use super::incoming::Connection;
use crate::limits::GRPC_CONNECTIONS_MAX;
use futures_util::{Stream, StreamExt};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// The connections whose handshake succeeds, each as soon as it has; none waits for another.
/// Each handshake goes by the certificates of the moment at which it begins.
pub(super) fn trusted(
    connections: impl Stream<Item = io::Result<Connection>>,
    security: Arc<Credentials>,
    doorman: Arc<Doorman>,
) -> impl Stream<Item = io::Result<TlsStream<Connection>>> {
    let handshakes = connections.map(move |connection| {
        // Whether nodes use TLS at all is settled at the start.
        let (security, doorman) = (Arc::clone(&security), Arc::clone(&doorman));
        async move {
            match connection {
                Ok(connection) => {
                    let acceptor = security.fresh().await.acceptor()?;
                    shake(connection, &acceptor, &doorman).await.map(Ok)
                }
                Err(error) => Some(Err(error)),
            }
        }
    });
    handshakes.buffer_unordered(GRPC_CONNECTIONS_MAX).filter_map(std::future::ready)
}

async fn shake(
    connection: Connection,
    acceptor: &TlsAcceptor,
    doorman: &Doorman,
) -> Option<TlsStream<Connection>> {
    let from = connection.connect_info().address();
    match tokio::time::timeout(PATIENCE, acceptor.accept(connection).into_fallible()).await {
        Ok(Ok(stream)) => return Some(stream),
        // A health check, which connects and closes or resets the connection.
        Ok(Err((error, connection)))
            if !connection.has_spoken() || error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            let from = from.map(|from| from.to_string());
            tracing::debug!(from, "a connection ended before its TLS handshake");
        }
        Ok(Err((error, _))) => doorman.refuse_handshake(from, &error),
        Err(_) => doorman.refuse_handshake(from, &"no handshake in time"),
    }
    None
}

/// Time for a handshake; a connection that takes longer is closed.
const PATIENCE: Duration = Duration::from_secs(5);
