//! The header that a proxy sends before all else to tell whom it speaks for:
//! PROXY protocol, version 1 (text) and 2 (binary), as HAProxy has written it down.
//!
//! Strict: the header decides who a client is taken for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

/// Bytes of a whole header in version 1, at most, the end of the line included.
const TEXT_BYTES_MAX: usize = 107;

/// Bytes of version 2 that are read as a whole: what the specification wants every receiver to
/// take at once. Of a longer header, up to 65,551 bytes, the addresses are among these; what
/// comes behind them is read as it comes ([`Rest`]) and is not kept.
pub const HEADER_BYTES_MAX: usize = 536;

/// What version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// What version 2 begins with: nothing that any other protocol would say.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of version 2 before its addresses.
const FIXED_BYTES: usize = 16;

/// The type of the checksum among the further fields of version 2.
const TYPE_CRC32C: u8 = 0x03;

/// A header that has arrived, up to its addresses at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes that were read.
    pub len: usize,
    /// What is still to come of a header of more than [`HEADER_BYTES_MAX`] bytes. What the client
    /// says begins behind it.
    pub rest: Option<Rest>,
    /// The client; `None` where the proxy speaks for itself (a health check) or
    /// for somebody who has no address of the internet.
    pub source: Option<SocketAddr>,
}

/// Why bytes are no such header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It begins otherwise.
    #[error("no PROXY header")]
    NoHeader,
    /// It begins well, and goes on wrong.
    #[error("malformed PROXY header")]
    Malformed,
    /// It is of version 1 and has no end where it must have one.
    #[error("PROXY header too long")]
    TooLong,
    /// It has a checksum, of something else.
    #[error("PROXY header with a wrong checksum")]
    Checksum,
}

/// Reads the header that `bytes` begin with; `None` when more are needed.
///
/// # Errors
/// [`ProxyError`] as soon as it is certain.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    if begins(bytes, TEXT) {
        read_text(bytes)
    } else if begins(bytes, SIGNATURE) {
        read_binary(bytes)
    } else {
        Err(ProxyError::NoHeader)
    }
}

/// Whether they agree as far as both go.
fn begins(bytes: &[u8], beginning: &[u8]) -> bool {
    bytes.iter().zip(beginning).all(|(a, b)| a == b)
}

fn read_text(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let bounded = bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes);
    let Some(end) = bounded.iter().position(|byte| *byte == b'\n') else {
        let is_full = bounded.len() == TEXT_BYTES_MAX;
        return if is_full { Err(ProxyError::TooLong) } else { Ok(None) };
    };
    let line = bounded.get(TEXT.len()..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| str::from_utf8(line).ok()).ok_or(ProxyError::Malformed)?;
    let source = match line.split_once(' ').map_or((line, ""), |(family, rest)| (family, rest)) {
        // What follows is to be ignored.
        ("UNKNOWN", _) => None,
        ("TCP4", rest) => Some(text_source::<Ipv4Addr>(rest)?),
        ("TCP6", rest) => Some(text_source::<Ipv6Addr>(rest)?),
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Some(Header { len: end + 1, rest: None, source }))
}

/// Reads `source destination source-port destination-port`.
fn text_source<A: str::FromStr + Into<IpAddr>>(rest: &str) -> Result<SocketAddr, ProxyError> {
    let words: Vec<&str> = rest.split(' ').collect();
    let [source, destination, source_port, destination_port] = words.as_slice() else {
        return Err(ProxyError::Malformed);
    };
    let address = |text: &str| text.parse::<A>().map_err(|_| ProxyError::Malformed);
    let source = address(source)?.into().to_canonical();
    address(destination)?;
    text_port(destination_port)?;
    Ok(SocketAddr::new(source, text_port(source_port)?))
}

/// A number without a sign and without zeros before it.
fn text_port(text: &str) -> Result<u16, ProxyError> {
    let port = text.parse::<u16>().map_err(|_| ProxyError::Malformed)?;
    if port.to_string() == text { Ok(port) } else { Err(ProxyError::Malformed) }
}

