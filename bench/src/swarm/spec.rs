//! What all clients of a swarm have in common.

use super::source::Sources;
use crate::wire::token::Issuer;
use crate::wire::url::Url;
use std::time::Duration;

/// What the clients talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Every message comes back.
    Echo,
    /// The gateway's commands.
    Gateway,
}

/// What all clients of a swarm have in common.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Where to, at least one; clients take them in turn.
    pub urls: Vec<Url>,
    /// Further headers of the handshake.
    pub headers: Vec<String>,
    /// What is talked.
    pub protocol: Protocol,
    /// The server's answer to the handshake is a canned one, for
    /// [`crate::wire::handshake::SAMPLE_KEY`].
    pub canned: bool,
    /// The server knows nothing of WebSocket frames and sends ours back as they are.
    pub raw: bool,
    /// Where connections come from.
    pub sources: Sources,
    /// Clients of the crowd.
    pub crowd: u32,
    /// Further clients on a thread of their own, which never log in: they
    /// measure while the crowd is busy.
    pub probes: u32,
    /// Threads for the crowd, at least; more if descriptors need them.
    pub threads: usize,
    /// How long a thread of the crowd rests after it has read a push, so that
    /// it reads the next ones together; 0 to read each at once. On a host
    /// shared with the server every wake-up of a reader is paid by the writer.
    pub gather: Duration,
    /// Pin threads to cores.
    pub pin: bool,
    /// Attempts to connect that one worker has under way at once.
    pub dials: u32,
    /// Rooms that users log in to, in turn.
    pub apps: Vec<u32>,
    /// What user names begin with.
    pub user_prefix: String,
    /// Users of this generator are numbered from here: generators side by side must not share users.
    pub first_user: u32,
    /// Issues a token for each login, where the gateway wants one.
    pub login_tokens: Option<Issuer>,
    /// The same for each handshake.
    pub handshake_tokens: Option<Issuer>,
    /// Seed of everything random.
    pub seed: u64,
}

impl Spec {
    /// Where a client connects to.
    #[must_use]
    pub fn url(&self, global: u32) -> &Url {
        &self.urls[self.url_index(global)]
    }

    /// The same as a position in [`Self::urls`].
    pub(super) fn url_index(&self, global: u32) -> usize {
        global as usize % self.urls.len()
    }

    /// The name of a user.
    #[must_use]
    pub fn user(&self, global: u32) -> String {
        format!("{}{}", self.user_prefix, self.first_user.wrapping_add(global))
    }

    /// The room of a user.
    #[must_use]
    pub fn app(&self, global: u32) -> u32 {
        let turn = self.first_user.wrapping_add(global) as usize;
        self.apps.get(turn % self.apps.len().max(1)).copied().unwrap_or(0)
    }
}
