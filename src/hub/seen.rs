//! Memory of the message ids that were sent already.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Message ids of the last hours, at most so many.
///
/// Two independent keyed hashes (128 bits) stand for an id, so that an entry
/// costs the same whatever a caller sends; at a million entries the chance of
/// any false match is below 10⁻²⁵.
#[derive(Debug)]
pub struct Seen {
    hashers: [RandomState; 2],
    entries: Mutex<Entries>,
}

type Print = (u64, u64);

#[derive(Debug, Default)]
struct Entries {
    window: Duration,
    entries_max: usize,
    prints: HashSet<Print>,
    by_age: VecDeque<(Duration, Print)>,
}

impl Seen {
    /// Remembers ids for `window`, at most `entries_max` of them; the oldest go first.
    #[must_use]
    pub fn new(window: Duration, entries_max: usize) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        let entries = Entries { window, entries_max, ..Entries::default() };
        Self { hashers, entries: Mutex::new(entries) }
    }

    /// Remembers ids from now on for `window`, at most `entries_max` of them.
    pub fn set_bounds(&self, window: Duration, entries_max: usize) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        (entries.window, entries.entries_max) = (window, entries_max);
    }

    /// Notes an id at the time `now`; true if it was not known. The empty id
    /// is no id: it is new every time.
    pub fn is_new(&self, id: &str, now: Duration) -> bool {
        if id.is_empty() {
            return true;
        }
        let print = self.print(id);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (window, max) = (entries.window, entries.entries_max);
        entries.forget(|age, len| age + window <= now || len > max);
        if !entries.prints.insert(print) {
            return false;
        }
        entries.by_age.push_back((now, print));
        entries.forget(|_, len| len > max);
        true
    }

    /// Forgets an id whose message could not be sent, so that it may be tried
    /// again. It is among the newest, so the search is short.
    pub fn forget(&self, id: &str) {
        let print = self.print(id);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.prints.remove(&print)
            && let Some(at) = entries.by_age.iter().rposition(|(_, other)| *other == print)
        {
            entries.by_age.remove(at);
        }
    }

    fn print(&self, id: &str) -> Print {
        (self.hashers[0].hash_one(id), self.hashers[1].hash_one(id))
    }

    /// How many ids are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).prints.len()
    }

    /// True when nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Entries {
    /// Drops entries, oldest first, as long as `is_over(noted at, entries)` says so.
    fn forget(&mut self, is_over: impl Fn(Duration, usize) -> bool) {
        while let Some((noted, print)) = self.by_age.front() {
            if !is_over(*noted, self.by_age.len()) {
                return;
            }
            self.prints.remove(print);
            self.by_age.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn an_id_is_new_once_in_its_window() {
        let seen = Seen::new(12 * HOUR, 10);
        assert!(seen.is_new("m1", HOUR));
        assert!(!seen.is_new("m1", 12 * HOUR));
        assert!(seen.is_new("m1", 13 * HOUR));
        assert!(!seen.is_new("m1", 24 * HOUR));
    }

    #[test]
    fn the_empty_id_is_no_id() {
        let seen = Seen::new(HOUR, 10);
        assert!(seen.is_new("", HOUR) && seen.is_new("", HOUR));
        assert!(seen.is_empty());
    }

    #[test]
    fn what_is_forgotten_is_new_again() {
        let seen = Seen::new(12 * HOUR, 10);
        assert!(seen.is_new("m1", HOUR) && seen.is_new("m2", HOUR));
        seen.forget("m1");
        seen.forget("m3");
        assert!(seen.is_new("m1", 12 * HOUR));
        assert!(!seen.is_new("m1", 13 * HOUR + HOUR / 2), "its time counts from the second try");
        assert!(seen.is_new("m2", 13 * HOUR));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let seen = Seen::new(HOUR, 3);
        for n in 0..100 {
            assert!(seen.is_new(&n.to_string(), HOUR));
        }
        assert_eq!(seen.len(), 3);
        assert!(!seen.is_new("99", HOUR) && !seen.is_new("97", HOUR));
        assert!(seen.is_new("96", HOUR));
        seen.set_bounds(HOUR, 2);
        assert!(seen.is_new("100", HOUR));
        assert_eq!(seen.len(), 2);
    }
}