fn read_binary(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    // Version and command are judged as soon as they are there.
    let is_local = match bytes.get(SIGNATURE.len()) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(ProxyError::Malformed),
    };
    let Some([family, high, low]) = bytes.get(SIGNATURE.len() + 1..FIXED_BYTES) else {
        return Ok(None);
    };
    let body_bytes = u16::from_be_bytes([*high, *low]);
    let len = FIXED_BYTES + usize::from(body_bytes);
    let Some(begun) = bytes.get(..len.min(HEADER_BYTES_MAX)) else { return Ok(None) };
    let (source, addresses_bytes) = match family {
        // The receiver uses the real ends of the connection and discards the rest.
        _ if is_local => (None, None),
        0x11 | 0x12 => (source_v4(begun), Some(12)),
        0x21 | 0x22 => (source_v6(begun), Some(36)),
        0x31 | 0x32 => (None, Some(216)),
        // Unspecified, or of some later day: accepted, and the rest is not looked at.
        _ => (None, None),
    };
    let head_bytes = FIXED_BYTES + addresses_bytes.unwrap_or(0);
    let (head, fields) = begun.split_at_checked(head_bytes).ok_or(ProxyError::Malformed)?;
    let left = body_bytes - u16::try_from(head_bytes - FIXED_BYTES).unwrap_or(body_bytes);
    let mut rest = Rest::new(head, left, addresses_bytes.is_some());
    rest.take(fields)?;
    let rest = (!rest.is_over()).then_some(rest);
    Ok(Some(Header { len: begun.len(), rest, source }))
}

fn source_v4(header: &[u8]) -> Option<SocketAddr> {
    let [a, b, c, d, _, _, _, _, high, low, ..] = header.get(FIXED_BYTES..)? else { return None };
    let port = u16::from_be_bytes([*high, *low]);
    Some(SocketAddr::new(Ipv4Addr::new(*a, *b, *c, *d).into(), port))
}

fn source_v6(header: &[u8]) -> Option<SocketAddr> {
    let (octets, rest) = header.get(FIXED_BYTES..)?.split_first_chunk::<16>()?;
    let port = rest.get(16..)?.first_chunk::<2>()?;
    let ip = Ipv6Addr::from(*octets).to_canonical();
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

/// The further fields of a header of version 2, read as they come: each has a type, a length and
/// a value. Only the checksum is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Bytes of the header that are still to come.
    left: u16,
    /// The checksum of what has come, not yet inverted. It is taken over the whole header with
    /// zeros in the checksum's own place.
    crc: u32,
    /// The checksum that the header tells.
    told: Option<u32>,
    at: At,
}

/// Where in a field the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Nothing here is looked at.
    Skipped,
    Type,
    LengthHigh {
        is_sum: bool,
    },
    LengthLow {
        is_sum: bool,
        high: u8,
    },
    Value {
        is_sum: bool,
        left: u16,
    },
}

impl Rest {
    /// Behind `head`, with `left` bytes to come. Without fields they are skipped.
    fn new(head: &[u8], left: u16, has_fields: bool) -> Self {
        let crc = head.iter().fold(u32::MAX, |crc, byte| crc32c(crc, *byte));
        Self { left, crc, told: None, at: if has_fields { At::Type } else { At::Skipped } }
    }

    /// Whether the header is complete.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Reads what `bytes` have of the header; returns how many of them that are.
    ///
    /// # Errors
    /// [`ProxyError`] as soon as it is certain.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, ProxyError> {
        let len = bytes.len().min(usize::from(self.left));
        let Some(taken) = bytes.get(..len) else { return Ok(0) };
        match self.at {
            At::Skipped => self.left -= u16::try_from(len).unwrap_or(self.left),
            _ => taken.iter().try_for_each(|byte| self.take_byte(*byte))?,
        }
        if self.left == 0 && !matches!(self.at, At::Skipped | At::Type) {
            return Err(ProxyError::Malformed);
        }
        if self.left == 0 && self.told.is_some_and(|told| told != !self.crc) {
            return Err(ProxyError::Checksum);
        }
        Ok(len)
    }

    fn take_byte(&mut self, byte: u8) -> Result<(), ProxyError> {
        self.left -= 1;
        let mut counted = byte;
        self.at = match self.at {
            At::Skipped => At::Skipped,
            At::Type => At::LengthHigh { is_sum: byte == TYPE_CRC32C },
            At::LengthHigh { is_sum } => At::LengthLow { is_sum, high: byte },
            At::LengthLow { is_sum, high } => {
                let left = u16::from_be_bytes([high, byte]);
                if left > self.left || (is_sum && left != 4) {
                    return Err(ProxyError::Malformed);
                }
                if is_sum {
                    self.told = Some(0);
                }
                if left == 0 { At::Type } else { At::Value { is_sum, left } }
            }
            At::Value { is_sum, left } => {
                if is_sum {
                    self.told = self.told.map(|told| told << 8 | u32::from(byte));
                    counted = 0;
                }
                if left == 1 { At::Type } else { At::Value { is_sum, left: left - 1 } }
            }
        };
        self.crc = crc32c(self.crc, counted);
        Ok(())
    }
}

/// Takes a byte into a checksum: CRC-32C (Castagnoli).
fn crc32c(crc: u32, byte: u8) -> u32 {
    (crc >> 8) ^ CRC32C[usize::from(crc.to_le_bytes()[0] ^ byte)]
}

