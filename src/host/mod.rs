//! What this host allows.

pub mod kernel;
