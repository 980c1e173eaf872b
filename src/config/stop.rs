//! How a node ends.

use crate::limits::OTHER_NODE_BYTES_MAX;
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
    /// go to, in turns; at most 64, of 79 bytes each. Empty means the nodes of the cluster that
    /// have a `cluster.client_url` and let clients in.
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

/// What is wrong with a URL that clients of a node that stops are sent to: it stands in
/// JSON, in the reason of a close frame. Empty is none at all.
#[must_use]
pub fn refuge_fault(url: &str) -> Option<String> {
    let is_websocket = ["ws://", "wss://"]
        .iter()
        .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if url.len() > OTHER_NODE_BYTES_MAX {
        return Some(format!("must be of at most {OTHER_NODE_BYTES_MAX} bytes"));
    }
    if !is_websocket {
        return Some("must begin with ws:// or wss://".to_owned());
    }
    let is_plain = |letter: char| !letter.is_whitespace() && !letter.is_control();
    let has_quotes = url.contains(['"', '\'', '<', '>', '\\']);
    (has_quotes || !url.chars().all(is_plain))
        .then(|| "must be a URL without spaces and quotes".to_owned())
}
