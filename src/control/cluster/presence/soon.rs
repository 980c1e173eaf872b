//! Renewals soon after a login, beside nodes of the reference. No I/O, no clock.
//!
//! Such a node writes a user off who has logged in elsewhere, when an older connection of the
//! user ends there. Mostly that is soon after the login.

use crate::id::UserKey;
use std::collections::VecDeque;
use std::time::Duration;

/// Pauses between a login and its renewals. Later on the round does it
/// ([`MIXED_ROUND`](super::rounds::MIXED_ROUND)).
const PAUSES: [Duration; 7] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(350),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(1_500),
];

/// Who is to be renewed when. Bounded: a login that finds no room waits for the round.
#[derive(Debug)]
pub(super) struct Soon {
    /// For each pause the users who wait for its end, in the order of these ends.
    waiting: [VecDeque<(Duration, UserKey)>; PAUSES.len()],
    len: usize,
    len_max: usize,
}

impl Soon {
    pub(super) fn new(len_max: usize) -> Self {
        Self { waiting: Default::default(), len: 0, len_max }
    }

    /// A user has logged in.
    pub(super) fn begin(&mut self, user: UserKey, now: Duration) {
        if self.len < self.len_max {
            self.len += 1;
            self.push(0, user, now);
        }
    }

    /// The next user whose renewal is due. `is_here` says whether a user is still to be renewed.
    pub(super) fn next(
        &mut self,
        now: Duration,
        is_here: impl Fn(&UserKey) -> bool,
    ) -> Option<UserKey> {
        for step in 0..PAUSES.len() {
            while self.waiting[step].front().is_some_and(|(due, _)| *due <= now)
                && let Some((_, user)) = self.waiting[step].pop_front()
            {
                let is_here = is_here(&user);
                if is_here && step + 1 < PAUSES.len() {
                    self.push(step + 1, user.clone(), now);
                } else {
                    self.len -= 1;
                }
                if is_here {
                    return Some(user);
                }
            }
        }
        None
    }

    fn push(&mut self, step: usize, user: UserKey, now: Duration) {
        self.waiting[step].push_back((now + PAUSES[step], user));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AppId;

    fn key(name: &str) -> UserKey {
        UserKey { app: AppId(101), user: name.into() }
    }

    /// Who is renewed at which time, in milliseconds, if somebody looks every 50.
    fn run(soon: &mut Soon, until: u64, is_here: impl Fn(&UserKey) -> bool) -> Vec<(u64, String)> {
        let mut renewed = Vec::new();
        for ms in (0..=until).step_by(50) {
            while let Some(user) = soon.next(Duration::from_millis(ms), &is_here) {
                renewed.push((ms, user.user.to_string()));
            }
        }
        renewed
    }

    #[test]
    fn a_login_is_renewed_some_times_and_then_no_more() {
        let mut soon = Soon::new(10);
        soon.begin(key("a"), Duration::ZERO);
        let times: Vec<u64> =
            run(&mut soon, 10_000, |_| true).into_iter().map(|(at, _)| at).collect();
        assert_eq!(times, [50, 150, 350, 700, 1_200, 2_200, 3_700]);
        assert_eq!(soon.len, 0);
    }

    #[test]
    fn who_has_left_is_forgotten_and_room_is_bounded() {
        let mut soon = Soon::new(2);
        for name in ["a", "gone", "late"] {
            soon.begin(key(name), Duration::ZERO);
        }
        let renewed = run(&mut soon, 10_000, |user| user.user.as_str() != "gone");
        assert_eq!(renewed.len(), PAUSES.len());
        assert!(renewed.iter().all(|(_, name)| name == "a"), "{renewed:?}");
        assert_eq!(soon.len, 0);
    }
}
