//! Leave to work at large broadcasts, so that no more reactors do than there are cores.

use super::Reactor;
use crate::limits::FANOUT_TURNS_PER_PERMIT;

/// How a reactor stands to the permit for large broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permit {
    /// It has none and needs none.
    None,
    /// It waits, asleep if there is nothing else to do.
    Asked,
    /// It has one, since so many turns.
    Held(u32),
}

impl Reactor {
    /// Whether the next turn can take steps of a broadcast.
    pub(super) fn may_fan_out(&self) -> bool {
        self.rooms.has_small_waves() || self.rooms.has_large_waves() && self.permit != Permit::Asked
    }

    /// Whether a permit was handed to this reactor that it has not taken yet.
    pub(super) fn permit_has_come(&self) -> bool {
        self.permit == Permit::Asked && self.shared.fanouts.has_come(self.index)
    }

    /// Whether a permit is at hand; asks for one if need be.
    pub(super) fn obtain_permit(&mut self) -> bool {
        let fanouts = &self.shared.fanouts;
        let has = match self.permit {
            Permit::Held(_) => return true,
            Permit::Asked => fanouts.collect(self.index),
            Permit::None => fanouts.ask(self.index),
        };
        self.permit = if has { Permit::Held(0) } else { Permit::Asked };
        has
    }

    /// At the end of a turn: the permit goes on when the work is done, or when
    /// it was held for long enough and others wait.
    pub(super) fn hand_permit_on(&mut self) {
        let Permit::Held(turns) = self.permit else { return };
        let turns = turns + 1;
        let has_more = self.rooms.has_large_waves();
        let is_next = turns >= FANOUT_TURNS_PER_PERMIT && self.shared.fanouts.is_wanted(self.index);
        if has_more && !is_next {
            self.permit = Permit::Held(turns);
            return;
        }
        self.permit = Permit::None;
        self.rouse(self.shared.fanouts.give_back(self.index));
        if has_more {
            self.obtain_permit();
        }
    }

    /// At the end of the reactor: others must not wait for it.
    pub(super) fn renounce_permit(&mut self) {
        let fanouts = &self.shared.fanouts;
        let next = match self.permit {
            Permit::None => None,
            Permit::Asked => fanouts.withdraw(self.index),
            Permit::Held(_) => fanouts.give_back(self.index),
        };
        self.permit = Permit::None;
        self.rouse(next);
    }

    fn rouse(&self, next: Option<u16>) {
        if let Some(next) = next {
            self.shared.hub.router.rouse(next);
        }
    }
}
