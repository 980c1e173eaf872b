//! A node to test, and clients that know nothing of its code.

mod client;
mod node;

pub use client::{Client, Message, client_frame};
pub use node::Node;
