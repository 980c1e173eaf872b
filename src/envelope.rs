//! A message to users: before and after encoding.

use bytes::Bytes;

/// A push before it is encoded; `PROTOCOL` names are those of the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The caller's msgID, or a fresh decimal id.
    pub seq: &'a str,
    /// `msg`, `enter` or `exit`.
    pub cmd: &'a str,
    /// The addressee of what a client has sent to it alone; empty for all else, as in the reference.
    pub target: &'a str,
    /// The text.
    pub msg: &'a str,
    /// Who it is from.
    pub from: &'a str,
}

/// The encoded bytes of one server message, WebSocket header included.
/// Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// Takes bytes that are one complete server frame.
    #[must_use]
    pub fn from_encoded(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// What goes on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same bytes, shared.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Bytes on the wire.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a frame of no bytes, which no encoder makes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
