//! The largest backlogs of each reactor, as of the last second.

use crate::address::ClientAddr;
use crate::id::ConnId;
use crate::session::User;
use std::sync::{Arc, Mutex, PoisonError};

/// What waits for one connection.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// Which.
    pub conn: ConnId,
    /// Who is logged in on it.
    pub user: Option<Arc<User>>,
    /// Where the client comes from.
    pub client: ClientAddr,
    /// Bytes that wait.
    pub bytes: usize,
}

/// A short list for each reactor, replaced by it once a second at most.
#[derive(Debug)]
pub struct Backlogs(Box<[Mutex<Vec<Backlog>>]>);

impl Backlogs {
    /// For this many reactors, all empty.
    #[must_use]
    pub fn new(reactors: usize) -> Self {
        Self((0..reactors).map(|_| Mutex::default()).collect())
    }

    /// Replaces the list of one reactor.
    pub fn publish(&self, reactor: u16, backlogs: Vec<Backlog>) {
        let list = &self.0[usize::from(reactor)];
        // What is replaced is dropped after the lock is open again.
        let _before =
            std::mem::replace(&mut *list.lock().unwrap_or_else(PoisonError::into_inner), backlogs);
    }

    /// The largest `max` of all reactors, largest first.
    #[must_use]
    pub fn largest(&self, max: usize) -> Vec<Backlog> {
        let of_all = self.0.iter().map(|list| {
            let list = list.lock().unwrap_or_else(PoisonError::into_inner);
            list.clone()
        });
        let mut all: Vec<Backlog> = of_all.flatten().collect();
        all.sort_by_key(|backlog| std::cmp::Reverse(backlog.bytes));
        all.truncate(max);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_all_come_first() {
        let backlogs = Backlogs::new(2);
        let of = |reactor, slot, bytes| Backlog {
            conn: ConnId { reactor, slot, serial: 1 },
            user: None,
            client: ClientAddr::Unknown,
            bytes,
        };
        backlogs.publish(0, vec![of(0, 1, 10), of(0, 2, 30)]);
        backlogs.publish(1, vec![of(1, 1, 20)]);
        let sizes = |max| backlogs.largest(max).iter().map(|b| b.bytes).collect::<Vec<_>>();
        assert_eq!(sizes(2), [30, 20]);
        backlogs.publish(0, Vec::new());
        assert_eq!(sizes(9), [20]);
    }
}
