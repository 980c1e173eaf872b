//! What a server has sent, read again: for whoever watches a connection.

/// The frames in bytes that a server sends, each as its kind and its payload. An
/// answer to a handshake before them is of the kind `http`.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = (&'static str, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.starts_with(b"HTTP/") {
            let end = rest.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            // A refusal has a body, and nothing behind it.
            let is_upgrade = rest.starts_with(b"HTTP/1.1 101 ");
            let (head, others) = rest.split_at(end.filter(|_| is_upgrade).unwrap_or(rest.len()));
            rest = others;
            return Some(("http", head));
        }
        let (kind, header_len, len) = sent_header(rest)?;
        let payload = rest.get(header_len..header_len.checked_add(len)?)?;
        rest = &rest[header_len + len..];
        Some((kind, payload))
    })
}

/// Kind of a server frame, bytes of its header, and of its payload.
fn sent_header(bytes: &[u8]) -> Option<(&'static str, usize, usize)> {
    let [first, second, rest @ ..] = bytes else { return None };
    let kind = match first & 0x0f {
        0x1 => "text",
        0x2 => "binary",
        0x8 => "close",
        0x9 => "ping",
        _ => "pong",
    };
    let (header_len, len) = match second & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
        short => (2, u64::from(short)),
    };
    Some((kind, header_len, usize::try_from(len).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Kind, append};
    use super::*;

    #[test]
    fn frames_of_every_header_size_are_told_apart() {
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec();
        let head = bytes.len();
        let lengths = [0, 1, 125, 126, 65_535, 65_536];
        for length in lengths {
            append(&mut bytes, Kind::Text, &vec![b'x'; length]);
        }
        append(&mut bytes, Kind::Close, &[3, 232]);
        let told: Vec<_> = frames(&bytes).map(|(kind, payload)| (kind, payload.len())).collect();
        let mut expected = vec![("http", head)];
        expected.extend(lengths.map(|length| ("text", length)));
        expected.push(("close", 2));
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_cut_ends_the_list() {
        let mut bytes = Vec::new();
        append(&mut bytes, Kind::Binary, &[7; 300]);
        for end in 0..bytes.len() {
            assert_eq!(frames(&bytes[..end]).count(), 0, "{end}");
        }
        let refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(frames(refusal).collect::<Vec<_>>(), [("http", &refusal[..])]);
    }
}
