//! What the tool can do: one file a command, each read from top to bottom.

pub mod hold;
