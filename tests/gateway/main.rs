//! The gateway from outside: bytes in and bytes out, on real sockets.

#![allow(missing_docs, unreachable_pub, dead_code, reason = "tests")]

mod http;
mod smoke;
mod support;
