//! The answers to requests that are not granted.

use std::borrow::Cow;
use std::fmt;

/// Why a request is not granted. The connection closes after the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: not HTTP/1.1, or not a WebSocket handshake; what is wrong with it.
    BadRequest(&'static str),
    /// 401: a token was shown, and it is not good.
    BadToken,
    /// 403: this origin is not listed; see [`Refusal::foreign_origin`].
    ForeignOrigin(String),
    /// 404: no such path.
    NotFound,
    /// 405: not a GET.
    MethodNotAllowed,
    /// 426: an upgrade, but to something else.
    UpgradeRequired,
    /// 431: more bytes than allowed.
    HeadTooLarge {
        /// So many are.
        bytes_max: usize,
    },
}

/// Letters of an origin that the answer repeats.
const ORIGIN_SHOWN_MAX: usize = 200;

impl Refusal {
    /// Refuses an origin, which the answer names as far as it is printable, so that it can be
    /// found and listed.
    #[must_use]
    pub fn foreign_origin(origin: &[u8]) -> Self {
        let letters = origin.iter().take(ORIGIN_SHOWN_MAX);
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
        Self::ForeignOrigin(
            letters.map(|byte| if is_plain(*byte) { char::from(*byte) } else { '?' }).collect(),
        )
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::BadToken => 401,
            Self::ForeignOrigin(_) => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::UpgradeRequired => 426,
            Self::HeadTooLarge { .. } => 431,
        }
    }

    /// The reason phrase of the status.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "Bad Request",
            Self::BadToken => "Unauthorized",
            Self::ForeignOrigin(_) => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::UpgradeRequired => "Upgrade Required",
            Self::HeadTooLarge { .. } => "Request Header Fields Too Large",
        }
    }

    /// What exactly is wrong, for the body of the answer and for a log.
    #[must_use]
    pub fn detail(&self) -> Cow<'static, str> {
        let detail = match self {
            Self::BadRequest(detail) => detail,
            Self::BadToken => "the token is not good",
            Self::ForeignOrigin(origin) if origin.is_empty() => {
                "the request has an empty Origin header, or more than one"
            }
            Self::ForeignOrigin(origin) => {
                return format!("the origin \"{origin}\" is not in auth.allowed_origins").into();
            }
            Self::NotFound => "no WebSocket here",
            Self::MethodNotAllowed => "a WebSocket handshake is a GET",
            Self::UpgradeRequired => "only websocket is served here",
            Self::HeadTooLarge { bytes_max } => {
                return format!(
                    "the request head is larger than {bytes_max} bytes (limits.handshake_bytes)"
                )
                .into();
            }
        };
        Cow::Borrowed(detail)
    }

    /// Appends the whole answer.
    pub fn append_response(&self, out: &mut Vec<u8>) {
        let headers: &[&str] = match self {
            Self::BadRequest(_) => &["Sec-WebSocket-Version: 13", "Connection: close"],
            // RFC 6750 §3.1.
            Self::BadToken => {
                &["WWW-Authenticate: Bearer error=\"invalid_token\"", "Connection: close"]
            }
            Self::ForeignOrigin(_) => &["X-Content-Type-Options: nosniff", "Connection: close"],
            Self::NotFound | Self::HeadTooLarge { .. } => &["Connection: close"],
            Self::MethodNotAllowed => &["Allow: GET", "Connection: close"],
            // RFC 9110 §7.8: who sends Upgrade names it in Connection.
            Self::UpgradeRequired => {
                &["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Connection: close, Upgrade"]
            }
        };
        append_plain(out, self.status(), self.reason(), headers, &self.detail());
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status(), self.reason(), self.detail())
    }
}

impl std::error::Error for Refusal {}

/// Appends a 503 that bids the client come back after so many seconds: for a
/// gateway that is full or about to stop.
pub fn append_unavailable(out: &mut Vec<u8>, retry_after_seconds: u32) {
    let retry = format!("Retry-After: {retry_after_seconds}");
    let headers = [retry.as_str(), "Connection: close"];
    append_plain(out, 503, "Service Unavailable", &headers, "no room for this connection now");
}

/// Appends a 429 that bids a client come back after so many seconds: for one
/// that opens connections too fast.
pub fn append_too_many(out: &mut Vec<u8>, retry_after_seconds: u32) {
    let retry = format!("Retry-After: {retry_after_seconds}");
    let headers = [retry.as_str(), "Connection: close"];
    append_plain(
        out,
        429,
        "Too Many Requests",
        &headers,
        "too many connections in too short a time",
    );
}

fn append_plain(out: &mut Vec<u8>, status: u16, reason: &str, headers: &[&str], detail: &str) {
    let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    let length = detail.len() + 1;
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
    out.extend_from_slice(format!("Content-Length: {length}\r\n\r\n{detail}\n").as_bytes());
}
