//! A node to test, and clients that know nothing of its code.

mod certificate;
mod client;
mod http;
pub mod nginx;
mod node;

pub use certificate::Certificate;
pub use client::{Client, Message, client_frame};
pub use http::Answer;
pub use node::Node;
