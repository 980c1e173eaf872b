//! The way to Redis, and what nodes of a cluster say in it.
//!
//! Invariant: nothing here blocks a connection of Redis (no KEYS, no SUBSCRIBE,
//! no BLPOP), and no command touches more than one key: it may be a Redis Cluster.

pub(super) mod keys;
mod link;
pub(super) mod record;
pub(super) mod script;
mod target;
mod trouble;

pub(in crate::control) use link::{Fault, Link};

/// Why `[redis]` cannot be used, whatever answers there.
pub(super) fn fault(config: &crate::config::Redis) -> Option<String> {
    target::Target::new(config).err().map(|error| error.to_string())
}
