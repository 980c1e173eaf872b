//! What connections keep of requests, records and messages that have not wholly arrived, and
//! which of them end when all together keep too much.

use super::Reactor;
use super::conn::Conns;
use crate::connection::{Ending, Mark, append_no_room};
use crate::metrics::Cause;
use crate::websocket::close;

/// The connections of a reactor that keep such bytes.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Each of them once, and some that have kept something lately: those in it are marked.
    conns: Vec<(u32, u32)>,
    /// Bytes that they keep.
    bytes: usize,
    /// The budget was found nearly spent.
    pub(super) is_pressed: bool,
}

impl Held {
    /// The connections that keep something: the weight and the slot of each. Others are forgotten.
    fn weights(&mut self, conns: &mut Conns, tick: u32) -> Vec<(u64, u32)> {
        let mut weights = Vec::new();
        self.conns.retain(|(slot, serial)| {
            let Some(conn) = conns.get(*slot, *serial) else { return false };
            let weight = conn.held_weight(tick);
            conn.marks.set(Mark::Holding, weight > 0);
            if weight > 0 {
                weights.push((weight, *slot));
            }
            weight > 0
        });
        weights
    }

    /// Whether connections are to be forgotten that keep nothing any more.
    fn is_stale(&self, connections: usize) -> bool {
        self.conns.len() > 2 * connections + 64
    }
}

impl Reactor {
    /// Books that a connection keeps `after` bytes where it kept `before`.
    pub(super) fn hold(&mut self, slot: u32, before: usize, after: usize) {
        if before == after {
            return;
        }
        let assemblies = &self.shared.assemblies;
        assemblies.change(before, after);
        self.held.bytes = (self.held.bytes + after).saturating_sub(before);
        assemblies.set_largest(self.index, self.held.bytes);
        if after < before {
            return;
        }
        self.held.is_pressed |= assemblies.is_pressed();
        let serial = self.conns.serial(slot);
        let connection = &mut self.conns[slot];
        if !connection.marks.has(Mark::Holding) {
            connection.marks.set(Mark::Holding, true);
            self.held.conns.push((slot, serial));
            if self.held.is_stale(self.conns.len()) {
                let _heaviest = self.held.weights(&mut self.conns, self.tick);
            }
        }
    }

    /// Whether a connection that has just kept more must end: the budget is spent, and even the
    /// end of those that keep most did not help.
    pub(super) fn is_overfull(&mut self, slot: u32) -> bool {
        if !self.shared.assemblies.is_spent() {
            return false;
        }
        let own = self.conns[slot].held_weight(self.tick);
        self.relieve_held_but(Some((own, slot)));
        self.shared.assemblies.is_spent()
    }

    /// When the budget is nearly spent, the reactor that keeps most gives back first.
    pub(super) fn relieve_held(&mut self) {
        self.relieve_held_but(None);
    }

    /// The same; no connection ends for this one that weighs less, and it does not end itself.
    fn relieve_held_but(&mut self, spared: Option<(u64, u32)>) {
        if !std::mem::take(&mut self.held.is_pressed) || !self.shared.assemblies.is_pressed() {
            return;
        }
        let (reactor, _) = self.shared.assemblies.largest();
        if reactor == self.index {
            self.shed_held(spared);
        } else {
            self.shared.hub.router.ask_to_shed(reactor);
        }
    }

    /// Ends connections, those first that keep most and have done so longest, until enough is
    /// free or another reactor keeps more.
    fn shed_held(&mut self, spared: Option<(u64, u32)>) {
        let mut weights = self.held.weights(&mut self.conns, self.tick);
        if let Some(spared) = spared {
            weights.retain(|(weight, slot)| *weight >= spared.0 && *slot != spared.1);
        }
        weights.sort_unstable();
        let assemblies = &self.shared.assemblies;
        assemblies.set_largest(self.index, 0);
        let (_, others_largest) = assemblies.largest();
        while self.shared.assemblies.used_bytes() > self.shared.assemblies.eased_bytes()
            && self.held.bytes >= others_largest
            && let Some((_, slot)) = weights.pop()
        {
            self.shed_one(slot);
        }
        self.shared.assemblies.set_largest(self.index, self.held.bytes);
        // If another reactor keeps the rest, the next turn asks it.
        self.held.is_pressed =
            self.shared.assemblies.is_pressed() && self.held.bytes < others_largest;
    }

    /// Ends a connection for what it keeps.
    pub(super) fn shed_one(&mut self, slot: u32) {
        let connection = &self.conns[slot];
        if connection.is_open() {
            let reason = "out of memory for messages";
            self.close(slot, Cause::AssemblyBudget, close::TRY_AGAIN, reason);
        } else if connection.keeps_head() {
            let mut answer = Vec::new();
            append_no_room(&mut answer);
            self.send_bytes(slot, &answer);
            self.end(slot, Ending::linger(Cause::AssemblyBudget));
        } else if connection.is_alive() {
            self.lose(slot, Cause::AssemblyBudget);
        }
    }
}
