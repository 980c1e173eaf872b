//! What a reactor tells of connections that are watched, and where it puts it.

use crate::address::ClientAddr;
use crate::id::{AppId, ConnId, UserId};
use crossbeam_channel::{Receiver, Sender, TrySendError};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Something that happened to a connection that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When the turn of the reactor began, by the clock of the node.
    pub at: Duration,
    /// To which.
    pub conn: ConnId,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It is watched from here on.
    Begin {
        /// Where the client comes from.
        client: ClientAddr,
        /// Who is logged in on it.
        user: Option<(AppId, UserId)>,
        /// Bytes that wait for it.
        waiting_bytes: usize,
    },
    /// Somebody has logged in on it.
    Login(AppId, UserId),
    /// The client has sent a message or a control frame.
    In(Shown),
    /// It was sent a frame, or that was put behind what waits for it.
    Out {
        /// The frame.
        frame: Shown,
        /// Bytes that wait after it.
        waiting_bytes: usize,
    },
    /// Its end has begun, for this cause as the metrics call it.
    Close(&'static str),
}

/// A frame as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `text`, `binary`, `ping`, `pong`, `close`, or `http` for the answer to the handshake.
    pub kind: &'static str,
    /// Bytes of its payload.
    pub bytes: usize,
    /// The beginning of it, where that is allowed.
    pub content: Option<Box<[u8]>>,
}

/// Where lines are put: a bounded channel without a bell, since a reactor may
/// not wake a task of the control plane. Who reads it looks from time to time.
#[derive(Debug)]
pub struct Tap {
    lines: Sender<Line>,
    dropped: AtomicU64,
    is_closed: AtomicBool,
    /// Bytes of each payload that are shown.
    content_bytes: usize,
}

impl Tap {
    /// A tap for up to `depth` lines, and its other end.
    #[must_use]
    pub fn new(depth: usize, content_bytes: usize) -> (Self, Receiver<Line>) {
        let (lines, receiver) = crossbeam_channel::bounded(depth);
        let tap = Self { lines, dropped: 0.into(), is_closed: false.into(), content_bytes };
        (tap, receiver)
    }

    /// Tells of something; what does not fit is counted.
    pub fn tell(&self, line: Line) {
        match self.lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Err(TrySendError::Disconnected(_)) => self.close(),
        }
    }

    /// A frame as this tap may show it.
    #[must_use]
    pub fn show(&self, kind: &'static str, payload: &[u8]) -> Shown {
        let bytes = payload.len();
        let begins = &payload[..bytes.min(self.content_bytes)];
        let content = (self.content_bytes > 0).then(|| begins.into());
        Shown { kind, bytes, content }
    }

    /// Lines lost so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Nobody reads any more.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let conn = ConnId { reactor: 0, slot: 1, serial: 2 };
        Line { at: Duration::ZERO, conn, what: Happening::Close("eof") }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_a_reader_that_goes_closes_it() {
        let (tap, lines) = Tap::new(2, 0);
        for _ in 0..5 {
            tap.tell(line());
        }
        assert_eq!((lines.len(), tap.dropped()), (2, 3));
        assert!(!tap.is_closed());
        drop(lines);
        tap.tell(line());
        assert!(tap.is_closed());
    }

    #[test]
    fn content_is_shown_as_far_as_allowed() {
        let (blind, _) = Tap::new(1, 0);
        assert_eq!(blind.show("text", b"secret"), Shown { kind: "text", bytes: 6, content: None });
        let (open, _) = Tap::new(1, 3);
        assert_eq!(open.show("text", b"secret").content.as_deref(), Some(&b"sec"[..]));
        assert_eq!(open.show("ping", b"").content.as_deref(), Some(&b""[..]));
    }
}
