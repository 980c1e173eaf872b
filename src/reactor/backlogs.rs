//! Which connections have the largest backlogs: looked for once a second, and
//! only among those that have one.

use super::Reactor;
use super::conn::Conns;
use crate::connection::Mark;
use crate::limits::BACKLOGS_SHOWN;
use crate::link::Backlog;

/// The connections that have, or had within the last second, a backlog.
#[derive(Debug, Default)]
pub(super) struct Backlogged {
    /// Each of them once: those in it are marked.
    conns: Vec<(u32, u32)>,
    /// Tick of the last look.
    looked: u32,
    /// Something was published that is not empty.
    has_published: bool,
}

impl Backlogged {
    /// The backlogs of now: bytes and slot of each. Connections that have none any more are
    /// forgotten.
    pub(super) fn sizes(&mut self, conns: &mut Conns) -> Vec<(usize, u32)> {
        let mut sizes = Vec::new();
        self.conns.retain(|(slot, serial)| {
            let Some(conn) = conns.get(*slot, *serial) else { return false };
            let bytes = conn.backlog_bytes();
            conn.marks.set(Mark::Backlogged, bytes > 0);
            if bytes > 0 {
                sizes.push((bytes, *slot));
            }
            bytes > 0
        });
        sizes
    }
}

impl Reactor {
    /// A connection has a backlog from here on.
    pub(super) fn note_backlog(&mut self, slot: u32) {
        let serial = self.conns.serial(slot);
        let connection = &mut self.conns[slot];
        if !connection.marks.has(Mark::Backlogged) {
            connection.marks.set(Mark::Backlogged, true);
            self.backlogged.conns.push((slot, serial));
        }
    }

    /// Whether there is something to look at when the second is over.
    pub(super) fn has_to_publish_backlogs(&self) -> bool {
        !self.backlogged.conns.is_empty() || self.backlogged.has_published
    }

    /// Publishes the largest, if a second has passed.
    pub(super) fn publish_backlogs(&mut self) {
        if self.backlogged.looked == self.tick || !self.has_to_publish_backlogs() {
            return;
        }
        let mut sizes = self.backlogged.sizes(&mut self.conns);
        if sizes.len() > BACKLOGS_SHOWN {
            sizes.select_nth_unstable_by(BACKLOGS_SHOWN, |a, b| b.cmp(a));
            sizes.truncate(BACKLOGS_SHOWN);
        }
        let largest: Vec<Backlog> =
            sizes.into_iter().map(|(bytes, slot)| self.backlog(slot, bytes)).collect();
        self.backlogged.looked = self.tick;
        self.backlogged.has_published = !largest.is_empty();
        self.shared.backlogs.publish(self.index, largest);
    }

    fn backlog(&self, slot: u32, bytes: usize) -> Backlog {
        let user = self.conns[slot].user().cloned();
        Backlog { conn: self.id(slot), user, client: self.client(slot), bytes }
    }
}
