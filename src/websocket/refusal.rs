//! The answers to requests that are not granted.

use std::fmt;

/// Why a request is not granted. The connection closes after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: not HTTP/1.1, or not a WebSocket handshake; what is wrong with it.
    BadRequest(&'static str),
    /// 401: a token was shown, and it is not good.
    BadToken,
    /// 403: the page's origin is not listed.
    ForeignOrigin,
    /// 404: no such path.
    NotFound,
    /// 405: not a GET.
    MethodNotAllowed,
    /// 426: an upgrade, but to something else.
    UpgradeRequired,
    /// 431: more bytes or header lines than allowed.
    HeadTooLarge,
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_) => 400,
            Self::BadToken => 401,
            Self::ForeignOrigin => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::UpgradeRequired => 426,
            Self::HeadTooLarge => 431,
        }
    }

    /// The reason phrase of the status.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "Bad Request",
            Self::BadToken => "Unauthorized",
            Self::ForeignOrigin => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::UpgradeRequired => "Upgrade Required",
            Self::HeadTooLarge => "Request Header Fields Too Large",
        }
    }

    /// What exactly is wrong, for the body of the answer and for a log.
    #[must_use]
    pub fn detail(&self) -> &'static str {
        match self {
            Self::BadRequest(detail) => detail,
            Self::BadToken => "the token is not good",
            Self::ForeignOrigin => "pages of this origin may not connect",
            Self::NotFound => "no WebSocket here",
            Self::MethodNotAllowed => "a WebSocket handshake is a GET",
            Self::UpgradeRequired => "only websocket is served here",
            Self::HeadTooLarge => "request head too large",
        }
    }

    /// Appends the whole answer.
    pub fn append_response(&self, out: &mut Vec<u8>) {
        let headers: &[&str] = match self {
            Self::BadRequest(_) => &["Sec-WebSocket-Version: 13", "Connection: close"],
            // RFC 6750 §3.1.
            Self::BadToken => {
                &["WWW-Authenticate: Bearer error=\"invalid_token\"", "Connection: close"]
            }
            Self::ForeignOrigin | Self::NotFound | Self::HeadTooLarge => &["Connection: close"],
            Self::MethodNotAllowed => &["Allow: GET", "Connection: close"],
            // RFC 9110 §7.8: who sends Upgrade names it in Connection.
            Self::UpgradeRequired => {
                &["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Connection: close, Upgrade"]
            }
        };
        append_plain(out, self.status(), self.reason(), headers, self.detail());
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
