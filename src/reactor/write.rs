//! From frames to the kernel, and what happens when it takes no more.

use super::Reactor;
use super::close::Ending;
use super::conn::{Conn, State, Unread};
use super::outbox::Outbox;
use super::reading::Waits;
use crate::envelope::Frame;
use crate::limits::FRAMES_PER_WAVE;
use crate::metrics::Cause;
use crate::websocket::close;
use bytes::{Buf, Bytes};
use std::io::{self, IoSlice, Write};

impl Reactor {
    /// Sends replies to what the client has sent itself. They are bounded by
    /// what one read can bring, and the next read waits until they are taken.
    pub(super) fn send_bytes(&mut self, slot: u32, bytes: &[u8]) {
        self.offer_bytes(slot, bytes);
        if self.conns[slot].traced {
            self.trace_out(slot, bytes);
        }
    }

    fn offer_bytes(&mut self, slot: u32, bytes: &[u8]) {
        let before = self.conns[slot].backlog_bytes();
        let conn = &mut self.conns[slot];
        if let Some(outbox) = &mut conn.outbox {
            outbox.push(Bytes::copy_from_slice(bytes));
            self.recharge(slot, before);
            return;
        }
        if conn.is_sealed() {
            return self.send_sealing(slot, &[Bytes::copy_from_slice(bytes)]);
        }
        match offer(&mut conn.socket, &[IoSlice::new(bytes)]) {
            Ok(written) => {
                if written < bytes.len() {
                    let rest = Bytes::copy_from_slice(&bytes[written..]);
                    conn.outbox = Some(Box::new(Outbox::with_rest(rest, written > 0)));
                    self.recharge(slot, before);
                }
                self.stats().bytes_out.add(written as u64);
            }
            Err(_) => self.lose(slot, Cause::Reset),
        }
    }

    /// Sends whole frames that others have caused, in one `writev`. A peer
    /// whose backlog would exceed its bound is closed with 3008.
    pub(super) fn send_frames(&mut self, slot: u32, frames: &[&Frame]) {
        for some in frames.chunks(FRAMES_PER_WAVE) {
            if !self.conns[slot].is_open() {
                self.stats().undeliverable.add(some.len() as u64);
                return;
            }
            self.stats().messages_out.add(some.len() as u64);
            self.send_few_frames(slot, some);
            if self.conns[slot].traced {
                some.iter().for_each(|frame| self.trace_out(slot, frame.as_bytes()));
            }
        }
    }

    fn send_few_frames(&mut self, slot: u32, frames: &[&Frame]) {
        let conn = &mut self.conns[slot];
        let before = conn.backlog_bytes();
        let mut written = 0;
        if conn.outbox.is_none() && conn.is_sealed() {
            let frames: Vec<Bytes> = frames.iter().map(|frame| frame.to_bytes()).collect();
            self.send_sealing(slot, &frames);
            let bounds = self.backlog_bounds();
            let is_large = frames.iter().any(|frame| frame.len() > bounds.0);
            if self.conns[slot].is_slow(is_large, bounds) {
                self.close_slow(slot, Cause::Slow);
            }
            return;
        }
        if conn.outbox.is_none() {
            let mut slices = [IoSlice::new(&[]); FRAMES_PER_WAVE];
            for (slice, frame) in slices.iter_mut().zip(frames) {
                *slice = IoSlice::new(frame.as_bytes());
            }
            match offer(&mut conn.socket, &slices[..frames.len()]) {
                Ok(n) => written = n,
                Err(_) => return self.lose(slot, Cause::Reset),
            }
            self.stats().bytes_out.add(written as u64);
        }
        let conn = &mut self.conns[slot];
        conn.keep_rest(frames, written);
        self.recharge(slot, before);
        let bounds = self.backlog_bounds();
        let is_large = frames.iter().any(|frame| frame.len() > bounds.0);
        if self.conns[slot].is_slow(is_large, bounds) {
            self.close_slow(slot, Cause::Slow);
        }
    }

    /// What a backlog may usually hold, and how much more for a large frame.
    fn backlog_bounds(&self) -> (usize, usize) {
        (self.settings.outbox_bytes_max, self.settings.frame_bytes_max)
    }

