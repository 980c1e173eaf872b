//! The HTTP request that asks for a WebSocket, and its answers (RFC 6455 §4.2).
//!
//! Strict where the RFC is, and where being lenient would let a request mean
//! one thing to a proxy in front and another one here: one `Host`, no body, no
//! folded header lines. Lone line feeds end lines, and empty lines before the
//! request are ignored, as RFC 9112 §2.2 allows.

use super::head;
use tungstenite::handshake::derive_accept_key;

pub use super::credentials::{Credentials, TOKEN_PROTOCOL};
pub use super::refusal::{Refusal, append_too_many, append_unavailable};

/// Bytes of a method, at most: the longest that is registered with IANA has
/// seventeen (`UPDATEREDIRECTREF`).
const METHOD_BYTES_MAX: usize = 17;

/// Empty lines before a request that are ignored; RFC 9112 §2.2 asks for one at least.
const EMPTY_LINES_MAX: usize = 4;

/// Where WebSockets may be opened. An empty path is nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paths<'a> {
    /// Path of [`Endpoint::Commands`].
    pub commands: &'a str,
    /// Path of [`Endpoint::Echo`].
    pub echo: &'a str,
}

impl Paths<'_> {
    fn endpoint(&self, path: &str) -> Option<Endpoint> {
        match path {
            "" => None,
            path if is_same_path(path, self.commands) => Some(Endpoint::Commands),
            path if is_same_path(path, self.echo) => Some(Endpoint::Echo),
            _ => None,
        }
    }
}

/// Whether two paths mean the same: a letter that need not be escaped is the same escaped or not,
/// and the digits of an escape have no case (RFC 3986 §6.2.2).
fn is_same_path(one: &str, other: &str) -> bool {
    one == other || (one.contains('%') && letters(one).eq(letters(other)))
}

/// The letters of a path, and whether each has to be escaped.
fn letters(path: &str) -> impl Iterator<Item = (u8, bool)> {
    let mut rest = path.as_bytes();
    std::iter::from_fn(move || {
        let hex = |digit: &u8| char::from(*digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
        if let [b'%', high, low, behind @ ..] = rest
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            rest = behind;
            let letter = high << 4 | low;
            let is_unreserved =
                letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'.' | b'_' | b'~');
            return Some((letter, !is_unreserved));
        }
        let (letter, behind) = rest.split_first()?;
        rest = behind;
        Some((*letter, false))
    })
}

/// What serves a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The commands of the gateway.
    Commands,
    /// Every message comes back.
    Echo,
}

/// A request that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade<'h> {
    /// What is to serve the connection.
    pub endpoint: Endpoint,
    /// Bytes of the request; those behind it are the first frames, which a
    /// client may send without waiting.
    pub head_len: usize,
    /// What it shows of who asks; whoever grants it decides what that is worth.
    pub credentials: Credentials<'h>,
    /// [`TOKEN_PROTOCOL`] is selected.
    pub selects_token_protocol: bool,
    /// `Sec-WebSocket-Accept`.
    accept: String,
}

impl Upgrade<'_> {
    /// Appends the 101 that opens the WebSocket. It selects no extension and
    /// no subprotocol, whatever the client offered, unless a token came by one.
    pub fn append_response(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\n\
              Upgrade: websocket\r\n\
              Connection: Upgrade\r\n\
              Sec-WebSocket-Accept: ",
        );
        out.extend_from_slice(self.accept.as_bytes());
        if self.selects_token_protocol {
            out.extend_from_slice(b"\r\nSec-WebSocket-Protocol: ");
            out.extend_from_slice(TOKEN_PROTOCOL.as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Reads the handshake that `head` begins with; `None` when more bytes are
/// needed.
///
/// `seen` says how many of these bytes an earlier call has already looked at
/// (zero at first), so that a request that drips in byte by byte costs no more
/// than one that comes at once. `head_bytes_max` bounds the request.
///
/// # Errors
/// The [`Refusal`] to answer with, as soon as it is certain: bytes that cannot
/// begin an HTTP request (a TLS greeting, say) are not waited on for more.
pub fn read<'h>(
    head: &'h [u8],
    seen: usize,
    head_bytes_max: usize,
    paths: &Paths<'_>,
) -> Result<Option<Upgrade<'h>>, Refusal> {
    if !may_begin_request(head.get(empty_lines(head)..).unwrap_or_default()) {
        return Err(Refusal::BadRequest("not HTTP"));
    }
    let (bounded, full) = match head.split_at_checked(head_bytes_max) {
        Some((bounded, _)) => (bounded, true),
        None => (head, false),
    };
    let begin = empty_lines(bounded);
    let end = find_end(bounded, begin, seen);
    let Some(head) = end.and_then(|end| bounded.get(..end)) else {
        let too_large = Refusal::HeadTooLarge { bytes_max: head_bytes_max };
        return if full { Err(too_large) } else { Ok(None) };
    };
    let judged = head::parse(head, |request| {
        let fields = Fields::collect(request.headers);
        let endpoint = judge_request(request, &fields, paths)?;
        let accept = derive_accept_key(fields.judge_handshake()?);
        let mut credentials = fields.credentials;
        credentials.see_target(request.path.unwrap_or_default());
        let head_len = head.len();
        Ok(Some(Upgrade { endpoint, head_len, credentials, selects_token_protocol: false, accept }))
    });
    judged.unwrap_or(Err(Refusal::BadRequest("malformed request")))
}

