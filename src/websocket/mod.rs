//! RFC 6455 over byte slices: no sockets, no clock, no allocation for what arrives whole.
//!
//! ```text
//! bytes of a new connection ── handshake::read ──► Upgrade or Refusal
//! bytes of an open one ─────── message::Messages ► Incoming … or Violation
//! what the gateway says ────── frame::append, close::append ──► bytes
//! ```
//!
//! Before a handshake a proxy may tell whom it speaks for ([`proxy`]), and in
//! its header lines as well ([`forwarded`]).
//!
//! Whoever owns the socket keeps, for each connection, one
//! `Option<Box<`[`message::Assembly`]`>>` and nothing else; it is `None`
//! whenever no message is under way.

pub mod close; //     why a connection ends, said on the wire
pub mod forwarded; // the client behind a proxy, as its header lines tell
pub mod frame; //     headers: parsed from clients, written to them
pub mod handshake; // the HTTP request that asks for a WebSocket, and its answers
pub mod message; //   frames put together to messages
pub mod proxy; //     the PROXY protocol: the client behind a proxy, told before all else
pub mod sent; //      what was sent, read again

mod assembly; //      what is kept of a message between two reads
mod code; //          close codes
mod credentials; //   what a handshake shows of who asks
mod head; //          a request head, whatever the number of its lines
mod mask; //          the exclusive or of client payloads
mod refusal; //       the answers to requests that are not granted
mod utf8; //          text that arrives in pieces
mod violation; //     what a client must not do
