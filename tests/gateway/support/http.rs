//! An HTTP client of a few lines: one request, one answer, bytes as they are.

use super::Client;
use serde_json::Value;
use std::net::SocketAddr;

/// An answer, its head as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// Sends a whole request and reads to the end; the request must ask for it
    /// (`Connection: close`) or be one that the server ends by itself.
    pub fn to(address: SocketAddr, request: &[u8]) -> Self {
        Self::over(Client::tcp(address), request)
    }

    /// The same over any connection.
    pub fn over(mut client: Client, request: &[u8]) -> Self {
        client.send_raw(request);
        let head = client.read_head();
        let status = head.get(9..12).and_then(|word| word.parse().ok()).expect("a status");
        let mut answer = Self { status, head, body: String::new() };
        let body = client.read_to_end();
        let body = match answer.header("transfer-encoding") {
            Some("chunked") if !body.is_empty() => unchunked(&body),
            _ => body,
        };
        answer.body = String::from_utf8(body).expect("UTF-8");
        answer
    }

    /// The value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = std::str::from_utf8(&body[..end]).expect("ASCII");
        let size = usize::from_str_radix(size, 16).expect("a number");
        let chunk = &body[end + 2..];
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&chunk[..size]);
        body = &chunk[size + 2..];
    }
}
