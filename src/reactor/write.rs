//! From frames to the kernel, and what happens when it takes no more.

use super::Reactor;
use super::reading::Waits;
use crate::connection::{Ending, Mark, Sent};
use crate::envelope::Frame;
use crate::limits::FRAMES_PER_WAVE;
use crate::metrics::Cause;
use crate::websocket::close;

impl Reactor {
    /// Sends replies to what the client has sent itself. They are bounded by
    /// what one read can bring, and the next read waits until they are taken.
    pub(super) fn send_bytes(&mut self, slot: u32, bytes: &[u8]) {
        self.offer_bytes(slot, bytes);
        if self.conns[slot].marks.has(Mark::Traced) {
            self.trace_out(slot, bytes);
        }
    }

    fn offer_bytes(&mut self, slot: u32, bytes: &[u8]) {
        let (connection, socket) = self.conns.with_socket(slot);
        let before = connection.backlog_bytes();
        let written = connection.send(bytes, socket);
        self.recharge(slot, before);
        match written {
            Ok(written) => self.stats().bytes_out.add(written as u64),
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
            if self.conns[slot].marks.has(Mark::Traced) {
                some.iter().for_each(|frame| self.trace_out(slot, frame.as_bytes()));
            }
        }
    }

    fn send_few_frames(&mut self, slot: u32, frames: &[&Frame]) {
        let (connection, socket) = self.conns.with_socket(slot);
        let before = connection.backlog_bytes();
        let sent = connection.send_frames(frames, &self.settings.connection, socket);
        self.recharge(slot, before);
        match sent {
            Ok(Sent { written, is_slow }) => {
                self.stats().bytes_out.add(written as u64);
                if is_slow {
                    self.close_slow(slot, Cause::Slow);
                }
            }
            Err(_) => self.lose(slot, Cause::Reset),
        }
    }

    /// Writes a backlog, as far as the kernel takes it.
    pub(super) fn flush(&mut self, slot: u32) {
        let serial = self.conns.serial(slot);
        let (connection, socket) = self.conns.with_socket(slot);
        if !connection.has_backlog() {
            return;
        }
        let before = connection.backlog_bytes();
        let written = connection.flush(socket);
        if connection.resumes(&self.settings.connection) {
            self.reading.push(Waits::Greedy, (slot, serial));
        }
        let has_backlog = connection.has_backlog();
        self.recharge(slot, before);
        match written {
            Ok(written) => {
                self.stats().bytes_out.add(written as u64);
                if !has_backlog {
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
        let connection = &mut self.conns[slot];
        let before = connection.backlog_bytes();
        connection.cut_backlog(close::SLOW, "slow consumer");
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
            if self.conns[slot].is_open() {
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
