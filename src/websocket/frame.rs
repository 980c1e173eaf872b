//! Frame headers: those of the server are written, those of clients parsed (RFC 6455 §5.2).

use super::violation::Violation;

/// Payload of a control frame, at most (§5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Header of a client frame, at most: two bytes, eight of length, four of mask.
pub const HEADER_BYTES_MAX: usize = 14;

/// Bit 7 of the first byte: the last frame of its message.
const FIN: u8 = 0x80;
/// Bits 6–4 of the first byte: for extensions, of which none is ever agreed on.
const RESERVED: u8 = 0x70;
/// Bit 7 of the second byte: the payload is masked.
const MASKED: u8 = 0x80;
/// A length of this value stands for the 16 bits that follow it.
const LENGTH_16: u8 = 126;
/// A length of this value stands for the 64 bits that follow it.
const LENGTH_64: u8 = 127;

/// Of what kind a server frame is; the numbers are opcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A whole text message.
    Text = 0x1,
    /// A whole binary message.
    Binary = 0x2,
    /// The closing handshake, or the answer to it.
    Close = 0x8,
    /// A question for a pong.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xa,
}

impl Kind {
    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Appends one final, unmasked, uncompressed server frame.
///
/// The payload of a control frame is cut to [`CONTROL_BYTES_MAX`] bytes, so
/// that no caller can make an illegal frame.
pub fn append(out: &mut Vec<u8>, kind: Kind, payload: &[u8]) {
    let payload = match payload.split_at_checked(CONTROL_BYTES_MAX) {
        Some((fitting, _)) if kind.is_control() => fitting,
        _ => payload,
    };
    with_header(kind, payload.len(), |header| {
        out.reserve(header.len() + payload.len());
        out.extend_from_slice(header);
    });
    out.extend_from_slice(payload);
}

/// As [`append`], for a payload that `write` produces right behind its header,
/// so that an encoder needs no second buffer.
///
/// Two bytes are kept for the header; a payload of more than 125 bytes is
/// moved up once. `write` must only append: what it does to bytes before its
/// own is undefined in meaning, though never unsafe.
pub fn append_with(out: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
    const SHORT_HEADER_BYTES: usize = 2;
    let start = out.len();
    out.extend_from_slice(&[0; SHORT_HEADER_BYTES]);
    let payload_start = out.len();
    write(out);
    if kind.is_control() {
        out.truncate(payload_start + CONTROL_BYTES_MAX);
    }
    let payload_len = out.len().saturating_sub(payload_start);
    with_header(kind, payload_len, |header| {
        let moved_start = start + header.len();
        // Also restores the header's room should `write` have cut into it.
        out.resize(moved_start + payload_len, 0);
        if moved_start > payload_start {
            out.copy_within(payload_start..payload_start + payload_len, moved_start);
        }
        if let Some(room) = out.get_mut(start..moved_start) {
            room.copy_from_slice(header);
        }
    });
}

/// Calls `write` with the header of a final server frame, in its shortest form.
#[inline]
fn with_header(kind: Kind, payload_len: usize, write: impl FnOnce(&[u8])) {
    let first = FIN | kind as u8;
    let [a, b, c, d, e, f, high, low] = (payload_len as u64).to_be_bytes();
    match payload_len {
        0..=125 => write(&[first, low]),
        126..=0xffff => write(&[first, LENGTH_16, high, low]),
        _ => write(&[first, LENGTH_64, a, b, c, d, e, f, high, low]),
    }
}

/// What a client frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The next part of a fragmented message.
    Continuation,
    /// A text message, or its first part.
    Text,
    /// A binary message, or its first part.
    Binary,
    /// The closing handshake.
    Close,
    /// A question for a pong.
    Ping,
    /// The answer to a ping, or a sign of life.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Whether frames of this kind may stand between the parts of a message (§5.5).
    #[must_use]
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The header of a client frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Payload in bytes; below 2⁶³.
    pub len: u64,
    /// What the payload is masked with.
    pub mask: [u8; 4],
    /// The kind of frame.
    pub opcode: Opcode,
    /// Whether it is the last of its message.
    pub fin: bool,
    /// Bytes of the header itself: 6, 8 or 14.
    pub header_len: u8,
}

