//! Every baseline as a process of its own, over real sockets.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod bare;
mod echo;
mod server;
