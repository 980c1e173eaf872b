//! The agents' tests: real agents, a real coordinator, and a server that shares no code with them.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod agent;
mod lab;
mod refusals;
mod runs;
