//! millgate: a WebSocket connection gateway, built to hold a million sockets in one process.
//!
//! ```text
//!             ┌────────── control plane: one small tokio runtime ──────────┐
//!             │         HTTP API, pages, metrics (axum)                    │
//!             └───────────────────────────────────────────┬────────────────┘
//!                                                          │ Mail (bounded, refused aloud)
//!                                                          ▼
//! sockets ─ epoll ─ reactor 0 … reactor n     one OS thread per core, pinned
//!                   slab of Conn · timing wheel · one receive buffer ·
//!                   fan-out cursors · own listener · own descriptor table
//! ```
//!
//! From the top down; a room imports only from rooms below it.

pub mod gateway; //    assembly: all parts, started and stopped in order

pub mod control; //    control plane: HTTP API, pages, metrics; tokio, never mio
pub mod reactor; //    data plane: sockets and everything that happens to them; mio, never tokio

pub mod hub; //        routes: who is where; the narrow waist of every message

pub mod command; //    decisions: what a client may ask, what it is answered, what is pushed

pub mod connection; // machine: one connection without input and output; bytes in, effects out

pub mod link; //       crossing: orders between threads, their bounded boxes

pub mod websocket; //  protocol: RFC 6455 over byte slices, no sockets, no clock

pub mod auth; //       door: what a key opens, what a token grants

pub mod host; //       host: what this machine allows

pub mod address; //    words: where clients come from, networks
pub mod clock; //             what time it is
pub mod config; //            everything that can be set
pub mod envelope; //          a message before and after encoding
pub mod id; //                apps, users, connections
pub mod limits; //            every bound, with its reason
pub mod logging; //           where log lines go
pub mod metrics; //           counters: one writer each, summed on scrape
pub mod session; //           a user who is logged in
