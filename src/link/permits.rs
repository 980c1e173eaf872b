//! How many reactors may do long work at once, and who is next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Permits for long work, handed on in the order in which they were asked for.
///
/// Reactors outnumber cores where a descriptor table holds less than a core's
/// share of the connections. If all of them worked at a broadcast at the same
/// time, each would get its core for a slice of some milliseconds in a round of
/// them all, and a heartbeat would wait for the round. With no more at work
/// than there are cores the others sleep in epoll, and a scheduler that shares
/// out time fairly runs those first who have slept (kernel:
/// `Documentation/scheduler/sched-eevdf.rst`).
///
/// A permit is waited for with [`super::Mailbox::doze`]'s rule: whoever hands
/// one on sets the flag first and rouses then; whoever waits looks at the flag
/// once more after it has dozed off.
#[derive(Debug)]
pub struct Permits {
    /// Reactors of one core stand in one queue; those that are not pinned all in the same.
    queues: Vec<Mutex<Queue>>,
    /// Set for whoever was handed a permit and has not taken note of it yet.
    granted: Box<[AtomicBool]>,
}

#[derive(Debug)]
struct Queue {
    free: usize,
    waiting: VecDeque<u16>,
}

impl Permits {
    /// For `reactors` that are pinned to so many `cores` in turn: one at a time on each.
    #[must_use]
    pub fn pinned(reactors: usize, cores: usize) -> Self {
        Self::new(reactors, cores.max(1), 1)
    }

    /// For `reactors` that run anywhere: as many at a time as there are `cores`.
    #[must_use]
    pub fn floating(reactors: usize, cores: usize) -> Self {
        Self::new(reactors, 1, cores.max(1))
    }

    fn new(reactors: usize, queues: usize, free: usize) -> Self {
        let queue = || Mutex::new(Queue { free, waiting: VecDeque::new() });
        Self {
            queues: (0..queues).map(|_| queue()).collect(),
            granted: (0..reactors).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Asks for a permit: true if there is one. If not, it comes later; who
    /// has asked must not ask again before that.
    #[must_use]
    pub fn ask(&self, reactor: u16) -> bool {
        let mut queue = self.queue(reactor);
        if queue.free > 0 {
            queue.free -= 1;
            return true;
        }
        queue.waiting.push_back(reactor);
        false
    }

    /// Whether the permit asked for has come.
    #[must_use]
    pub fn has_come(&self, reactor: u16) -> bool {
        self.granted[usize::from(reactor)].load(Ordering::Acquire)
    }

    /// Takes the permit asked for, if it has come.
    #[must_use]
    pub fn collect(&self, reactor: u16) -> bool {
        self.granted[usize::from(reactor)].swap(false, Ordering::AcqRel)
    }

    /// Whether others wait for the permit that `reactor` has.
    #[must_use]
    pub fn is_wanted(&self, reactor: u16) -> bool {
        !self.queue(reactor).waiting.is_empty()
    }

    /// Gives back the permit that `reactor` has. Returns who has it now and is to be roused.
    #[must_use]
    pub fn give_back(&self, reactor: u16) -> Option<u16> {
        let mut queue = self.queue(reactor);
        let next = queue.waiting.pop_front();
        match next {
            Some(next) => self.granted[usize::from(next)].store(true, Ordering::Release),
            None => queue.free += 1,
        }
        next
    }

    /// Waits no longer: `reactor` ends. If its permit has come already, it goes
    /// to the one returned, who is to be roused.
    #[must_use]
    pub fn withdraw(&self, reactor: u16) -> Option<u16> {
        self.queue(reactor).waiting.retain(|waiting| *waiting != reactor);
        if self.collect(reactor) { self.give_back(reactor) } else { None }
    }

    fn queue(&self, reactor: u16) -> MutexGuard<'_, Queue> {
        let queue = &self.queues[usize::from(reactor) % self.queues.len()];
        // Nothing panics while it is held.
        queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_goes_round_in_order() {
        let permits = Permits::floating(4, 2);
        assert!(permits.ask(3) && permits.ask(1));
        assert!(!permits.is_wanted(3));
        assert!(!permits.ask(0) && !permits.ask(2));
        assert!(permits.is_wanted(3));
        assert_eq!(permits.give_back(1), Some(0));
        assert!(permits.has_come(0) && !permits.has_come(2));
        assert!(permits.collect(0) && !permits.collect(0), "a permit is taken once");
        assert_eq!(permits.give_back(3), Some(2));
        assert!(permits.collect(2));
        assert_eq!((permits.give_back(2), permits.give_back(0)), (None, None));
        assert!(permits.ask(1) && permits.ask(3), "both are free again");
    }

    #[test]
    fn each_core_has_its_own() {
        let permits = Permits::pinned(5, 2);
        assert!(permits.ask(0) && permits.ask(1));
        assert!(!permits.ask(4) && !permits.ask(3));
        assert_eq!(permits.give_back(1), Some(3));
        assert_eq!(permits.give_back(0), Some(4));
    }

    #[test]
    fn who_ends_leaves_nobody_waiting() {
        let permits = Permits::floating(4, 1);
        assert!(permits.ask(0));
        assert!(!permits.ask(1) && !permits.ask(2) && !permits.ask(3));
        assert_eq!(permits.withdraw(1), None, "it was still waiting");
        assert_eq!(permits.give_back(0), Some(2));
        assert_eq!(permits.withdraw(2), Some(3), "its permit goes on");
        assert!(permits.collect(3));
        assert_eq!(permits.give_back(3), None);
    }
}
