//! The chat page in real Chromium: what a visitor sees and does.
//!
//! Needs Debian's `chromium`, `chromium-driver` and `redis-server`.

#![allow(missing_docs, unreachable_pub, dead_code, unused_imports, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod admin;
mod behind_nginx;
mod chat;
mod console;
mod driver;
#[path = "../cluster/nodes.rs"]
mod nodes;
#[path = "../cluster/redis.rs"]
mod redis;
mod returning;
mod server;
#[path = "../gateway/support/mod.rs"]
mod support;
mod tokens;
mod two_nodes;
