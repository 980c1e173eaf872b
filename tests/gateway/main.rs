//! The gateway from outside: bytes in and bytes out, on real sockets.

#![allow(missing_docs, unreachable_pub, dead_code, reason = "tests")]

mod admin;
mod behind_nginx;
mod broadcasts;
mod conformance;
mod cors;
mod hostile;
mod http;
mod http_door;
mod http_site;
mod keys;
mod listeners;
mod logs;
mod origins;
mod protocol;
mod sends;
mod smoke;
mod support;
mod tokens;
