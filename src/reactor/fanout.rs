//! One message to many, a bounded number of them a turn.
//!
//! A broadcast is not a loop over a million sockets: each reactor walks the
//! members of the app with a cursor, so that heartbeats and single messages
//! stay fast meanwhile. Broadcasts that wait for the same members travel
//! together: each member is written to once, with one `writev` for all.
//!
//! A large one is work for a core, not for a thread: no more reactors do it at
//! a time than there are cores ([`super::permit`]).

use super::Reactor;
use super::members::Members;
use super::permit::Permit;
use crate::envelope::Frame;
use crate::limits::{
    FANOUT_FIRST_STRETCH, FANOUT_PER_TURN, FANOUT_WITHOUT_PERMIT, FRAMES_PER_WAVE,
};
use crate::link::Fanout;
use std::collections::VecDeque;
use std::sync::Arc;

/// The apps of a reactor: who is in them, and what they wait for.
#[derive(Debug)]
pub(super) struct Rooms {
    rooms: Vec<Room>,
    /// Rooms with a wave to a few members, in the order of their turns.
    small: VecDeque<usize>,
    /// Rooms with a wave to many, for which a permit is needed.
    large: VecDeque<usize>,
    /// Steps that this turn has left.
    pub(super) steps: usize,
}

#[derive(Debug, Default)]
struct Room {
    members: Members,
    /// What the members under the cursor are being sent.
    wave: Vec<Arc<Fanout>>,
    /// What the next wave will carry.
    queue: VecDeque<Arc<Fanout>>,
}

impl Rooms {
    pub(super) fn new(apps: usize) -> Self {
        let rooms = (0..apps).map(|_| Room::default()).collect();
        Self { rooms, small: VecDeque::new(), large: VecDeque::new(), steps: 0 }
    }

    /// A room that was added since the start is made when its first member comes.
    pub(super) fn join(&mut self, room: usize, slot: u32) -> u32 {
        if room >= self.rooms.len() {
            self.rooms.resize_with(room + 1, Room::default);
        }
        self.rooms[room].members.push(slot)
    }

    pub(super) fn leave(&mut self, room: usize, member: u32, moved: impl FnMut(u32, u32)) {
        self.rooms[room].members.remove(member, moved);
    }

    pub(super) fn has_small_waves(&self) -> bool {
        !self.small.is_empty()
    }

    pub(super) fn has_large_waves(&self) -> bool {
        !self.large.is_empty()
    }

    /// Whether the next wave with a permit is to more than a turn can write to.
    fn have_long_wave(&self) -> bool {
        let next = self.large.front().map(|room| self.rooms[*room].members.len());
        next.is_some_and(|members| members > FANOUT_PER_TURN)
    }

    /// Queues a broadcast for those who are members when its wave begins,
    /// which is at once if no other is under way.
    pub(super) fn queue(
        &mut self,
        room: usize,
        fanout: Arc<Fanout>,
        is_due: impl Fn(&Fanout) -> bool,
    ) {
        let Some(here) = self.rooms.get_mut(room).filter(|here| !here.members.is_empty()) else {
            return;
        };
        let idle = here.wave.is_empty() && here.queue.is_empty();
        here.queue.push_back(fanout);
        if idle {
            self.begin_wave(room, is_due);
        }
    }

    /// Begins the next wave of a room and gives it its place in the order of turns.
    fn begin_wave(&mut self, room: usize, is_due: impl Fn(&Fanout) -> bool) {
        let here = &mut self.rooms[room];
        here.begin_wave(is_due);
        if !here.wave.is_empty() {
            let is_small = here.members.len() <= FANOUT_WITHOUT_PERMIT;
            if is_small { &mut self.small } else { &mut self.large }.push_back(room);
        }
    }
}

impl Room {
    /// Takes what is still due from the queue, and the members as they are
    /// now.
    fn begin_wave(&mut self, is_due: impl Fn(&Fanout) -> bool) {
        while self.wave.len() < FRAMES_PER_WAVE
            && let Some(fanout) = self.queue.pop_front()
        {
            if is_due(&fanout) {
                self.wave.push(fanout);
            }
        }
        self.members.begin_wave();
    }
}

impl Reactor {
    /// Takes the next steps of the waves under way, one room after the other,
    /// as many as this turn has left: small ones first.
    pub(super) fn fan_out(&mut self) {
        while self.rooms.steps > 0
            && let Some(room) = self.rooms.small.pop_front()
        {
            if !self.continue_wave(room) {
                self.rooms.small.push_front(room);
            }
        }
        let in_cluster = self.shared.events.is_some();
        let begins_long_work =
            in_cluster && self.permit == Permit::None && self.rooms.have_long_wave();
        if begins_long_work {
            self.rooms.steps = self.rooms.steps.min(FANOUT_FIRST_STRETCH);
        }
        while self.rooms.steps > 0
            && self.rooms.has_large_waves()
            && self.obtain_permit()
            && let Some(room) = self.rooms.large.pop_front()
        {
            // With several rooms under way each gets its turn.
            if !self.continue_wave(room) {
                self.rooms.large.push_back(room);
            }
        }
        if begins_long_work {
            // Other nodes that share the core have a moment: their first receivers need not
            // wait until a slice of the scheduler is over.
            std::thread::yield_now();
        }
    }

    /// True when the wave is over; the room has its place in the order anew if it has another.
    fn continue_wave(&mut self, room: usize) -> bool {
        // Taken out for the time being, so that the frames need not be cloned
        // for each recipient: their counts are shared by all reactors.
        let wave = std::mem::take(&mut self.rooms.rooms[room].wave);
        let mut meant = Vec::with_capacity(wave.len());
        let mut is_over = false;
        while self.rooms.steps > 0 {
            let Some(slot) = self.rooms.rooms[room].members.step() else {
                is_over = true;
                break;
            };
            self.rooms.steps -= 1;
            meant.clear();
            meant.extend(self.meant_for(slot, &wave));
            self.send_frames(slot, &meant);
        }
        self.rooms.rooms[room].wave = wave;
        if is_over {
            self.end_wave(room);
        }
        is_over
    }

    /// What of a wave the user on `slot` gets: nothing of what is from or
    /// about the same user, and nothing at all if a newer login has come.
    fn meant_for<'w>(
        &self,
        slot: u32,
        wave: &'w [Arc<Fanout>],
    ) -> impl Iterator<Item = &'w Frame> + use<'w, '_> {
        let user = self.conns[slot].user().filter(|user| !user.is_displaced());
        let wave = wave.iter().map(move |fanout| (fanout, user));
        wave.filter(|(fanout, user)| user.is_some_and(|user| fanout.except != user.id))
            .map(|(fanout, _)| &fanout.frame)
    }

    fn end_wave(&mut self, room: usize) {
        self.stats().fanout_waves.add(1);
        let here = &mut self.rooms.rooms[room];
        here.wave.clear();
        let announcer = &self.shared.hub.announcer;
        self.rooms.begin_wave(room, |fanout| announcer.is_due(fanout));
    }
}
