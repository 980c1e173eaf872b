//! What the tool can do: one file a command, each read from top to bottom.

pub mod agent;
pub mod chat;
pub mod diff;
pub mod echo;
pub mod fanout;
pub mod hold;
pub mod hostile;
pub mod plan;
mod probes;
pub mod storm;