/// The checksum of each byte.
const CRC32C: [u32; 256] = {
    const POLYNOMIAL_REVERSED: u32 = 0x82F6_3B78;
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL_REVERSED } else { 0 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V4: &[u8] = b"\xcb\x00\x71\x07\x0a\x00\x00\x01\x5f\x7a\x1f\x99";

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, body].concat()
    }

    fn source(bytes: &[u8]) -> Option<SocketAddr> {
        let header = read(bytes).unwrap().unwrap();
        assert_eq!((header.len, header.rest), (bytes.len(), None));
        header.source
    }

    fn sum(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| crc32c(crc, *byte))
    }

    /// Reads a header that comes in pieces of this size, as a connection does; where it ends.
    fn read_pieces(bytes: &[u8], size: usize) -> Result<(usize, Option<SocketAddr>), ProxyError> {
        let mut come = 0;
        let header = loop {
            come = bytes.len().min(come + size);
            match read(&bytes[..come])? {
                Some(header) => break header,
                None => assert!(come < bytes.len(), "more is wanted than there is"),
            }
        };
        let mut end = header.len;
        let Some(mut rest) = header.rest else { return Ok((end, header.source)) };
        end += rest.take(&bytes[end..come])?;
        while !rest.is_over() {
            let piece = &bytes[come..bytes.len().min(come + size)];
            assert!(!piece.is_empty(), "more is wanted than there is");
            come += piece.len();
            end += rest.take(piece)?;
        }
        Ok((end, header.source))
    }

    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn text_headers_tell_the_client() {
        let told = |text: &str| source(text.as_bytes());
        assert_eq!(
            told("PROXY TCP4 203.0.113.7 10.0.0.1 24442 8089\r\n"),
            address("203.0.113.7:24442")
        );
        assert_eq!(told("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), address("[2001:db8::1]:1"));
        assert_eq!(told("PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n"), address("203.0.113.7:1"));
        assert_eq!(told("PROXY UNKNOWN\r\n"), None);
        assert_eq!(told("PROXY UNKNOWN ffff::1 whatever\r\n"), None);
        // The longest that there can be.
        let v6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let longest = format!("PROXY UNKNOWN {v6} {v6} 65535 65535\r\n");
        assert_eq!(longest.len(), TEXT_BYTES_MAX);
        assert_eq!(told(&longest), None);
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "PROXY \r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 24442 8089\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 24442\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 24442 8089 1\r\n",
            "PROXY TCP4  203.0.113.7 10.0.0.1 24442 8089\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 024 8089\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 +24 8089\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 65536 8089\r\n",
            "PROXY TCP4 ::1 10.0.0.1 1 2\r\n",
            "PROXY TCP6 203.0.113.7 ::1 1 2\r\n",
            "PROXY tcp4 203.0.113.7 10.0.0.1 1 2\r\n",
            "PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 1 \u{e9}\r\n",
        ] {
            assert_eq!(read(text.as_bytes()), Err(ProxyError::Malformed), "{text:?}");
        }
        for text in
            ["GET / HTTP/1.1\r\n", "proxy TCP4", "PROXIES", "\r\n\r\n\r\n", "\u{16}\u{3}\u{1}"]
        {
            assert_eq!(read(text.as_bytes()), Err(ProxyError::NoHeader), "{text:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(200));
        assert_eq!(read(endless.as_bytes()), Err(ProxyError::TooLong));
    }

    #[test]
    fn binary_headers_tell_the_client() {
        assert_eq!(source(&binary(0x21, 0x11, V4)), address("203.0.113.7:24442"));
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(b"\x20\x01");
        v6[15] = 9;
        v6[33] = 80;
        assert_eq!(source(&binary(0x21, 0x21, &v6)), address("[2001::9]:80"));
        // Health checks, unix sockets, families of a later day.
        assert_eq!(source(&binary(0x20, 0x11, V4)), None);
        assert_eq!(source(&binary(0x20, 0x00, &[])), None);
        // Of a proxy that speaks for itself the rest is discarded, whatever it is.
        assert_eq!(source(&binary(0x20, 0x11, b"")), None);
        assert_eq!(source(&binary(0x20, 0x21, b"\x03")), None);
        assert_eq!(source(&binary(0x21, 0x31, &[7; 216])), None);
        assert_eq!(source(&binary(0x21, 0x00, b"whatever")), None);
        assert_eq!(source(&binary(0x21, 0x41, b"whatever")), None);
        // Further fields: a name of a host, and nothing at all.
        let fields = [V4, b"\x02\x00\x04host", b"\x04\x00\x00"].concat();
        assert_eq!(source(&binary(0x21, 0x11, &fields)), address("203.0.113.7:24442"));
    }

    #[test]
    fn malformed_binary_is_refused() {
        let malformed = [
            binary(0x11, 0x11, V4),
            binary(0x22, 0x11, V4),
            binary(0x21, 0x11, &V4[1..]),
            binary(0x21, 0x21, V4),
            binary(0x21, 0x31, V4),
            binary(0x21, 0x11, &[V4, b"\x02"].concat()),
            binary(0x21, 0x11, &[V4, b"\x02\x00\x05host"].concat()),
            binary(0x21, 0x11, &[V4, b"\x03\x00\x03abc"].concat()),
        ];
        for bytes in malformed {
            assert_eq!(read(&bytes), Err(ProxyError::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn headers_of_any_legal_size_are_read() {
        let field = |kind: u8, len: usize| {
            let bytes = u16::try_from(len).unwrap().to_be_bytes();
            [&[kind][..], &bytes, &vec![b'x'; len]].concat()
        };
        let client = b"GET / HTTP/1.1";
        for len in [0, 100, 500, 505, 506, 600, 4_000, 60_000, 65_535 - 15] {
            for (family, told) in [(0x11, address("203.0.113.7:24442")), (0x00, None)] {
                let header = binary(0x21, family, &[V4, &field(0xE0, len)].concat());
                let whole = [&header[..], client].concat();
                for size in [1, 16, 535, 536, 537, 4_096, whole.len()] {
                    if len > 4_000 && size < 535 {
                        continue;
                    }
                    assert_eq!(read_pieces(&whole, size), Ok((header.len(), told)), "{len} {size}");
                }
            }
        }
        // Also there a field has to end within the header, and a checksum has to be right.
        let unsummed = [V4, &field(0x20, 2_000), b"\x03\x00\x04\0\0\0\0"].concat();
        let mut summed = binary(0x21, 0x11, &unsummed);
        let right = sum(&summed).to_be_bytes();
        for size in [1, 4_096] {
            assert_eq!(read_pieces(&summed, size), Err(ProxyError::Checksum));
        }
        let at = summed.len() - 4;
        summed[at..].copy_from_slice(&right);
        assert_eq!(read_pieces(&summed, 7), Ok((summed.len(), address("203.0.113.7:24442"))));
        let cut = binary(0x21, 0x11, &[V4, &field(0xE0, 900), b"\x04\x00"].concat());
        assert_eq!(read_pieces(&cut, 100), Err(ProxyError::Malformed));
        let long = [V4, &field(0xE0, 900), b"\x04\x01\x00x"].concat();
        assert_eq!(read_pieces(&binary(0x21, 0x11, &long), 100), Err(ProxyError::Malformed));
    }

    #[test]
    fn a_checksum_is_checked() {
        // The check value of the catalogue of CRCs.
        assert_eq!(sum(b"123456789"), 0xE306_9283);
        let unsummed = binary(0x21, 0x11, &[V4, b"\x04\x00\x01x\x03\x00\x04\0\0\0\0"].concat());
        assert_eq!(read(&unsummed), Err(ProxyError::Checksum));
        let right = sum(&unsummed).to_be_bytes();
        let mut summed = unsummed;
        let at = summed.len() - 4;
        summed[at..].copy_from_slice(&right);
        assert_eq!(source(&summed), address("203.0.113.7:24442"));
        summed[20] ^= 1;
        assert_eq!(read(&summed), Err(ProxyError::Checksum));
    }

    proptest! {
        /// However it is cut, a header is read alike, and never before its end.
        #[test]
        fn every_split_reads_the_same(
            is_text: bool,
            ip: [u8; 4],
            port: u16,
            fields in proptest::collection::vec((4_u8.., proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
            behind in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let expected = SocketAddr::from((ip, port));
            let header = if is_text {
                format!("PROXY TCP4 {} 10.0.0.1 {port} 1\r\n", expected.ip()).into_bytes()
            } else {
                let mut body = [&ip[..], &[0; 4], &port.to_be_bytes(), &[0; 2]].concat();
                for (kind, value) in fields {
                    body.extend([kind, 0, u8::try_from(value.len()).unwrap()]);
                    body.extend(value);
                }
                binary(0x21, 0x11, &body)
            };
            for cut in 0..header.len() {
                prop_assert_eq!(read(&header[..cut]), Ok(None), "cut at {}", cut);
            }
            let whole = [&header[..], &behind].concat();
            prop_assert_eq!(read(&whole), Ok(Some(Header { len: header.len(), rest: None, source: Some(expected) })));
        }

        /// What is certain stays so, whatever comes behind.
        #[test]
        fn any_bytes_are_judged_once(
            beginning in prop_oneof![Just(TEXT), Just(&SIGNATURE[..]), Just(&b""[..])],
            rest in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let bytes = [beginning, &rest].concat();
            let whole = read(&bytes);
            for cut in 0..bytes.len() {
                match read(&bytes[..cut]) {
                    Ok(None) => {}
                    certain => prop_assert_eq!(certain, whole, "cut at {}", cut),
                }
            }
        }
    }
}
