//! Who hears of arrivals and departures: everybody in a small room, and a
//! digest in a large one, so that a million logins do not become a storm.

use super::directory::{Arrival, Noted};
use super::router::Router;
use crate::clock::FreshId;
use crate::command::push;
use crate::envelope::{Envelope, Frame};
use crate::id::UserId;
use crate::link::Fanout;
use crate::session::User;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Tells rooms who came and went.
#[derive(Debug)]
pub struct Announcer {
    router: Arc<Router>,
    ids: FreshId,
    exact_up_to: usize,
    silent: AtomicBool,
}

impl Announcer {
    /// Rooms of up to `exact_up_to` users hear of each one; 0 means none does.
    #[must_use]
    pub fn new(router: Arc<Router>, exact_up_to: usize) -> Self {
        Self { router, ids: FreshId::default(), exact_up_to, silent: AtomicBool::new(false) }
    }

    /// From now on nothing is announced: the node stops, and everybody goes.
    pub fn silence(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// A user has come, or has changed the connection: a small room hears of
    /// both, as from the reference; the digest counts who is new.
    pub fn arrived(&self, user: &User, arrival: Arrival) {
        if !self.told_exactly(user, arrival.members, "enter", "哈喽~") && arrival.is_new {
            self.router.directory().note_joined(user.app);
        }
    }

    /// A user has gone, who leaves the room `members` strong.
    pub fn departed(&self, user: &User, members: usize) {
        if !self.told_exactly(user, members, "exit", "用户已经离开~") {
            self.router.directory().note_left(user.app);
        }
    }

    /// Tells the room, if it is small enough and every reactor took the order;
    /// what could not be told goes into the digest.
    fn told_exactly(&self, user: &User, members: usize, cmd: &str, msg: &str) -> bool {
        if self.silent.load(Ordering::Relaxed) {
            return true;
        }
        if members > self.exact_up_to {
            return false;
        }
        if members == 0 {
            return true;
        }
        let seq = self.ids.next().to_string();
        let frame = push::envelope(&Envelope { seq: &seq, cmd, msg, from: &user.id });
        self.router.fan_out(Fanout { app: user.app, except: user.id.clone(), frame }).is_ok()
    }

    /// Sends the digests that are due.
    pub fn send_digests(&self, digests: &mut Digests, now: Duration) {
        if self.silent.load(Ordering::Relaxed) {
            return;
        }
        for digest in digests.due(self.router.directory().noted(), now) {
            let frame = self.encode(&digest);
            let fanout = Fanout { app: digest.app, except: UserId::default(), frame };
            if self.router.fan_out(fanout).is_ok() {
                self.router.metrics().shared.digests.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn encode(&self, digest: &Noted) -> Frame {
        push::presence(self.ids.next(), digest.joined, digest.left, digest.online)
    }
}

/// When each room gets its next digest.
///
/// Every waiting room may spend an equal share of `per_second` messages: a
/// digest to a room of n users is n messages, so with k rooms waiting the next
/// one may follow after n·k / `per_second` seconds, and all digests together
/// stay below `per_second`. Never more often than once a second.
#[derive(Debug)]
pub struct Digests {
    per_second: u64,
    rooms: Vec<Told>,
}

/// What a room was told last.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    joined: u64,
    left: u64,
    /// No digest before this time.
    not_before: Duration,
}

const DIGEST_INTERVAL_MIN: Duration = Duration::from_secs(1);

impl Digests {
    /// Digests that may cost `per_second` messages together; 0 means there are none.
    #[must_use]
    pub fn new(per_second: u64) -> Self {
        Self { per_second, rooms: Vec::new() }
    }

    /// The digests due at `now`: what has changed since each room's last one.
    /// Rooms come in the same order each time.
    fn due(&mut self, rooms: impl Iterator<Item = Noted>, now: Duration) -> Vec<Noted> {
        if self.per_second == 0 {
            return Vec::new();
        }
        let rooms: Vec<Noted> = rooms.collect();
        self.rooms.resize(rooms.len(), Told::default());
        let changed = |(noted, told): &(&Noted, &Told)| {
            noted.joined != told.joined || noted.left != told.left
        };
        let waiting = rooms.iter().zip(&self.rooms).filter(changed).count();
        let mut due = Vec::new();
        for (noted, told) in rooms.iter().zip(&mut self.rooms) {
            if !changed(&(noted, told)) || now < told.not_before {
                continue;
            }
            due.push(Noted {
                joined: noted.joined - told.joined,
                left: noted.left - told.left,
                ..*noted
            });
            let not_before = now + interval(noted.online, waiting, self.per_second);
            *told = Told { joined: noted.joined, left: noted.left, not_before };
        }
        due
    }
}

/// Time between two digests of a room of `online` users while `waiting` rooms
/// share the allowance.
fn interval(online: usize, waiting: usize, per_second: u64) -> Duration {
    let messages = online as u64 * waiting as u64;
    Duration::from_millis(messages * 1_000 / per_second).max(DIGEST_INTERVAL_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AppId;

    fn noted(app: u32, joined: u64, left: u64, online: usize) -> Noted {
        Noted { app: AppId(app), joined, left, online }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_digest_tells_what_is_new_since_the_last() {
        let mut digests = Digests::new(10_000);
        assert_eq!(digests.due([noted(1, 5, 1, 4)].into_iter(), at(0)), [noted(1, 5, 1, 4)]);
        assert_eq!(digests.due([noted(1, 5, 1, 4)].into_iter(), at(9)), []);
        assert_eq!(digests.due([noted(1, 7, 2, 5)].into_iter(), at(9)), [noted(1, 2, 1, 5)]);
    }

    #[test]
    fn the_interval_grows_with_the_room() {
        assert_eq!(interval(2_000, 1, 10_000), at(1));
        assert_eq!(interval(100_000, 1, 10_000), at(10));
        assert_eq!(interval(1_000_000, 1, 10_000), at(100));
        assert_eq!(interval(1_000_000, 4, 10_000), at(400));
    }

    #[test]
    fn all_digests_together_stay_below_the_allowance() {
        let mut digests = Digests::new(10_000);
        let sizes = [3_000_u64, 50_000, 400_000];
        let mut messages = 0;
        let seconds = 4_000;
        for second in 0..seconds {
            let rooms = sizes
                .iter()
                .zip(1..)
                .map(|(size, app)| noted(app, second + 1, 0, usize::try_from(*size).unwrap()));
            let due = digests.due(rooms, at(second));
            messages += due.iter().map(|digest| digest.online as u64).sum::<u64>();
        }
        let first = sizes.iter().sum::<u64>();
        assert!(messages <= 10_000 * seconds + first, "{messages}");
        assert!(messages >= 8_000 * seconds, "the allowance is used: {messages}");
    }

    #[test]
    fn an_allowance_of_nothing_means_no_digests() {
        assert_eq!(Digests::new(0).due([noted(1, 5, 1, 4)].into_iter(), at(0)), []);
    }
}
