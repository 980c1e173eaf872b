//! Orders that are about some of the connections: all are looked at, a bounded
//! number in a turn.

use super::Reactor;
use crate::limits::{KICKED_PER_TURN, SWEEPS_MAX, SWEPT_PER_TURN};
use crate::link::{Find, Kick, Trace, Whom};
use crate::metrics::Cause;
use crate::websocket::close;
use std::collections::VecDeque;
use std::sync::Arc;

/// The sweeps under way, each with the slot where it goes on.
pub(super) type Sweeps = VecDeque<(Sweep, u32)>;

/// What is done to those that are meant.
#[derive(Clone, Debug)]
pub(super) enum Sweep {
    Kick(Arc<Kick>),
    Trace(Arc<Trace>),
    Find(Arc<Find>),
}

impl Sweep {
    fn whom(&self) -> &Whom {
        match self {
            Self::Kick(kick) => &kick.whom,
            Self::Trace(trace) => &trace.whom,
            Self::Find(find) => &find.whom,
        }
    }

    /// Whether nobody waits for the rest of it.
    fn is_over(&self) -> bool {
        matches!(self, Self::Find(find) if find.tap.is_closed())
    }
}

impl Reactor {
    /// Whether so many sweeps wait that the mail has to wait as well.
    pub(super) fn has_enough_sweeps(&self) -> bool {
        self.sweeps.len() >= SWEEPS_MAX
    }

    /// Begins a sweep. One for a single connection is over at once.
    pub(super) fn begin_sweep(&mut self, sweep: Sweep) {
        match *sweep.whom() {
            Whom::Conn { slot, serial } if self.conns.get(slot, serial).is_some() => {
                self.do_to(slot, &sweep);
            }
            Whom::Conn { .. } => {}
            _ => self.sweeps.push_back((sweep, 0)),
        }
    }

    /// Takes the next step of the oldest sweep.
    pub(super) fn sweep(&mut self) {
        let Some((sweep, from)) = self.sweeps.pop_front() else { return };
        if sweep.is_over() {
            return;
        }
        let next: Vec<u32> = self.conns.slots_from(from).take(SWEPT_PER_TURN).collect();
        let is_last = next.len() < SWEPT_PER_TURN;
        let mut goes_on_at = next.last().filter(|_| !is_last).map(|last| last + 1);
        let mut done = 0;
        for slot in next {
            if done == KICKED_PER_TURN {
                goes_on_at = Some(slot);
                break;
            }
            if self.is_meant(slot, sweep.whom()) {
                self.do_to(slot, &sweep);
                done += 1;
            }
        }
        if let Some(slot) = goes_on_at {
            self.sweeps.push_front((sweep, slot));
        }
    }

    fn do_to(&mut self, slot: u32, sweep: &Sweep) {
        match sweep {
            Sweep::Kick(kick) => self.kick(slot, &kick.reason),
            Sweep::Trace(trace) => self.watch(slot, trace),
            Sweep::Find(find) => find.tap.tell(self.as_it_is(slot)),
        }
    }

    fn kick(&mut self, slot: u32, reason: &str) {
        if self.conns[slot].is_open() {
            self.close(slot, Cause::Kicked, close::KICKED, reason);
        } else if self.conns[slot].is_alive() {
            self.lose(slot, Cause::Kicked);
        }
    }

    /// Whether the connection in `slot` is one of these.
    pub(super) fn is_meant(&self, slot: u32, whom: &Whom) -> bool {
        let connection = &self.conns[slot];
        if !connection.is_alive() {
            return false;
        }
        let user = connection.user();
        match whom {
            Whom::Conn { slot: of, serial } => slot == *of && self.conns.serial(slot) == *serial,
            Whom::App(app) => user.is_some_and(|user| user.app == *app),
            Whom::User { app, user: name } => {
                user.is_some_and(|user| user.id == *name && app.is_none_or(|app| app == user.app))
            }
            Whom::Network(network) => self.client(slot).ip().is_some_and(|ip| network.contains(ip)),
        }
    }
}
