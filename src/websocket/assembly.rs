//! What is kept of a message between two reads.

use super::frame::{HEADER_BYTES_MAX, Header, Opcode};
use super::mask;
use super::utf8::{Malformed, Text};
use super::violation::Violation;

/// What a connection keeps of a message that has not wholly arrived.
/// Boxed and optional: an idle connection has none.
#[derive(Debug, Default)]
pub struct Assembly {
    pub(super) stage: Stage,
    /// When its owner began to keep it, in the owner's ticks; this room has no clock.
    pub since: Option<u32>,
    /// The data message under way, in whatever frames.
    pub(super) message: Option<Content>,
    /// The control frame under way; it may come between the frames of `message`.
    pub(super) control: Vec<u8>,
}

impl Assembly {
    /// Heap bytes held, those of this struct included: what to charge to a
    /// budget for the whole process.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Content::capacity);
        size_of::<Self>() + message + self.control.capacity()
    }

    /// Appends bytes of a client from which an equal assembly comes, if they are the first that
    /// [`super::message::Messages`] sees. What has come of a message in several frames becomes one.
    pub fn append_wire(&self, out: &mut Vec<u8>) {
        let (header, received) = match self.stage {
            Stage::Payload { header, received } => (Some(header), received),
            Stage::Between | Stage::Header { .. } => (None, 0),
        };
        let received = usize::try_from(received).unwrap_or(usize::MAX);
        let content = self.message.as_ref().map(Content::bytes).unwrap_or_default();
        // What of the message belongs to the frame under way: the rest came in frames before it.
        let is_data = header.is_some_and(|header| !header.opcode.is_control());
        let here = if is_data { received.min(content.len()) } else { 0 };
        let (before, here) = content.split_at(content.len() - here);
        if let Some(message) = &self.message
            && header.is_none_or(|header| !matches!(header.opcode, Opcode::Text | Opcode::Binary))
        {
            let len = before.len() as u64;
            let opcode = message.opcode();
            Header { len, mask: [0; 4], opcode, fin: false, header_len: 0 }.append(out);
            out.extend_from_slice(before);
        }
        if let Stage::Header { bytes, len } = self.stage {
            out.extend_from_slice(bytes.get(..usize::from(len)).unwrap_or_default());
        }
        if let Some(header) = header {
            header.append(out);
            let start = out.len();
            out.extend_from_slice(if is_data { here } else { &self.control });
            mask::apply(out.get_mut(start..).unwrap_or_default(), header.mask, 0);
        }
    }

    /// Whether there is nothing more to keep.
    pub(super) fn is_spent(&self) -> bool {
        matches!(self.stage, Stage::Between) && self.message.is_none()
    }
}

/// How far the frame under way has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Stage {
    /// No byte of the next frame is here.
    #[default]
    Between,
    /// The first bytes of a header.
    Header { bytes: [u8; HEADER_BYTES_MAX], len: u8 },
    /// A header and the first bytes of its payload, which are taken care of.
    Payload { header: Header, received: u64 },
}

/// A data message, or the part of it that is here, unmasked.
#[derive(Debug)]
pub(super) enum Content {
    Text(Text),
    Binary(Vec<u8>),
}

impl Content {
    pub(super) fn new(opcode: Opcode) -> Self {
        match opcode {
            Opcode::Text => Self::Text(Text::default()),
            _ => Self::Binary(Vec::new()),
        }
    }

    /// The kind of message.
    fn opcode(&self) -> Opcode {
        match self {
            Self::Text(_) => Opcode::Text,
            Self::Binary(_) => Opcode::Binary,
        }
    }

    /// What has come of it.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.bytes(),
            Self::Binary(bytes) => bytes.clone(),
        }
    }

    /// Bytes received.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    /// Takes the next bytes of a message that will have at most `ceiling`.
    ///
    /// Room grows by doubling, so that no byte is copied often, but only to
    /// the ceiling, and never for bytes that are merely announced.
    ///
    /// # Errors
    /// [`Violation::Utf8`] as soon as a byte makes a text impossible.
    pub(super) fn push(&mut self, piece: &[u8], ceiling: usize) -> Result<(), Violation> {
        let needed = self.len().saturating_add(piece.len());
        if needed > self.capacity() {
            let doubled = self.capacity().saturating_mul(2).min(ceiling);
            let additional = needed.max(doubled) - self.len();
            match self {
                Self::Text(text) => text.reserve_exact(additional),
                Self::Binary(bytes) => bytes.reserve_exact(additional),
            }
        }
        match self {
            Self::Text(text) => text.push(piece).map_err(|Malformed| Violation::Utf8),
            Self::Binary(bytes) => {
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Content {
        Content::new(Opcode::Text)
    }

    #[test]
    fn room_doubles_up_to_the_ceiling() {
        for mut content in [text(), Content::new(Opcode::Binary)] {
            content.push(&[b'a'; 10], 1_000).unwrap();
            assert_eq!(content.capacity(), 10, "nothing for what is only announced");
            content.push(b"a", 1_000).unwrap();
            assert_eq!(content.capacity(), 20);
            content.push(&[b'a'; 10], 30).unwrap();
            assert_eq!(content.capacity(), 30, "no more than the message can need");
            assert_eq!(content.len(), 21);
        }
    }

    #[test]
    fn an_assembly_counts_itself_and_all_it_holds() {
        let mut assembly = Assembly::default();
        let alone = assembly.held_bytes();
        assert!(alone <= 112, "{alone} bytes for each half-received header");
        assembly.control = Vec::with_capacity(100);
        let mut message = text();
        message.push(&[b'a'; 1_000], 5_000).unwrap();
        assembly.message = Some(message);
        assert_eq!(assembly.held_bytes(), alone + 100 + 1_000);
    }

    #[test]
    fn text_is_checked_as_it_comes() {
        let mut message = text();
        message.push(b"\xe2\x82", 100).unwrap();
        assert_eq!(message.len(), 2);
        assert_eq!(message.push(b"a", 100), Err(Violation::Utf8));
        let mut bytes = Content::new(Opcode::Binary);
        assert_eq!(bytes.push(b"\xff", 100), Ok(()));
    }
}
