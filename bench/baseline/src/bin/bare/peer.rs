//! One socket: the head that it begins with, and what is left of a read.

use crate::answer::{Answer, Violation};
use memchr::memmem;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::mem;
use std::os::fd::OwnedFd;

/// A client's socket.
pub(crate) struct Peer {
    socket: OwnedFd,
    /// The head has been answered.
    open: bool,
    /// The beginning of a head or frame whose end has not come yet.
    held: Vec<u8>,
}

/// The socket has to be closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// The answer to every head; see `main.rs` for the key.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// What is kept of a peer, at most: the largest frame that is answered, and its header.
const HELD_BYTES_MAX: usize = (1 << 20) + 14;

impl Peer {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, open: false, held: Vec::new() }
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Reads once and answers. Returns whether there may be more to read.
    pub(crate) fn serve(
        &mut self,
        answer: Answer,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, Gone> {
        let len = match rustix::io::read(&self.socket, &mut *buffer) {
            Ok(len @ 1..) => len,
            Err(Errno::AGAIN) => return Ok(false),
            Ok(0) | Err(_) => return Err(Gone),
        };
        let input = &buffer[..len];
        if self.open && answer == Answer::Same {
            self.write(input)?;
        } else {
            self.receive(answer, input, out)?;
        }
        Ok(len == buffer.len())
    }

    /// Sends a frame, if the head has been answered; returns whether it has.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<bool, Gone> {
        if !self.open {
            return Ok(false);
        }
        let sent = send(&self.socket, frame, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        if sent == Ok(frame.len()) { Ok(true) } else { Err(Gone) }
    }

    fn receive(&mut self, answer: Answer, input: &[u8], out: &mut Vec<u8>) -> Result<(), Gone> {
        let joined = if self.held.is_empty() {
            Vec::new()
        } else {
            self.held.extend_from_slice(input);
            mem::take(&mut self.held)
        };
        let mut input = if joined.is_empty() { input } else { &joined };
        out.clear();
        if !self.open {
            let Some(at) = memmem::find(input, b"\r\n\r\n") else { return self.hold(input) };
            input = &input[at + 4..];
            self.open = true;
            out.extend_from_slice(SWITCHING);
        }
        let used = answer.append(input, out).map_err(|Violation| Gone)?;
        self.hold(&input[used..])?;
        self.write(out)
    }

    fn hold(&mut self, rest: &[u8]) -> Result<(), Gone> {
        if rest.len() > HELD_BYTES_MAX {
            return Err(Gone);
        }
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// A peer that does not take its answer at once is cut off: a loop that
    /// keeps no backlog cannot do otherwise.
    fn write(&self, bytes: &[u8]) -> Result<(), Gone> {
        if bytes.is_empty() || rustix::io::write(&self.socket, bytes) == Ok(bytes.len()) {
            return Ok(());
        }
        Err(Gone)
    }
}
