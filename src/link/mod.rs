//! All that passes between threads: orders to a reactor, and the box they wait in.

mod awake;
mod mail;
mod mailbox;

pub use mail::{Fanout, Mail};
pub use mailbox::{Mailbox, Post, Refused, mailbox};
