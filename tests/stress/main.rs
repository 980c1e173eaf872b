//! The gateway under load and abuse: slow readers, storms, spent limits, orderly and hasty ends.

#![allow(missing_docs, unreachable_pub, dead_code, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod budgets;
mod crowd;
mod descriptors;
mod handshakes;
mod hostile;
mod idle;
mod memory;
mod process;
mod reload;
mod service;
mod slow;
mod stop;
mod storm;
#[path = "../gateway/support/mod.rs"]
mod support;
