//! The client's side of the wire: RFC 6455 and the numbers that messages
//! carry. Byte slices only: no sockets, no clock.

pub mod frame;
pub mod gateway;
pub mod handshake;
pub mod stamp;
pub mod token;
pub mod url;
