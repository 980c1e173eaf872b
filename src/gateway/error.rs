//! Why a node does not start.

use crate::auth::AuthError;
use crate::config::Listener;
use crate::host::tls::TlsError;
use crate::reactor::OpenError;
use std::io;
use std::net::SocketAddr;

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
    #[error("cannot listen for HTTP on {listener} (listen.http): {}", reason(.error))]
    Http {
        /// Where.
        listener: Listener,
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
    /// A key or a file of `[auth]` is of no use.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The kernel refuses threads that a node needs.
    #[error("cannot start: {0}")]
    Threads(Box<io::Error>),
    /// The kernel refused something else that a node needs.
    #[error("cannot start: {0}")]
    Kernel(#[from] io::Error),
}

/// The usual failures in the words of whoever has to mend them.
pub(super) fn reason(error: &io::Error) -> String {
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
