//! The flag that saves a system call for every message to a busy reactor.

use super::sync::{AtomicBool, Ordering};

/// Says whether the owner of a queue is sure to look into it again.
///
/// Waking a thread that waits in `epoll_wait` costs a system call; waking one
/// that is at work costs nothing but this flag. The rule that makes it safe:
///
/// - a sender first puts its message into the queue, then calls
///   [`Awake::rouse`], and makes the system call only if that says so;
/// - the owner calls [`Awake::doze`], then looks into the queue **once more**,
///   and sleeps only if it is empty; it calls [`Awake::rise`] when it is back.
///
/// Both sides swap with `AcqRel`, so one of the two comes second and sees what
/// the other did: the message, or the flag. `tests/loom.rs` compiles this very
/// file against loom's atomics and tries every order.
#[derive(Debug)]
pub(crate) struct Awake(AtomicBool);

impl Awake {
    /// An owner that is awake.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    /// Called by a sender after it has queued a message: true if the owner
    /// sleeps and this sender has to wake it. Only one sender is told so.
    #[must_use]
    pub(crate) fn rouse(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Called by the owner before its last look into the queue.
    pub(crate) fn doze(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }

    /// Called by the owner when it is back at work.
    pub(crate) fn rise(&self) {
        self.0.swap(true, Ordering::AcqRel);
    }
}

impl Default for Awake {
    fn default() -> Self {
        Self::new()
    }
}
