//! millgate: a WebSocket connection gateway that holds a million sockets in one process.
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

pub mod link; //       crossing: orders between threads, their bounded boxes

pub mod websocket; //  protocol: RFC 6455 over byte slices, no sockets, no clock

pub mod clock; //      words: what time it is
pub mod config; //            everything that can be set
pub mod envelope; //          a message before and after encoding
pub mod id; //                apps, users, connections
pub mod limits; //            every bound, with its reason
pub mod logging; //           where log lines go
pub mod session; //           a user who is logged in
