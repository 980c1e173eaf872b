//! New settings, taken up while connections are open.

use super::Reactor;
use crate::limits::REFILED_PER_TURN;

impl Reactor {
    /// Takes the settings of now. Longer time-outs need nothing else: whoever
    /// comes due by the old ones is filed anew. By shorter ones somebody may be
    /// due whom the wheel knows for later, and by lower bounds have too many connections.
    pub(super) fn reload(&mut self) {
        let before = std::mem::replace(&mut self.settings, self.shared.settings.get());
        if self.settings.is_stricter_than(&before) {
            self.refile_from = Some(0);
        }
    }

    /// Counts a user's connection that came before they were bounded, and closes the oldest above
    /// the bound.
    fn bound_user(&self, slot: u32) {
        let Some(max) = self.settings.user_conns_max else { return };
        let user = self.conns[slot].user().cloned();
        let Some(user) = user else { return };
        for oldest in self.shared.hub.seats.settle(&user, max) {
            self.shared.hub.router.replace(oldest);
        }
    }

    /// Files the next few anew.
    pub(super) fn refile(&mut self) {
        let Some(from) = self.refile_from else { return };
        let next: Vec<u32> = self.conns.slots_from(from).take(REFILED_PER_TURN).collect();
        self.refile_from = match next.last() {
            Some(last) if next.len() == REFILED_PER_TURN => Some(last + 1),
            _ => None,
        };
        for slot in next {
            if !self.conns[slot].is_dead() {
                self.file(slot);
                self.book_late(slot);
                self.bound_user(slot);
            }
        }
    }
}
