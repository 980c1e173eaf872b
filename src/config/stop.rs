//! How a node ends.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the node ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// Time, after SIGTERM, in which `/readyz` says 503 and everything else goes on, so
    /// that a balancer sends nobody new.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// Connections closed a second; 0 means as many as `timeout` asks for.
    pub rate: u32,
    /// Time, after the grace, in which all clients are closed, whatever the rate.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// URLs of other nodes, such as `wss://b.example.org/acc`, that clients are told to
    /// go to, in turns; at most 64, of 79 bytes each.
    pub other_nodes: Vec<String>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            grace: Duration::ZERO,
            rate: 0,
            timeout: Duration::from_secs(10),
            other_nodes: Vec::new(),
        }
    }
}