/// Bytes of the empty lines before the request, of which some clients send one. More than
/// [`EMPTY_LINES_MAX`] are no beginning of a request.
fn empty_lines(head: &[u8]) -> usize {
    let mut rest = head;
    for _ in 0..EMPTY_LINES_MAX {
        rest = match rest {
            [b'\r', b'\n', rest @ ..] | [b'\n', rest @ ..] => rest,
            _ => break,
        };
    }
    head.len() - rest.len()
}

/// Whether these bytes are the beginning of a method, or a method and its space.
fn may_begin_request(head: &[u8]) -> bool {
    if head == b"\r" {
        // Half of an empty line.
        return true;
    }
    let method = head.iter().take(METHOD_BYTES_MAX + 1).take_while(|byte| **byte != b' ');
    let mut length = 0;
    for byte in method {
        // RFC 9112 allows any token; all registered methods are capitals and hyphens.
        if !(byte.is_ascii_uppercase() || *byte == b'-') {
            return false;
        }
        length += 1;
    }
    length <= METHOD_BYTES_MAX && (length > 0 || head.is_empty())
}

/// Bytes up to and including the empty line that ends a head that begins at `begin`.
fn find_end(head: &[u8], begin: usize, seen: usize) -> Option<usize> {
    // An end of "\n\r\n" may have begun two bytes before those that are new.
    let mut at = seen.saturating_sub(2).max(begin);
    loop {
        let rest = head.get(at..)?;
        at += rest.iter().position(|byte| *byte == b'\n')? + 1;
        match head.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// Judges what is common to all requests: version, host, path, method, body.
fn judge_request(
    request: &httparse::Request<'_, '_>,
    fields: &Fields<'_>,
    paths: &Paths<'_>,
) -> Result<Endpoint, Refusal> {
    if request.version != Some(1) {
        return Err(Refusal::BadRequest("HTTP/1.1 required"));
    }
    if fields.hosts != 1 {
        return Err(Refusal::BadRequest("exactly one Host header required"));
    }
    let path = path_of(request.path.unwrap_or_default());
    let endpoint = paths.endpoint(path).ok_or(Refusal::NotFound)?;
    if request.method != Some("GET") {
        return Err(Refusal::MethodNotAllowed);
    }
    if fields.has_body {
        return Err(Refusal::BadRequest("a handshake has no body"));
    }
    Ok(endpoint)
}

/// The path of a request target in origin form, or in absolute form, which
/// servers must accept (RFC 9112 §3.2.2).
fn path_of(target: &str) -> &str {
    let target = target.split('?').next().unwrap_or_default();
    if target.starts_with('/') {
        return target;
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return "";
    };
    if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return "";
    }
    rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/")
}

/// Schemes of absolute targets. Which of them a client writes is its own affair: TLS may end in
/// a proxy, or here.
const SCHEMES: [&str; 4] = ["http", "https", "ws", "wss"];

/// What a handshake says in its header lines.
#[derive(Default)]
struct Fields<'h> {
    hosts: usize,
    has_body: bool,
    /// `Connection` has the token `upgrade`.
    connection_upgrade: bool,
    /// There is an `Upgrade` header.
    upgrade: bool,
    /// It names `websocket`.
    upgrade_websocket: bool,
    versions: usize,
    version: &'h [u8],
    keys: usize,
    key: &'h [u8],
    credentials: Credentials<'h>,
}

impl<'h> Fields<'h> {
    fn collect(headers: &[httparse::Header<'h>]) -> Self {
        let mut fields = Self::default();
        for header in headers {
            let value = header.value.trim_ascii();
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("host") {
                fields.hosts += 1;
            } else if is("connection") {
                fields.connection_upgrade |= has_token(value, b"upgrade");
            } else if is("upgrade") {
                fields.upgrade = true;
                fields.upgrade_websocket |= has_token(value, b"websocket");
            } else if is("sec-websocket-version") {
                fields.versions += 1;
                fields.version = value;
            } else if is("sec-websocket-key") {
                fields.keys += 1;
                fields.key = value;
            } else if is("content-length") {
                fields.has_body |= value.is_empty() || value.iter().any(|digit| *digit != b'0');
            } else if is("transfer-encoding") {
                fields.has_body = true;
            } else {
                fields.credentials.see(header.name, value);
            }
        }
        fields
    }

    /// Judges what makes a handshake of a request; returns the key.
    fn judge_handshake(&self) -> Result<&'h [u8], Refusal> {
        let bad = |detail| Err(Refusal::BadRequest(detail));
        if !self.upgrade {
            return bad("Upgrade: websocket required");
        }
        if !self.connection_upgrade {
            return bad("Connection: Upgrade required");
        }
        if !self.upgrade_websocket {
            return Err(Refusal::UpgradeRequired);
        }
        // §4.4 has 426 for this, but the gateway that this one replaces says
        // 400, and its clients know that; the version is named either way.
        if self.versions != 1 || self.version != b"13" {
            return bad("Sec-WebSocket-Version: 13 required");
        }
        if self.keys != 1 || !is_key(self.key) {
            return bad("one Sec-WebSocket-Key of 16 bytes in base64 required");
        }
        Ok(self.key)
    }
}

/// Whether a comma-separated list names `token`, in any case.
fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|entry| entry.trim_ascii().eq_ignore_ascii_case(token))
}

/// Whether this is base64 of sixteen bytes: 22 digits and the padding. The
/// four bits that the last digit has too many may be anything.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match key.split_first_chunk::<22>() {
        Some((digits, padding)) => padding == b"==" && digits.iter().all(digit),
        None => false,
    }
}
