//! What this host allows, and what the kernel knows.

pub mod kernel;
pub mod sockets;
