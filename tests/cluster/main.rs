//! Nodes that share users through a real Redis, and what they do when it, or one of them, fails.

#![allow(missing_docs, unreachable_pub, dead_code, unused_imports, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod addresses;
mod chat;
mod churn;
mod claims;
mod crash;
#[path = "../stress/crowd.rs"]
mod crowd;
mod cut;
mod doors;
mod drain;
mod failover;
mod faults;
mod fleet;
mod go_node;
mod hops;
mod latency;
mod mixed;
mod network;
mod nodes;
mod odd_peers;
mod outage;
#[path = "../stress/process.rs"]
mod process;
#[path = "../../src/control/proto.rs"]
mod proto;
mod readiness;
mod redis;
mod rolling;
mod rotation;
mod sends;
mod skew;
mod stop;
#[path = "../gateway/support/mod.rs"]
mod support;
#[path = "../../src/control/cluster/testing.rs"]
mod testing;

use millgate::clock::unix_seconds;
use millgate::config;
use testing::authority;
