//! Admission of broadcasts: a message to a whole room is admitted for all reactors before any of
//! them gets it, or it is refused and nobody has it.
//!
//! A [`Ticket`] stands for a broadcast that is under way. It travels with the message and is given
//! back when the last reactor drops that. As no more tickets exist than every mailbox has reserved
//! places, a broadcast with a ticket is never refused by a mailbox.

#[cfg(test)]
mod tests;
mod window;

pub use window::{BroadcastRules, BroadcastSize};

use super::mailbox::Refused;
use crate::clock::Clock;
use crate::id::{AppId, UserId};
use crate::limits::ANNOUNCEMENTS_MAX;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use window::{Answer, Window};

/// The broadcasts of a node that are under way or wait for admission.
#[derive(Debug)]
pub struct Broadcasts {
    window: Mutex<Window>,
    clock: Clock,
    announcements: AtomicUsize,
    admitted: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
}

/// What a request for admission comes to.
#[derive(Debug)]
pub enum Asked {
    /// It may go at once.
    Admitted(Ticket),
    /// It waits for its turn.
    Waits(Place),
    /// Too much waits already.
    Refused,
}

/// Permission for one broadcast; given back when it is dropped.
#[derive(Debug)]
pub struct Ticket {
    of: Arc<Broadcasts>,
    /// `None` for an announcement.
    number: Option<u64>,
}

/// The place of a broadcast that waits for admission; given up when it is dropped.
#[derive(Debug)]
pub struct Place {
    of: Arc<Broadcasts>,
    app: AppId,
    sender: UserId,
    number: u64,
    until: Duration,
    is_open: bool,
}

/// How it stands with broadcasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BroadcastState {
    /// Admitted since the start.
    pub admitted: u64,
    /// Refused since the start; no member of the room got these from this node.
    pub refused: u64,
    /// Those that were older than the bound when the last reactor was done with them.
    pub late: u64,
    /// Under way now.
    pub under_way: usize,
    /// Waiting for admission now.
    pub waiting: usize,
    /// Age of the oldest that is under way.
    pub oldest: Duration,
    /// Deliveries that may be under way now.
    pub deliveries_max: u64,
}

impl Broadcasts {
    /// Nothing is under way.
    #[must_use]
    pub fn new(rules: BroadcastRules) -> Arc<Self> {
        Arc::new(Self {
            window: Mutex::new(Window::new(rules)),
            clock: Clock::start(),
            announcements: AtomicUsize::new(0),
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            late: AtomicU64::new(0),
        })
    }

    /// Goes by these bounds from now on.
    pub fn set_rules(&self, rules: BroadcastRules) {
        self.lock().set_rules(rules);
    }

    /// Asks for the admission of a broadcast of `sender` to the members of `app`, which has
    /// `waited` somewhere else before.
    #[must_use]
    pub fn ask(
        self: &Arc<Self>,
        app: AppId,
        sender: &UserId,
        size: BroadcastSize,
        waited: Duration,
    ) -> Asked {
        let now = self.clock.now();
        let mut window = self.lock();
        let Some(left) = window.wait().checked_sub(waited) else {
            drop(window);
            self.count_refused();
            return Asked::Refused;
        };
        let (answer, until) = (window.ask(now, app, sender, size), now + left);
        drop(window);
        match answer {
            Answer::Admitted(number) => Asked::Admitted(self.ticket(number)),
            Answer::Waits(number) => {
                let (of, sender) = (Arc::clone(self), sender.clone());
                Asked::Waits(Place { of, app, sender, number, until, is_open: true })
            }
            Answer::Refused => {
                self.count_refused();
                Asked::Refused
            }
        }
    }

    /// Asks for a broadcast that another node of the cluster has admitted: it never waits, and has
    /// twice the bounds.
    ///
    /// # Errors
    /// [`Refused`] when those are reached.
    pub fn ask_for_peer(
        self: &Arc<Self>,
        app: AppId,
        sender: &UserId,
        size: BroadcastSize,
    ) -> Result<Ticket, Refused> {
        let answer = self.lock().ask_for_peer(self.clock.now(), app, sender, size);
        match answer {
            Answer::Admitted(number) => Ok(self.ticket(number)),
            Answer::Waits(_) | Answer::Refused => {
                self.count_refused();
                Err(Refused)
            }
        }
    }

    /// Asks for an announcement or a digest. These have a bound of their own, so that neither they
    /// nor the messages of users hold up the others.
    ///
    /// # Errors
    /// [`Refused`] when [`ANNOUNCEMENTS_MAX`] are under way.
    pub fn announce(self: &Arc<Self>) -> Result<Ticket, Refused> {
        // The ticket gives back what was counted, if it is one too many as well.
        let before = self.announcements.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket { of: Arc::clone(self), number: None };
        if before < ANNOUNCEMENTS_MAX { Ok(ticket) } else { Err(Refused) }
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> BroadcastState {
        let window = self.lock();
        let (under_way, waiting) = window.len();
        BroadcastState {
            admitted: self.admitted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            under_way,
            waiting,
            oldest: window.oldest(self.clock.now()),
            deliveries_max: window.limit(),
        }
    }

    fn ticket(self: &Arc<Self>, number: u64) -> Ticket {
        self.admitted.fetch_add(1, Ordering::Relaxed);
        Ticket { of: Arc::clone(self), number: Some(number) }
    }

    fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing panics with the lock held.
    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(number) = self.number else {
            self.of.announcements.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        let mut window = self.of.lock();
        let age = window.finish(self.of.clock.now(), number);
        if age > window.wait() {
            self.of.late.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Place {
    /// Whether the turn of this broadcast has come: `None` while it waits, and [`Refused`] when it
    /// has waited for too long.
    pub fn poll(&mut self) -> Option<Result<Ticket, Refused>> {
        let now = self.of.clock.now();
        if self.of.lock().collect(now, self.number) {
            self.is_open = false;
            return Some(Ok(self.of.ticket(self.number)));
        }
        (now >= self.until).then_some(Err(Refused))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_open {
            self.of.count_refused();
            let now = self.of.clock.now();
            self.of.lock().withdraw(now, self.app, &self.sender, self.number);
        }
    }
}
