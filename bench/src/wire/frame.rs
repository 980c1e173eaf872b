//! Frames as a client sends and receives them (RFC 6455 §5).

/// The largest message a server may send here.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a fragmented message.
    Continuation = 0x0,
    /// UTF-8.
    Text = 0x1,
    /// Anything.
    Binary = 0x2,
    /// The beginning of the end.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping.
    Pong = 0xA,
}

/// A whole frame at the beginning of a byte slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The last one of its message.
    pub is_final: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes of the whole frame.
    pub length: usize,
}

/// How a server broke the protocol, as `frame: reserved bits`.
pub type Flaw = &'static str;

/// Whose frames are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A server's: never masked.
    WebSocket,
    /// Our own, sent back by a server that knows nothing of WebSocket: masked with a key of zeros.
    Mirror,
}

/// The frame that `bytes` begin with; `None` if it is not all there.
///
/// # Errors
/// The first flaw found.
pub fn parse(bytes: &[u8], dialect: Dialect) -> Result<Option<Frame<'_>>, Flaw> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("frame: reserved bits");
    }
    let is_final = first & 0x80 != 0;
    let opcode = opcode_of(first & 0x0F).ok_or("frame: unknown opcode")?;
    let masked = second & 0x80 != 0;
    if masked != (dialect == Dialect::Mirror) {
        return Err("frame: masked");
    }
    let short = usize::from(second & 0x7F);
    if opcode as u8 >= 0x8 && (short > 125 || !is_final) {
        return Err("frame: long or fragmented control frame");
    }
    let mask_len = if masked { 4 } else { 0 };
    let (length, head) = match short {
        126 => {
            let Some(bytes) = bytes.get(2..4) else { return Ok(None) };
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), 4)
        }
        127 => {
            let Some(bytes) = bytes.get(2..10) else { return Ok(None) };
            let long = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            (usize::try_from(long).unwrap_or(usize::MAX), 10)
        }
        short => (short, 2),
    };
    if head == 4 && length < 126 || head == 10 && length < 65_536 {
        return Err("frame: length not minimal");
    }
    if length > MESSAGE_BYTES_MAX {
        return Err("frame: too large");
    }
    let begin = head + mask_len;
    if bytes.get(head..begin).is_some_and(|mask| mask.iter().any(|byte| *byte != 0)) {
        return Err("frame: another mask than was sent");
    }
    let Some(payload) = bytes.get(begin..begin + length) else { return Ok(None) };
    Ok(Some(Frame { is_final, opcode, payload, length: begin + length }))
}

fn opcode_of(bits: u8) -> Option<Opcode> {
    Some(match bits {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xA => Opcode::Pong,
        _ => return None,
    })
}

/// Appends a whole message as one masked frame.
pub fn append(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode as u8);
    append_length(out, payload.len());
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Appends the length bytes of a masked frame.
fn append_length(out: &mut Vec<u8>, length: usize) {
    match u16::try_from(length) {
        Ok(short @ 0..126) => out.push(0x80 | short.to_be_bytes()[1]),
        Ok(medium) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        Err(_) => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Appends the first bytes of a frame whose rest will never come.
pub fn append_cut(out: &mut Vec<u8>, length: usize, sent: usize) {
    out.push(0x80 | Opcode::Binary as u8);
    append_length(out, length);
    out.extend_from_slice(&[0; 4]);
    out.extend(std::iter::repeat_n(b'.', sent.min(length)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Sent masked with zeros and mirrored, a frame comes back as it was, at every cut.
        #[test]
        fn a_mirrored_frame_comes_back(payload in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut bytes = Vec::new();
            append(&mut bytes, Opcode::Binary, &payload, [0; 4]);
            for end in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..end], Dialect::Mirror), Ok(None));
            }
            let frame = parse(&bytes, Dialect::Mirror).unwrap().unwrap();
            prop_assert_eq!(frame.payload, &payload[..]);
            prop_assert_eq!(frame.length, bytes.len());
        }
    }

    #[test]
    fn lengths_are_minimal_and_masks_undo_themselves() {
        for (length, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mask = [1, 2, 3, 4];
            let payload = vec![7; length];
            let mut bytes = Vec::new();
            append(&mut bytes, Opcode::Text, &payload, mask);
            assert_eq!(bytes.len(), head + 4 + length);
            let body = bytes[head + 4..].iter().zip(mask.iter().cycle());
            assert!(body.map(|(byte, mask)| byte ^ mask).all(|byte| byte == 7));
        }
    }

    #[test]
    fn a_servers_flaws_are_named() {
        let cases: [(&[u8], &str); 8] = [
            (&[0xC1, 0], "frame: reserved bits"),
            (&[0x83, 0], "frame: unknown opcode"),
            (&[0x81, 0x80], "frame: masked"),
            (&[0x89, 126], "frame: long or fragmented control frame"),
            (&[0x09, 0], "frame: long or fragmented control frame"),
            (&[0x81, 126, 0, 125], "frame: length not minimal"),
            (&[0x81, 127, 0, 0, 0, 0, 0, 0, 255, 255], "frame: length not minimal"),
            (&[0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0], "frame: too large"),
        ];
        for (bytes, flaw) in cases {
            assert_eq!(parse(bytes, Dialect::WebSocket), Err(flaw), "{bytes:?}");
        }
        let other_mask = parse(&[0x81, 0x81, 0, 0, 0, 1, 0], Dialect::Mirror);
        assert_eq!(other_mask, Err("frame: another mask than was sent"));
    }

    #[test]
    fn a_cut_frame_waits_for_more() {
        let mut bytes = Vec::new();
        append_cut(&mut bytes, 1_000, 10);
        assert_eq!(bytes.len(), 4 + 4 + 10);
        assert_eq!(parse(&bytes, Dialect::Mirror), Ok(None));
    }
}
