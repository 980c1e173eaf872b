//! Generators on other hosts: a job for each, a common start, one result.
//!
//! ```text
//!  lead: split ─► job ──── channel: sealed lines ────► serve ─► process: a generator
//!    ▲                                                              │
//!    └─ merge ◄── progress, meetings, parts, result ◄───────────────┘
//! ```

mod channel;
mod figures;
mod job;
mod key;
mod lead;
mod links;
mod merge;
mod offset;
mod process;
mod protocol;
mod scenes;
mod serve;

pub use key::Key;
pub use lead::{Led, lead};
pub use serve::serve;

#[cfg(test)]
mod tests;
