//! What this host allows, and what the kernel knows.

pub mod address;
pub mod cores;
pub mod der;
pub mod doctor;
pub mod fd_table;
mod group;
pub mod kernel;
pub mod memory;
pub mod pem;
pub mod pressure;
pub mod refused;
pub mod systemd;
#[cfg(test)]
mod testing;
pub mod threads;
pub mod tls;
pub mod unix;
