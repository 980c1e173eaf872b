//! What a peer has been sent but does not take: bounded, and gone when it is empty.

use super::snapshot::Backlog;
use super::tls::{RECORD_BYTES, Tls};
use crate::limits::OUTBOX_ENTRY_BYTES;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

/// Frames that wait until the kernel takes them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// The first entry has been written in part: it must be finished, or the
    /// peer would lose the frame boundaries.
    started: bool,
    /// A frame that is larger than a backlog may usually be has come since it was last empty.
    has_large: bool,
    /// Encrypted already, and not yet taken by the kernel; on plain connections there is none.
    sealed: Vec<u8>,
}

/// Slices in one `writev`; 64 frames are enough to fill a socket's buffer.
const SLICES_MAX: usize = 64;

impl Outbox {
    /// A backlog whose first entry is the rest of something that has been
    /// `started`, or all of it.
    pub(super) fn with_rest(rest: Bytes, started: bool) -> Self {
        let mut outbox = Self { started, ..Self::default() };
        outbox.push(rest);
        outbox
    }

    /// What waits, for another process.
    pub(super) fn snapshot(&self) -> Backlog {
        Backlog {
            entries: self.queue.iter().cloned().collect(),
            is_begun: self.started,
            has_large: self.has_large,
            sealed: self.sealed.clone(),
        }
    }

    /// The same backlog again.
    pub(super) fn restore(backlog: Backlog) -> Self {
        let Backlog { entries, is_begun, has_large, sealed } = backlog;
        let bytes = entries.iter().map(Bytes::len).sum();
        Self { queue: entries.into(), bytes, started: is_begun, has_large, sealed }
    }

    /// Adds whole frames.
    pub(super) fn push(&mut self, frames: Bytes) {
        self.bytes += frames.len();
        self.queue.push_back(frames);
    }

    /// Notes that a large frame is among what waits: the backlog may be larger until it is empty.
    pub(super) fn note_large(&mut self) {
        self.has_large = true;
    }

    /// Whether the backlog is above its bound. That is `usual_bytes`, and so much more where a
    /// large frame, of `frame_bytes` at most, has to be taken.
    pub(super) fn is_above(&self, usual_bytes: usize, frame_bytes: usize) -> bool {
        let extra = if self.has_large { frame_bytes } else { 0 };
        self.charge_bytes() > usual_bytes.saturating_add(extra)
    }

    /// What the backlog is charged with.
    pub(super) fn charge_bytes(&self) -> usize {
        self.bytes + self.queue.len() * OUTBOX_ENTRY_BYTES + self.sealed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sealed.is_empty()
    }

    /// Adds what is encrypted already. It goes before all that is not, since whatever is
    /// encrypted later has a later number.
    pub(super) fn push_sealed(&mut self, records: &[u8]) {
        self.sealed.extend_from_slice(records);
    }

    /// Whether the kernel has yet to take something that is encrypted.
    fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// Writes what is encrypted, as far as the kernel takes it. Returns the bytes written.
    fn flush_sealed(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let mut total = 0;
        while !self.sealed.is_empty() {
            match socket.write(&self.sealed) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.sealed.drain(..written);
                    total += written;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Encrypts the next bytes that fill a record, at most; false when nothing waits.
    fn seal_next(&mut self, tls: &mut Tls) -> io::Result<bool> {
        let mut record = Vec::with_capacity(self.bytes.min(RECORD_BYTES));
        for entry in &self.queue {
            let room = RECORD_BYTES - record.len();
            record.extend_from_slice(&entry[..entry.len().min(room)]);
            if record.len() == RECORD_BYTES {
                break;
            }
        }
        if record.is_empty() {
            return Ok(false);
        }
        tls.seal(&record, &mut self.sealed)?;
        self.advance(record.len());
        Ok(true)
    }

    /// Forgets all that has not been begun.
    pub(super) fn drop_unsent(&mut self) {
        self.queue.truncate(usize::from(self.started));
        self.bytes = self.queue.iter().map(Bytes::len).sum();
    }

    /// Writes until all is written or the kernel takes no more. Returns the
    /// bytes written.
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let mut total = 0;
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = self.queue.len().min(SLICES_MAX);
            for (slice, entry) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(entry);
            }
            match socket.write_vectored(&slices[..used]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.advance(written);
                    total += written;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(total)
    }

    /// Encrypts and writes until all is written or the kernel takes no more.
    /// Returns the bytes written.
    pub(super) fn flush_with(
        &mut self,
        tls: &mut Tls,
        socket: &mut impl Write,
    ) -> io::Result<usize> {
        let mut total = 0;
        loop {
            total += self.flush_sealed(socket)?;
            if self.has_sealed() || !self.seal_next(tls)? {
                return Ok(total);
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.queue.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.started |= written > 0;
                return;
            }
            written -= first.len();
            self.queue.pop_front();
            self.started = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at each call, then blocks.
    struct Narrow {
        calls: Vec<usize>,
        taken: Vec<u8>,
    }

    impl Write for Narrow {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            unreachable!("the outbox writes vectored")
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let room = self.calls.pop().ok_or(io::ErrorKind::WouldBlock)?;
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            let taken = &all[..room.min(all.len())];
            self.taken.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn filled() -> Outbox {
        let mut outbox = Outbox::default();
        for text in ["abc", "defg", "hi"] {
            outbox.push(Bytes::from_static(text.as_bytes()));
        }
        outbox
    }

    #[test]
    fn every_way_of_cutting_keeps_the_order() {
        for first in 1..9 {
            for second in 1..9 {
                let mut narrow = Narrow { calls: vec![9, second, first], taken: Vec::new() };
                let mut outbox = filled();
                assert_eq!(outbox.flush(&mut narrow).unwrap(), 9);
                assert_eq!(narrow.taken, b"abcdefghi");
                assert!(outbox.is_empty());
                assert_eq!(outbox.charge_bytes(), 0);
            }
        }
    }

    #[test]
    fn dropping_keeps_the_frame_that_was_begun() {
        let mut outbox = filled();
        let mut narrow = Narrow { calls: vec![5], taken: Vec::new() };
        outbox.flush(&mut narrow).unwrap();
        outbox.drop_unsent();
        outbox.push(Bytes::from_static(b"!"));
        let mut wide = Narrow { calls: vec![9], taken: Vec::new() };
        outbox.flush(&mut wide).unwrap();
        assert_eq!(wide.taken, b"fg!");
    }

    #[test]
    fn only_a_large_frame_makes_room_for_itself() {
        let small = || Bytes::from(vec![0; 100 - OUTBOX_ENTRY_BYTES]);
        let mut outbox = Outbox::with_rest(small(), false);
        assert!(!outbox.is_above(100, 1_000));
        outbox.push(small());
        assert!(outbox.is_above(100, 1_000), "two small ones");
        outbox.note_large();
        outbox.push(Bytes::from(vec![0; 900 - OUTBOX_ENTRY_BYTES]));
        assert!(!outbox.is_above(100, 1_000));
        outbox.push(Bytes::from_static(b"!"));
        assert!(outbox.is_above(100, 1_000), "and no more than one");
    }

    #[test]
    fn dropping_before_the_first_byte_keeps_nothing() {
        let mut outbox = filled();
        outbox.drop_unsent();
        assert!(outbox.is_empty());
        let mut outbox = Outbox::with_rest(Bytes::from_static(b"rest"), true);
        outbox.push(Bytes::from_static(b"next"));
        outbox.drop_unsent();
        assert_eq!(outbox.charge_bytes(), 4 + OUTBOX_ENTRY_BYTES);
    }
}
