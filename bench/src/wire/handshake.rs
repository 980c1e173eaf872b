//! The opening handshake as a client makes it (RFC 6455 §4.1).

use super::url::Url;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// The key of RFC 6455 §1.3, whose answer a bare server can hold ready.
pub const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The longest response head that is read.
pub const HEAD_BYTES_MAX: usize = 16_384;

/// A request, and how to know its answer.
#[derive(Clone, Debug)]
pub struct Handshake {
    request: Vec<u8>,
    accept: String,
}

/// What has come back so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not the whole head yet.
    Partial,
    /// The connection speaks WebSocket from byte `.0` on.
    Upgraded(usize),
    /// It does not; the text names why, as `handshake: 503`.
    Refused(String),
}

impl Handshake {
    /// A request for this address with this key and further headers (`Name: value`).
    #[must_use]
    pub fn new(url: &Url, key: &str, headers: &[String]) -> Self {
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n",
            url.path, url.authority
        );
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        Self { request: request.into_bytes(), accept: accept_of(key) }
    }

    /// The bytes to send.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Looks at all that has come back.
    #[must_use]
    pub fn judge(&self, bytes: &[u8]) -> Answer {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX {
                Answer::Refused("handshake: endless head".into())
            } else {
                Answer::Partial
            };
        };
        let Ok(head) = std::str::from_utf8(&bytes[..end]) else {
            return Answer::Refused("handshake: not HTTP".into());
        };
        match self.flaw(head) {
            None => Answer::Upgraded(end + 4),
            Some(flaw) => Answer::Refused(format!("handshake: {flaw}")),
        }
    }

    /// What is wrong with a response head.
    fn flaw(&self, head: &str) -> Option<String> {
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let Some(status) = status else { return Some("not HTTP".into()) };
        let code = status.split(' ').next().unwrap_or_default();
        if code != "101" {
            return Some(code.chars().take(3).collect());
        }
        let (mut upgrade, mut connection, mut accept) = (false, false, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "upgrade" => upgrade = value.eq_ignore_ascii_case("websocket"),
                "connection" => {
                    let mut tokens = value.split(',').map(str::trim);
                    connection = tokens.any(|token| token.eq_ignore_ascii_case("upgrade"));
                }
                "sec-websocket-accept" => accept = value == self.accept,
                "sec-websocket-extensions" => return Some("extension not asked for".into()),
                _ => {}
            }
        }
        match (upgrade, connection, accept) {
            (true, true, true) => None,
            (true, true, false) => Some("wrong Sec-WebSocket-Accept".into()),
            _ => Some("101 without Upgrade".into()),
        }
    }
}

/// RFC 6455 §4.2.2, step 5.4.
fn accept_of(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// A random key (RFC 6455 §4.1, step 7).
#[must_use]
pub fn random_key(random: &mut fastrand::Rng) -> String {
    let mut nonce = [0; 16];
    random.fill(&mut nonce);
    STANDARD.encode(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn sample() -> Handshake {
        let url = Url::parse("ws://127.0.0.1:8089/acc").unwrap();
        Handshake::new(&url, SAMPLE_KEY, &["X-Token: a".to_owned()])
    }

    #[test]
    fn the_request_is_complete() {
        let text = String::from_utf8(sample().request().to_vec()).unwrap();
        assert!(text.starts_with("GET /acc HTTP/1.1\r\nHost: 127.0.0.1:8089\r\n"), "{text}");
        assert!(text.ends_with("Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Token: a\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_good_answer_is_known_at_every_cut() {
        let bytes = [OK.as_bytes(), b"\x81\x00"].concat();
        for end in 0..=bytes.len() {
            let expected =
                if end < OK.len() { Answer::Partial } else { Answer::Upgraded(OK.len()) };
            assert_eq!(sample().judge(&bytes[..end]), expected, "{end}");
        }
    }

    #[test]
    fn bad_answers_are_named() {
        let cases = [
            (OK.replace("101", "503"), "handshake: 503"),
            (OK.replace("s3p", "S3p"), "handshake: wrong Sec-WebSocket-Accept"),
            (OK.replace("upgrade: WebSocket\r\n", ""), "handshake: 101 without Upgrade"),
            (OK.replace(", Upgrade", ""), "handshake: 101 without Upgrade"),
            (OK.replace("HTTP/1.1", "SSH-2.0"), "handshake: not HTTP"),
            (
                OK.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
                "handshake: extension not asked for",
            ),
        ];
        for (text, flaw) in cases {
            assert_eq!(sample().judge(text.as_bytes()), Answer::Refused(flaw.to_owned()));
        }
        let endless = vec![b'a'; HEAD_BYTES_MAX + 1];
        assert_eq!(sample().judge(&endless), Answer::Refused("handshake: endless head".to_owned()));
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        let key = random_key(&mut fastrand::Rng::with_seed(7));
        assert_eq!(STANDARD.decode(&key).unwrap().len(), 16);
        assert_ne!(key, random_key(&mut fastrand::Rng::with_seed(8)));
    }
}
