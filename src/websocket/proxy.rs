//! The header that a proxy sends before all else to tell whom it speaks for:
//! PROXY protocol, version 1 (text) and 2 (binary), as HAProxy has written it down.
//!
//! Strict: the header decides who a client is taken for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

/// Bytes of a whole header in version 1, at most, the end of the line included.
const TEXT_BYTES_MAX: usize = 107;

/// The same in version 2: what the specification wants every receiver to take at once.
pub const HEADER_BYTES_MAX: usize = 536;

/// What version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// What version 2 begins with: nothing that any other protocol would say.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of version 2 before its addresses.
const FIXED_BYTES: usize = 16;

/// The type of the checksum among the further fields of version 2.
const TYPE_CRC32C: u8 = 0x03;

/// A header that has wholly arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes; what the client says begins behind them.
    pub len: usize,
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
    /// It is longer than allowed.
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
    Ok(Some(Header { len: end + 1, source }))
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
    let len = FIXED_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    if len > HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(header) = bytes.get(..len) else { return Ok(None) };
    let (source, addresses_bytes) = match family {
        0x11 | 0x12 => (source_v4(header), 12),
        0x21 | 0x22 => (source_v6(header), 36),
        0x31 | 0x32 => (None, 216),
        // Unspecified, or of some later day: accepted, and the rest is not looked at.
        _ => return Ok(Some(Header { len, source: None })),
    };
    let fields = header.get(FIXED_BYTES + addresses_bytes..).ok_or(ProxyError::Malformed)?;
    check_fields(header, fields)?;
    Ok(Some(Header { len, source: source.filter(|_| !is_local) }))
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

/// Walks over the further fields: each has a type, a length and a value. Only
/// the checksum is of interest.
fn check_fields(header: &[u8], mut fields: &[u8]) -> Result<(), ProxyError> {
    while !fields.is_empty() {
        let ([kind, high, low], rest) =
            fields.split_first_chunk::<3>().ok_or(ProxyError::Malformed)?;
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, behind) = rest.split_at_checked(len).ok_or(ProxyError::Malformed)?;
        if *kind == TYPE_CRC32C {
            let told = <[u8; 4]>::try_from(value).map_err(|_| ProxyError::Malformed)?;
            // It is taken over the header with zeros in its own place.
            let at = header.len() - rest.len();
            let (before, after) = header.split_at_checked(at).ok_or(ProxyError::Malformed)?;
            let after = after.get(4..).ok_or(ProxyError::Malformed)?;
            if crc32c(&[before, &[0; 4], after]) != u32::from_be_bytes(told) {
                return Err(ProxyError::Checksum);
            }
        }
        fields = behind;
    }
    Ok(())
}

/// CRC-32C (Castagnoli), bit by bit: there are 536 bytes at most, once a connection.
fn crc32c(parts: &[&[u8]]) -> u32 {
    const POLYNOMIAL_REVERSED: u32 = 0x82F6_3B78;
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { POLYNOMIAL_REVERSED } else { 0 };
        }
    }
    !crc
}

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
        assert_eq!(header.len, bytes.len());
        header.source
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
        assert_eq!(read(&binary(0x21, 0x00, &[0; 521])), Err(ProxyError::TooLong));
        assert!(read(&binary(0x21, 0x00, &[0; 520])).is_ok());
    }

    #[test]
    fn a_checksum_is_checked() {
        // The check value of the catalogue of CRCs.
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xE306_9283);
        let unsummed = binary(0x21, 0x11, &[V4, b"\x04\x00\x01x\x03\x00\x04\0\0\0\0"].concat());
        assert_eq!(read(&unsummed), Err(ProxyError::Checksum));
        let sum = crc32c(&[&unsummed]).to_be_bytes();
        let mut summed = unsummed;
        let at = summed.len() - 4;
        summed[at..].copy_from_slice(&sum);
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
            prop_assert_eq!(read(&whole), Ok(Some(Header { len: header.len(), source: Some(expected) })));
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
