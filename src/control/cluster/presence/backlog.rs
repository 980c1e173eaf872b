//! What waits to be written: the last that happened to each user, in the order
//! of events. No I/O, no clock.

use super::super::redis::script::Verb;
use crate::id::UserKey;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

/// A bounded queue in which a later event of a user takes the place of an
/// earlier one. What is under way holds back what comes next for the same user,
/// so that Redis sees the events of a user in order.
#[derive(Debug)]
pub(super) struct Backlog {
    entries_max: usize,
    waiting: HashMap<UserKey, Change>,
    /// The users of `waiting`, each once.
    order: VecDeque<UserKey>,
    under_way: HashSet<UserKey>,
}

/// What is to be written for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) verb: Verb,
    /// Since when Redis is wrong about the user.
    pub(super) since: Duration,
}

/// There was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Backlog {
    pub(super) fn new(entries_max: usize) -> Self {
        let (waiting, order, under_way) = Default::default();
        Self { entries_max, waiting, order, under_way }
    }

    /// Notes what has happened to a user at the time `at`.
    pub(super) fn note(&mut self, user: UserKey, verb: Verb, at: Duration) -> Result<(), Full> {
        if let Some(change) = self.waiting.get_mut(&user) {
            // It keeps its place. What is written for somebody who came or went says the rest.
            if !matches!(verb, Verb::Claim | Verb::Keep) {
                change.verb = verb;
            }
            return Ok(());
        }
        if self.waiting.len() >= self.entries_max {
            return Err(Full);
        }
        self.order.push_back(user.clone());
        self.waiting.insert(user, Change { verb, since: at });
        Ok(())
    }

    /// The next users to be written, at most `max`, none of whom is under way.
    pub(super) fn take(&mut self, max: usize) -> Vec<(UserKey, Change)> {
        let (mut taken, mut held) = (Vec::new(), Vec::new());
        while taken.len() < max {
            let Some(user) = self.order.pop_front() else { break };
            if self.under_way.contains(&user) {
                held.push(user);
            } else if let Some(change) = self.waiting.remove(&user) {
                self.under_way.insert(user.clone());
                taken.push((user, change));
            }
        }
        for user in held.into_iter().rev() {
            self.order.push_front(user);
        }
        taken
    }

    /// Holds back what happens to a user while a renewal is under way; false if
    /// something waits, or is under way, that makes the renewal superfluous.
    pub(super) fn begin_renewal(&mut self, user: &UserKey) -> bool {
        !self.waiting.contains_key(user) && self.under_way.insert(user.clone())
    }

    /// What was under way for a user has been written.
    pub(super) fn finish(&mut self, user: &UserKey) {
        self.under_way.remove(user);
    }

    /// What was under way for a user may not have been written: it is put back,
    /// unless something newer waits.
    pub(super) fn fail(&mut self, user: UserKey, change: Change) {
        self.under_way.remove(&user);
        if !self.waiting.contains_key(&user) {
            // Its bound is passed by what was under way alone.
            self.order.push_front(user.clone());
            self.waiting.insert(user, change);
        }
    }

    /// What was under way has come to nothing. Those who forget it tell everything again.
    pub(super) fn forget_under_way(&mut self) {
        self.under_way.clear();
    }

    /// Since when the first waits; hardly anybody waits longer.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.waiting.get(self.order.front()?).map(|change| change.since)
    }

    /// Users who wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether something about this user waits, or is under way.
    pub(super) fn is_pending(&self, user: &UserKey) -> bool {
        self.waiting.contains_key(user) || self.under_way.contains(user)
    }

    /// True when nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AppId;
    use proptest::prelude::*;

    const T: fn(u64) -> Duration = Duration::from_secs;

    fn key(name: &str) -> UserKey {
        UserKey { app: AppId(101), user: name.into() }
    }

    fn verbs(taken: &[(UserKey, Change)]) -> Vec<(&str, Verb)> {
        taken.iter().map(|(user, change)| (user.user.as_str(), change.verb)).collect()
    }

    #[test]
    fn the_last_event_of_a_user_counts_and_the_order_of_users_stays() {
        let mut backlog = Backlog::new(10);
        backlog.note(key("a"), Verb::Arrive(None), T(1)).unwrap();
        backlog.note(key("b"), Verb::Arrive(None), T(2)).unwrap();
        backlog.note(key("a"), Verb::Depart, T(3)).unwrap();
        assert_eq!(backlog.oldest(), Some(T(1)));
        let taken = backlog.take(10);
        assert_eq!(verbs(&taken), [("a", Verb::Depart), ("b", Verb::Arrive(None))]);
    }

    #[test]
    fn nothing_overtakes_what_is_under_way_for_the_same_user() {
        let mut backlog = Backlog::new(10);
        backlog.note(key("a"), Verb::Arrive(None), T(1)).unwrap();
        assert_eq!(backlog.take(10).len(), 1);
        backlog.note(key("a"), Verb::Depart, T(2)).unwrap();
        backlog.note(key("b"), Verb::Depart, T(3)).unwrap();
        assert!(!backlog.begin_renewal(&key("a")));
        assert_eq!(verbs(&backlog.take(10)), [("b", Verb::Depart)]);
        backlog.finish(&key("a"));
        assert_eq!(verbs(&backlog.take(10)), [("a", Verb::Depart)]);
        assert!(!backlog.is_idle());
        backlog.finish(&key("a"));
        backlog.finish(&key("b"));
        assert!(backlog.is_idle());
    }

    #[test]
    fn what_failed_comes_again_unless_something_newer_waits() {
        let mut backlog = Backlog::new(10);
        for name in ["a", "b"] {
            backlog.note(key(name), Verb::Depart, T(1)).unwrap();
        }
        let taken = backlog.take(10);
        backlog.note(key("a"), Verb::Arrive(None), T(2)).unwrap();
        for (user, change) in taken {
            backlog.fail(user, change);
        }
        let again = backlog.take(10);
        assert_eq!(verbs(&again), [("b", Verb::Depart), ("a", Verb::Arrive(None))]);
    }

    #[test]
    fn it_is_bounded_and_who_waits_may_still_change() {
        let mut backlog = Backlog::new(1);
        assert_eq!(backlog.note(key("a"), Verb::Depart, T(1)), Ok(()));
        assert_eq!(backlog.note(key("b"), Verb::Depart, T(1)), Err(Full));
        assert_eq!(backlog.note(key("a"), Verb::Arrive(None), T(1)), Ok(()));
        assert_eq!(backlog.len(), 1);
    }

    #[test]
    fn a_renewal_holds_back_what_happens_meanwhile() {
        let mut backlog = Backlog::new(10);
        assert!(backlog.begin_renewal(&key("a")));
        backlog.note(key("a"), Verb::Depart, T(1)).unwrap();
        assert!(backlog.take(10).is_empty());
        backlog.finish(&key("a"));
        assert_eq!(backlog.take(10).len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Note(u8, bool),
        Take(usize),
        /// Ends what has been under way for the longest; false if it failed.
        End(bool),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..4_u8, any::<bool>()).prop_map(|(user, is_here)| Step::Note(user, is_here)),
            (1..4_usize).prop_map(Step::Take),
            any::<bool>().prop_map(Step::End),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        /// Whatever fails and however it is mixed, the last event of each user is
        /// written last, and never are two of one user under way.
        #[test]
        fn in_the_end_redis_knows_what_happened_last(steps in steps()) {
            let mut backlog = Backlog::new(10);
            let (mut said, mut written) = (HashMap::new(), HashMap::new());
            let mut under_way: VecDeque<(UserKey, Change)> = VecDeque::new();
            let rest = (0..4).flat_map(|_| [Step::Take(9)].into_iter().chain((0..9).map(|_| Step::End(true))));
            for step in steps.into_iter().chain(rest) {
                match step {
                    Step::Note(user, is_here) => {
                        let verb = if is_here { Verb::Arrive(None) } else { Verb::Depart };
                        backlog.note(key(&user.to_string()), verb, T(1)).unwrap();
                        said.insert(key(&user.to_string()), verb);
                    }
                    Step::Take(max) => for (user, change) in backlog.take(max) {
                        prop_assert!(under_way.iter().all(|(other, _)| *other != user));
                        under_way.push_back((user, change));
                    },
                    Step::End(is_well) => match under_way.pop_front() {
                        Some((user, change)) if is_well => {
                            backlog.finish(&user);
                            written.insert(user, change.verb);
                        }
                        Some((user, change)) => backlog.fail(user, change),
                        None => {}
                    },
                }
            }
            prop_assert!(backlog.is_idle());
            prop_assert_eq!(said, written);
        }
    }
}
