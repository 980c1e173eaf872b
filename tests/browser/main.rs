//! The chat page in real Chromium: what a visitor sees and does.
//!
//! Needs Debian's `chromium` and `chromium-driver`.

#![allow(missing_docs, unreachable_pub, reason = "tests")]

mod chat;
mod driver;
mod server;
