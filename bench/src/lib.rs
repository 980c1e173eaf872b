//! millgate-bench: a load generator that opens a million WebSocket connections
//! from one process, checks every message, and says what the next machine holds.
//!
//! ```text
//!  command ── orders ──► swarm: one thread per core, each with its own      ── sockets ──► server
//!     ▲                  sockets, source addresses and descriptor table
//!     └── totals, harvests ──┘            probe: /proc of both sides
//!     │
//!     └──► result (one JSON) ──► report: text, CSV, HTML with plots
//! ```
//!
//! It shares no frame code with the gateway: an error on both sides would
//! agree with itself. From the top down; a room imports only from rooms below it.

pub mod command; //    commands: one file each, read from top to bottom

pub mod agent; //      other hosts: a job for each, a common start, one result

pub mod run; //        a run: a swarm, what is sampled beside it, what it amounts to

pub mod probe; //      both hosts: /proc of server, generator and kernel
pub mod swarm; //      clients: many sockets on few threads; mio

pub mod wire; //       protocol: a client's RFC 6455 over byte slices

pub mod capacity; //   what another machine would hold
pub mod diff; //       two results compared
pub mod report; //     a result for a person, a program, a spreadsheet, a browser
pub mod stats; //      arithmetic over measurements

pub mod result; //     words: what a run has found out

pub mod clock; //      words: what time it is
pub mod exit; //              how a run ends
pub mod units; //             numbers as people write them
