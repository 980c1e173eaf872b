//! What this host allows, and what the kernel knows.

pub mod address;
pub mod der;
pub mod doctor;
pub mod fd_table;
mod group;
pub mod kernel;
pub mod pem;
pub mod pressure;
pub mod systemd;
pub mod tls;
pub mod unix;