impl Header {
    /// Parses the header that `input` begins with; `None` when more bytes are needed.
    ///
    /// Every byte is judged as soon as it is there, in order, so that it does
    /// not matter in how many pieces a header arrives.
    ///
    /// # Errors
    /// [`Violation::Protocol`] for reserved bits and opcodes, a payload that
    /// is not masked (§5.1), a control frame that is fragmented or above 125
    /// bytes (§5.5), a length that is not written in the fewest bytes or has
    /// its top bit set (§5.2).
    #[inline]
    pub fn parse(input: &[u8]) -> Result<Option<Self>, Violation> {
        let Some((&first, rest)) = input.split_first() else {
            return Ok(None);
        };
        let opcode = judge_first(first)?;
        let Some((&second, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let short = judge_second(second, opcode)?;
        let Some((len, len_bytes)) = extended(short, rest)? else {
            return Ok(None);
        };
        let mask = rest.get(usize::from(len_bytes)..).and_then(<[u8]>::first_chunk::<4>);
        let Some(&mask) = mask else { return Ok(None) };
        let header_len = 2 + len_bytes + 4;
        Ok(Some(Self { len, mask, opcode, fin: first & FIN != 0, header_len }))
    }

    /// Appends the bytes that [`Header::parse`] reads as this header.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        let fin = if self.fin { FIN } else { 0 };
        out.push(fin | self.opcode.bits());
        match self.len {
            len @ 0..=125 => out.push(MASKED | len as u8),
            len @ 126..=0xffff => {
                out.push(MASKED | LENGTH_16);
                out.extend((len as u16).to_be_bytes());
            }
            len => {
                out.push(MASKED | LENGTH_64);
                out.extend(len.to_be_bytes());
            }
        }
        out.extend(self.mask);
    }
}

#[inline]
fn judge_first(first: u8) -> Result<Opcode, Violation> {
    if first & RESERVED != 0 {
        return Err(Violation::Protocol("reserved bit without an extension"));
    }
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::Protocol("reserved opcode"))?;
    if opcode.is_control() && first & FIN == 0 {
        return Err(Violation::Protocol("fragmented control frame"));
    }
    Ok(opcode)
}

/// The seven bits of length.
#[inline]
fn judge_second(second: u8, opcode: Opcode) -> Result<u8, Violation> {
    if second & MASKED == 0 {
        return Err(Violation::Protocol("frame is not masked"));
    }
    let short = second & !MASKED;
    if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
        return Err(Violation::Protocol("control frame above 125 bytes"));
    }
    Ok(short)
}

