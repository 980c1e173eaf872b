//! From frames to the peer, and what is kept when it takes no more.

use super::outbox::Outbox;
use super::{Connection, Rules, Unread};
use crate::envelope::Frame;
use crate::limits::FRAMES_PER_WAVE;
use crate::websocket::close;
use bytes::{Buf, Bytes};
use std::io::{self, IoSlice, Write};

/// What became of frames that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes that the peer was given.
    pub written: usize,
    /// The backlog exceeds its bound.
    pub is_slow: bool,
}

impl Connection {
    /// What its backlog is charged with.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.charge_bytes())
    }

    /// Whether the peer has yet to take something.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.outbox.is_some()
    }

    /// Sends bytes behind what was sent before, and keeps what `socket` does not take now.
    /// Returns the bytes written.
    ///
    /// # Errors
    /// What `socket` says, but for "would block".
    pub fn send(&mut self, bytes: &[u8], socket: &mut impl Write) -> io::Result<usize> {
        if let Some(outbox) = &mut self.outbox {
            outbox.push(Bytes::copy_from_slice(bytes));
            return Ok(0);
        }
        if self.is_sealed() {
            return self.send_sealing([Bytes::copy_from_slice(bytes)], socket);
        }
        let written = offer(socket, &[IoSlice::new(bytes)])?;
        if written < bytes.len() {
            let rest = Bytes::copy_from_slice(&bytes[written..]);
            self.outbox = Some(Box::new(Outbox::with_rest(rest, written > 0)));
        }
        Ok(written)
    }

    /// Sends whole frames, at most [`FRAMES_PER_WAVE`], with one call of `socket`. What it does
    /// not take is kept, and shared with other connections.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_frames(
        &mut self,
        frames: &[&Frame],
        rules: &Rules,
        socket: &mut impl Write,
    ) -> io::Result<Sent> {
        let is_large = frames.iter().any(|frame| frame.len() > rules.outbox_bytes_max);
        let mut written = 0;
        if self.outbox.is_none() {
            if self.is_sealed() {
                let frames = frames.iter().map(|frame| frame.to_bytes());
                let written = self.send_sealing(frames, socket)?;
                return Ok(Sent { written, is_slow: self.is_slow(is_large, rules) });
            }
            let mut slices = [IoSlice::new(&[]); FRAMES_PER_WAVE];
            for (slice, frame) in slices.iter_mut().zip(frames) {
                *slice = IoSlice::new(frame.as_bytes());
            }
            written = offer(socket, &slices[..frames.len()])?;
        }
        self.keep_rest(frames, written);
        Ok(Sent { written, is_slow: self.is_slow(is_large, rules) })
    }

    /// Encrypts and sends without a backlog.
    fn send_sealing(
        &mut self,
        frames: impl IntoIterator<Item = Bytes>,
        socket: &mut impl Write,
    ) -> io::Result<usize> {
        let outbox = self.outbox.get_or_insert_default();
        for frame in frames {
            outbox.push(frame);
        }
        self.flush(socket)
    }

    /// Writes a backlog, as far as `socket` takes it. Returns the bytes written.
    ///
    /// # Errors
    /// As [`Connection::send`], and what TLS says.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let Some(outbox) = &mut self.outbox else { return Ok(0) };
        let written = match self.extra.as_mut().and_then(|extra| extra.tls()) {
            None => outbox.flush(socket),
            Some(tls) => outbox.flush_with(tls, socket),
        };
        if outbox.is_empty() {
            self.outbox = None;
        }
        written
    }

    /// Adds what TLS itself has to say to the backlog.
    pub(super) fn push_sealed(&mut self, sealed: &[u8]) {
        if !sealed.is_empty() {
            self.outbox.get_or_insert_default().push_sealed(sealed);
        }
    }

    /// Whether reading was paused for the backlog, and goes on now; the owner has to queue it.
    pub fn resumes(&mut self, rules: &Rules) -> bool {
        let resumes =
            self.unread == Unread::Paused && self.backlog_bytes() <= rules.congestion_bytes();
        if resumes {
            self.unread = Unread::Queued;
        }
        resumes
    }

    /// Drops what a peer that does not read has not begun to receive, so that a close frame with
    /// this reason is the next thing that it gets if it ever reads again. Without a backlog
    /// nothing happens.
    pub fn cut_backlog(&mut self, code: u16, reason: &str) {
        if let Some(outbox) = &mut self.outbox {
            outbox.drop_unsent();
            let mut frame = Vec::new();
            close::append(&mut frame, Some((code, reason)));
            outbox.push(frame.into());
        }
    }

    /// Whether the backlog is above its bounds after frames of which one may be large.
    fn is_slow(&mut self, is_large: bool, rules: &Rules) -> bool {
        let Some(outbox) = &mut self.outbox else { return false };
        if is_large {
            outbox.note_large();
        }
        outbox.is_above(rules.outbox_bytes_max, rules.frame_bytes_max)
    }

    /// Keeps what the peer did not take: all but the first `written` bytes of the frames.
    fn keep_rest(&mut self, frames: &[&Frame], mut written: usize) {
        for frame in frames {
            if written >= frame.len() {
                written -= frame.len();
                continue;
            }
            let mut rest = frame.to_bytes();
            rest.advance(written);
            match &mut self.outbox {
                Some(outbox) => outbox.push(rest),
                None => self.outbox = Some(Box::new(Outbox::with_rest(rest, written > 0))),
            }
            written = 0;
        }
    }
}

/// Offers bytes to the peer; 0 when it takes nothing now.
fn offer(socket: &mut impl Write, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        let written = match slices {
            [only] => socket.write(only),
            _ => socket.write_vectored(slices),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            other => return other,
        }
    }
}
