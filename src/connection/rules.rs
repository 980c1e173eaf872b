//! What connections go by.

use super::FlowRules;
use crate::websocket::handshake::Paths;
use crate::websocket::message;
use rustls::ServerConfig;
use std::sync::Arc;

/// The part of the configuration that a connection needs. Times are in ticks, rounded up so
/// that no connection ends too early.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Where commands are spoken.
    pub path: String,
    /// Where every message comes back; empty for nowhere.
    pub echo_path: String,
    /// Bytes of a request head, at most.
    pub head_bytes_max: usize,
    /// Bounds of messages.
    pub message: message::Rules,
    /// What a client may send, where that is bounded.
    pub flow: Option<FlowRules>,
    /// Bytes of a backlog, at most.
    pub outbox_bytes_max: usize,
    /// Bytes of the largest frame from others. One that is larger than `outbox_bytes_max` is kept
    /// besides.
    pub frame_bytes_max: usize,
    /// Silence after which a connection ends.
    pub idle_ticks: u32,
    /// Time for the request.
    pub handshake_ticks: u32,
    /// Time for the login; `None` leaves a client that does not log in alone.
    pub login_ticks: Option<u32>,
    /// Time within which a message has to be whole; `None` leaves it the time that it takes.
    pub message_ticks: Option<u32>,
    /// What TLS is spoken with, by connections that begin from now on.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Rules {
    /// Where WebSockets may be opened.
    #[must_use]
    pub fn paths(&self) -> Paths<'_> {
        Paths { commands: &self.path, echo: &self.echo_path }
    }

    /// A backlog above this bound pauses the reading of further requests.
    #[must_use]
    pub fn congestion_bytes(&self) -> usize {
        self.outbox_bytes_max / 2
    }
}
