//! One bound for the memory of all connections together.

use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all reactors together may hold for their peers.
///
/// Each reactor says how large its largest backlog is, so that whoever finds
/// the budget spent knows which reactor has to give back first.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: AtomicUsize,
    used_bytes: CachePadded<AtomicUsize>,
    largest_bytes: Box<[CachePadded<AtomicUsize>]>,
}

impl Budget {
    /// A budget of `limit_bytes` for this many reactors.
    #[must_use]
    pub fn new(limit_bytes: usize, reactors: usize) -> Self {
        let largest_bytes = (0..reactors).map(|_| CachePadded::default()).collect();
        Self {
            limit_bytes: AtomicUsize::new(limit_bytes),
            used_bytes: CachePadded::default(),
            largest_bytes,
        }
    }

    /// Replaces a holding of `before` bytes by one of `after`.
    pub fn change(&self, before: usize, after: usize) {
        if after > before {
            self.used_bytes.fetch_add(after - before, Ordering::Relaxed);
        } else if before > after {
            self.used_bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Bytes held now.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// True when more is held than allowed.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.used_bytes() > self.limit_bytes()
    }

    /// True when nearly all is held that is allowed: time to give back, so that nobody is refused.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.used_bytes() > self.relief_bytes()
    }

    /// What giving back aims at before the budget is spent: an eighth below the limit.
    #[must_use]
    pub fn eased_bytes(&self) -> usize {
        let limit = self.limit_bytes();
        limit - limit / 8
    }

    /// What may be held.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Allows another amount. Above it nobody has to give back until the next
    /// holding grows.
    pub fn set_limit(&self, bytes: usize) {
        self.limit_bytes.store(bytes, Ordering::Relaxed);
    }

    /// What shedding aims at: a sixteenth below the limit, so that one look
    /// at all backlogs is paid by many bytes.
    #[must_use]
    pub fn relief_bytes(&self) -> usize {
        let limit = self.limit_bytes();
        limit - limit / 16
    }

    /// Says that the largest backlog of `reactor` is at least this large.
    pub fn note_largest(&self, reactor: u16, bytes: usize) {
        self.largest_bytes[usize::from(reactor)].fetch_max(bytes, Ordering::Relaxed);
    }

    /// Says exactly how large the largest backlog of `reactor` is, after a look at all of them.
    pub fn set_largest(&self, reactor: u16, bytes: usize) {
        self.largest_bytes[usize::from(reactor)].store(bytes, Ordering::Relaxed);
    }

    /// The reactor with the largest backlog, and its size.
    #[must_use]
    pub fn largest(&self) -> (u16, usize) {
        let sizes = self.largest_bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed));
        let (index, bytes) = sizes.enumerate().max_by_key(|(_, bytes)| *bytes).unwrap_or((0, 0));
        (u16::try_from(index).unwrap_or(0), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holdings_add_up_and_the_largest_is_found() {
        let budget = Budget::new(1_600, 3);
        budget.change(0, 1_000);
        budget.change(1_000, 400);
        budget.change(0, 1_201);
        assert!(budget.is_spent());
        budget.change(1_201, 1_200);
        assert!(!budget.is_spent());
        assert_eq!(budget.relief_bytes(), 1_500);
        budget.note_largest(2, 1_200);
        budget.note_largest(2, 300);
        budget.note_largest(1, 400);
        assert_eq!(budget.largest(), (2, 1_200));
        budget.set_largest(2, 0);
        assert_eq!(budget.largest(), (1, 400));
        assert!(budget.is_pressed() && budget.eased_bytes() == 1_400);
        budget.set_limit(1_599);
        assert!(budget.is_spent());
    }
}