/// The length, and in how many bytes of its own it is written.
#[inline]
fn extended(short: u8, rest: &[u8]) -> Result<Option<(u64, u8)>, Violation> {
    const WASTEFUL: Violation = Violation::Protocol("length not in its shortest form");
    match short {
        LENGTH_16 => match rest.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)) {
            None => Ok(None),
            Some(0..=125) => Err(WASTEFUL),
            Some(len) => Ok(Some((u64::from(len), 2))),
        },
        LENGTH_64 => match rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)) {
            None => Ok(None),
            Some(0..=0xffff) => Err(WASTEFUL),
            Some(len) if len >> 63 != 0 => Err(Violation::Protocol("length of 64 bits")),
            Some(len) => Ok(Some((len, 8))),
        },
        short => Ok(Some((u64::from(short), 0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use tungstenite::protocol::frame::FrameHeader;

    fn client(first: u8, length: &[u8]) -> Vec<u8> {
        [&[first], length, &[1, 2, 3, 4]].concat()
    }

    fn rejected(input: &[u8]) -> bool {
        matches!(Header::parse(input), Err(Violation::Protocol(_)))
    }

    #[test]
    fn server_frames_of_every_header_size_are_read_by_tungstenite() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..length).map(|i: usize| i as u8).collect();
            let mut out = b"before".to_vec();
            append(&mut out, Kind::Binary, &payload);
            let mut read = Cursor::new(&out[6..]);
            let (header, said) = FrameHeader::parse(&mut read).unwrap().unwrap();
            assert!(header.is_final && header.mask.is_none());
            assert!(!header.rsv1 && !header.rsv2 && !header.rsv3);
            assert_eq!(u8::from(header.opcode), 2);
            assert_eq!(said, length as u64);
            assert_eq!(out[6 + read.position() as usize..], payload);
            let fewest = [(125, 2), (65_535, 4), (usize::MAX, 10)];
            let fewest = fewest.into_iter().find(|(most, _)| length <= *most);
            assert_eq!(Some(read.position()), fewest.map(|(_, bytes)| bytes), "{length}");

            let mut with = b"before".to_vec();
            append_with(&mut with, Kind::Binary, |out| out.extend_from_slice(&payload));
            assert_eq!(with, out, "{length}");
        }
    }

    #[test]
    fn control_frames_are_never_written_above_125_bytes() {
        for kind in [Kind::Close, Kind::Ping, Kind::Pong] {
            let mut out = Vec::new();
            append(&mut out, kind, &[7; 200]);
            assert_eq!(out[..2], [FIN | kind as u8, 125]);
            assert_eq!(out.len(), 127);
            let mut with = Vec::new();
            append_with(&mut with, kind, |out| out.extend_from_slice(&[7; 200]));
            assert_eq!(with, out);
        }
    }

    #[test]
    fn a_writer_that_cuts_what_is_not_its_own_makes_an_empty_frame() {
        let mut out = vec![9, 9, 9];
        append_with(&mut out, Kind::Text, |out| out.truncate(4));
        assert_eq!(out, [9, 9, 9, 0x81, 0]);
    }

    #[test]
    fn client_headers_of_all_three_sizes() {
        let parse = |input: &[u8]| Header::parse(input).unwrap().unwrap();
        let short = parse(&client(0x81, &[0x80 | 125]));
        assert_eq!((short.len, short.header_len, short.fin), (125, 6, true));
        assert_eq!((short.opcode, short.mask), (Opcode::Text, [1, 2, 3, 4]));
        let middle = parse(&client(0x02, &[0xfe, 0, 126]));
        assert_eq!((middle.len, middle.header_len, middle.fin), (126, 8, false));
        assert_eq!(middle.opcode, Opcode::Binary);
        let long = parse(&client(0x80, &[0xff, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]));
        assert_eq!((long.len, long.header_len), (0x7fff_ffff_0000_0001, 14));
        assert_eq!(long.opcode, Opcode::Continuation);
    }

    #[test]
    fn a_header_is_incomplete_until_its_last_byte() {
        let lengths: [&[u8]; 3] = [&[0x85], &[0xfe, 1, 0], &[0xff, 0, 0, 0, 0, 0, 1, 0, 0]];
        for length in lengths {
            let whole = client(0x82, length);
            for end in 0..whole.len() {
                assert_eq!(Header::parse(&whole[..end]), Ok(None), "{end} of {whole:x?}");
            }
            assert!(Header::parse(&whole).unwrap().is_some());
        }
    }

    #[test]
    fn the_first_byte_is_judged_alone() {
        for first in 0..=u8::MAX {
            let bits = first & 0x0f;
            let control = bits >= 8;
            let known = matches!(bits, 0..=2 | 8..=10);
            let expected = first & RESERVED == 0 && known && (!control || first & FIN != 0);
            assert_eq!(!rejected(&[first]), expected, "{first:#x}");
        }
    }

    #[test]
    fn lengths_are_masked_minimal_and_positive() {
        assert!(rejected(&[0x81, 0x05]));
        assert!(rejected(&[0x89, 0xfe]), "control frames have no long form");
        assert!(rejected(&[0x89, 0xff]));
        assert!(!rejected(&[0x89, 0xfd]));
        assert!(rejected(&[0x81, 0xfe, 0, 125]));
        assert!(!rejected(&[0x81, 0xfe, 0, 126]));
        assert!(rejected(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]));
        assert!(!rejected(&[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]));
        assert!(rejected(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]));
    }
}
