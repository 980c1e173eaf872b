//! What this host allows, and what the kernel knows.

pub mod address;
pub mod doctor;
pub mod fd_table;
pub mod kernel;
pub mod sockets;
