//! News from a reactor.

use crate::address::ClientAddr;
use crate::session::User;
use std::sync::Arc;
use std::time::Duration;

/// An event and its time.
#[derive(Clone, Debug)]
pub struct News {
    /// When the turn of the reactor began in which it happened, by the clock of the node.
    pub since: Duration,
    /// What has happened.
    pub event: Event,
}

/// What the rest of a cluster has to know. An event may be lost, when the
/// control plane lags: who is where is told again from the directory.
#[derive(Clone, Debug)]
pub enum Event {
    /// From now on a user is reached here.
    Arrived {
        /// Who, and on which connection.
        user: Arc<User>,
        /// Where the client is.
        client: ClientAddr,
        /// False if the user was here before and has only changed the connection.
        is_new: bool,
    },
    /// A user has gone, and no newer login has taken the place.
    Departed(Arc<User>),
}
