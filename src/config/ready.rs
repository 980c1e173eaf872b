//! When a node calls itself ready.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When `/readyz` says that a balancer may send clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ready {
    /// How long a node stays ready while Redis, which it has used before, fails. All nodes miss
    /// Redis at the same moment, and messages between users of one node need none. 0 means not at all;
    /// at most 1 h.
    #[serde(with = "humantime_serde")]
    pub redis_grace: Duration,
}

impl Default for Ready {
    fn default() -> Self {
        Self { redis_grace: Duration::from_secs(10) }
    }
}