    /// Writes a backlog, as far as the kernel takes it.
    pub(super) fn flush(&mut self, slot: u32) {
        let congestion = self.settings.outbox_bytes_max / 2;
        let conn = &mut self.conns[slot];
        let Some(outbox) = &mut conn.outbox else { return };
        let before = outbox.charge_bytes();
        let written = match conn.extra.as_mut().and_then(|extra| extra.tls()) {
            None => outbox.flush(&mut conn.socket),
            Some(tls) => outbox.flush_with(tls, &mut conn.socket),
        };
        let after = outbox.charge_bytes();
        if outbox.is_empty() {
            conn.outbox = None;
        }
        if conn.unread == Unread::Paused && after <= congestion {
            conn.unread = Unread::Queued;
            self.reading.push(Waits::Greedy, (slot, conn.serial));
        }
        let settled = conn.outbox.is_none();
        self.recharge(slot, before);
        match written {
            Ok(written) => {
                self.stats().bytes_out.add(written as u64);
                if settled {
                    self.settle(slot);
                }
            }
            Err(_) => self.lose(slot, Cause::Reset),
        }
    }

    /// Closes a peer that does not read. What it has not begun to receive is
    /// dropped, so that the close frame is the next thing it gets if it ever
    /// reads again.
    fn close_slow(&mut self, slot: u32, cause: Cause) {
        let conn = &mut self.conns[slot];
        let before = conn.backlog_bytes();
        if let Some(outbox) = &mut conn.outbox {
            outbox.drop_unsent();
            let mut frame = Vec::new();
            close::append(&mut frame, Some((close::SLOW, "slow consumer")));
            outbox.push(frame.into());
        }
        self.recharge(slot, before);
        self.end(slot, Ending::linger(cause));
    }

    /// Books the difference between a backlog as it was and as it is.
    pub(super) fn recharge(&mut self, slot: u32, before: usize) {
        let conn = &self.conns[slot];
        let after = conn.backlog_bytes();
        if before == after {
            return;
        }
        let stats = self.stats();
        let total = stats.outbox_bytes.get() + after as u64 - before as u64;
        stats.outbox_bytes.set(total);
        let count = stats.outbox_connections.get();
        stats.outbox_connections.set(count + u64::from(after > 0) - u64::from(before > 0));
        let outboxes = &self.shared.outboxes;
        outboxes.change(before, after);
        if after > before {
            outboxes.note_largest(self.index, after);
            self.overdrawn |= outboxes.is_spent();
        }
        if before == 0 {
            self.note_backlog(slot);
        }
    }

    /// When the output budget is spent, the largest backlogs of the process
    /// go first, whichever reactor they are in.
    pub(super) fn relieve(&mut self) {
        if !std::mem::take(&mut self.overdrawn) || !self.shared.outboxes.is_spent() {
            return;
        }
        let (reactor, _) = self.shared.outboxes.largest();
        if reactor == self.index {
            self.shed();
        } else {
            self.shared.hub.router.ask_to_shed(reactor);
        }
    }

    /// Closes own backlogs, largest first, down to the relief mark or to the
    /// size of somebody else's largest.
    fn shed(&mut self) {
        let mut backlogs = self.backlogged.sizes(&mut self.conns);
        backlogs.sort_unstable();
        self.shared.outboxes.set_largest(self.index, 0);
        let (_, others_largest) = self.shared.outboxes.largest();
        while self.shared.outboxes.used_bytes() > self.shared.outboxes.relief_bytes()
            && let Some((bytes, slot)) = backlogs.pop_if(|(bytes, _)| *bytes >= others_largest)
        {
            if matches!(self.conns[slot].state, State::Open(_)) {
                self.close_slow(slot, Cause::Shed);
            }
            // A frame that was begun is kept when the rest is dropped. If it is
            // most of the backlog, or the peer had its chance, nothing is freed:
            // without this the next largest would have to pay for it.
            if self.conns[slot].backlog_bytes() > bytes / 2 {
                self.lose(slot, Cause::Shed);
            }
        }
        let largest = backlogs.last().map_or(0, |(bytes, _)| *bytes);
        self.shared.outboxes.set_largest(self.index, largest);
        // If others hold the rest, the next turn asks them.
        self.overdrawn = self.shared.outboxes.is_spent() && largest < others_largest;
    }
}

impl Conn {
    /// Whether the backlog is above its bounds after frames of which one may be large.
    fn is_slow(&mut self, is_large: bool, (usual_bytes, frame_bytes): (usize, usize)) -> bool {
        let Some(outbox) = &mut self.outbox else { return false };
        if is_large {
            outbox.note_large();
        }
        outbox.is_above(usual_bytes, frame_bytes)
    }

    /// Keeps what the kernel did not take of `frames`, from byte `written` on.
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

/// Offers bytes to the kernel; 0 when it takes nothing now.
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
