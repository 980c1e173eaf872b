//! The RFC 6455 engine from outside: bytes in, messages or violations out.

#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain has failed")]

mod autobahn_frames;
mod autobahn_text;
mod client;
mod pieces;
mod twin;
mod upgrade;
