//! Orders from other threads.

use super::Reactor;
use super::sweep::Sweep;
use crate::envelope::Frame;
use crate::limits::{FANOUT_PER_TURN, MAIL_PER_TURN};
use crate::link::Mail;

/// A message to one connection, waiting for the others of its turn.
pub(super) struct Staged {
    slot: u32,
    serial: u32,
    frame: Frame,
}

impl Reactor {
    /// Takes a bounded number of orders. Messages to the same connection are
    /// put together, so that they leave in one `writev`.
    pub(super) fn take_mail(&mut self) {
        self.rooms.steps = FANOUT_PER_TURN;
        let mut taken = 0;
        while taken < MAIL_PER_TURN {
            if self.has_enough_sweeps() {
                break;
            }
            let Some(mail) = self.mailbox.take() else { break };
            taken += 1;
            match mail {
                Mail::Deliver { slot, serial, frame } => {
                    // A broadcast that came before goes first, as far as this
                    // turn's steps reach; one to a large room is overtaken.
                    self.fan_out();
                    self.staged.push(Staged { slot, serial, frame });
                }
                Mail::Fanout(fanout) => {
                    self.deliver_staged();
                    if let Some(room) = self.shared.hub.directory.room_of(fanout.app) {
                        let announcer = &self.shared.hub.announcer;
                        self.rooms.queue(room, fanout, |fanout| announcer.is_due(fanout));
                    }
                }
                Mail::Canary(number) => self.stats().canary.set(number),
                Mail::Shed => (self.overdrawn, self.held.is_pressed) = (true, true),
                Mail::Reload => self.reload(),
                Mail::Replaced { slot, serial } => self.replace(slot, serial),
                Mail::Displaced { slot, serial } => {
                    // What was sent to it before goes first.
                    self.deliver_staged();
                    if self.conns.get(slot, serial).is_some() {
                        self.tell_displaced(slot);
                    }
                }
                Mail::Kick(kick) => self.begin_sweep(Sweep::Kick(kick)),
                Mail::Trace(trace) => self.begin_trace(trace),
                Mail::Find(find) => self.begin_sweep(Sweep::Find(find)),
                Mail::EndTrace(id) => self.end_trace(id),
                Mail::Clients { from, to } => {
                    // Whoever asked may have gone; the box has room for one page.
                    let _told = to.try_send(self.clients(from));
                }
                Mail::Drain => self.begin_stop(),
            }
        }
        self.stats().mail.add(taken as u64);
        self.deliver_staged();
    }

    /// Whether orders wait that the next turn takes.
    pub(super) fn takes_mail(&self) -> bool {
        self.mailbox.depth() > 0 && !self.has_enough_sweeps()
    }

    fn deliver_staged(&mut self) {
        let mut staged = std::mem::take(&mut self.staged);
        // Stable: messages to one connection keep their order.
        staged.sort_by_key(|message| message.slot);
        for group in staged.chunk_by(|a, b| (a.slot, a.serial) == (b.slot, b.serial)) {
            let Staged { slot, serial, .. } = group[0];
            if self.conns.get(slot, serial).is_none_or(|conn| !conn.is_open()) {
                self.stats().undeliverable.add(group.len() as u64);
                continue;
            }
            let frames: Vec<&Frame> = group.iter().map(|message| &message.frame).collect();
            self.send_frames(slot, &frames);
        }
        staged.clear();
        self.staged = staged;
    }
}
