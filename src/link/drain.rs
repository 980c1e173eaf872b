//! The end of all connections: when each is told, and when it should be back.
//!
//! Reactors share one schedule, so that a rate is one of the node, whatever the
//! number of its reactors, and can be changed while they work by it.

mod schedule;
#[cfg(test)]
mod tests;

pub use schedule::Slot;

use schedule::Schedule;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far a node is from its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It serves.
    #[default]
    Serving,
    /// It serves, and says that it is not ready, so that nobody new is sent here.
    Grace,
    /// It closes its connections.
    Closing,
}

/// How a node is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Time in which everything goes on while the node says that it is not ready.
    pub grace: Duration,
    /// Connections told a second; 0 means as many as `timeout` asks for.
    pub rate: u32,
    /// Time, from the end of the grace, in which all are closed, whatever the rate.
    pub timeout: Duration,
}

/// A drain as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// How far it is.
    pub stage: Stage,
    /// Connections there were when the closing began.
    pub total: usize,
    /// How many of them have been told.
    pub told: usize,
    /// How many are told a second.
    pub per_second: f64,
    /// Time until the grace ends, or the deadline comes.
    pub left: Duration,
}

/// The part of a drain that one reactor has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Connections it had when its part began.
    pub total: usize,
    /// How many of them it has told, or found gone.
    pub told: usize,
}

/// The drain of a node, shared by all that have a part in it.
#[derive(Debug, Default)]
pub struct Drain {
    state: Mutex<State>,
    /// How often a drain was taken back.
    taken_back: AtomicU64,
    refuges: Mutex<Refuges>,
}

/// URLs of other nodes, to which clients are sent.
#[derive(Debug, Default)]
struct Refuges {
    /// Those of the configuration, which come first.
    configured: Arc<[String]>,
    /// Those of nodes of the cluster that let clients in now.
    offered: Arc<[String]>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Serving,
    Grace {
        until: Duration,
        rate: u32,
    },
    Closing(Schedule),
}

impl Drain {
    /// Begins the grace, or another one.
    pub fn begin_grace(&self, now: Duration, plan: Plan) {
        let mut state = self.lock();
        if !matches!(*state, State::Closing(_)) {
            *state = State::Grace { until: now + plan.grace, rate: plan.rate };
        }
    }

    /// Goes back to serving; false when the closing has begun.
    pub fn cancel(&self) -> bool {
        let mut state = self.lock();
        let is_closing = matches!(*state, State::Closing(_));
        if matches!(*state, State::Grace { .. }) {
            self.taken_back.fetch_add(1, Ordering::Relaxed);
        }
        if !is_closing {
            *state = State::Serving;
        }
        !is_closing
    }

    /// How often a drain was taken back since the start.
    #[must_use]
    pub fn times_taken_back(&self) -> u64 {
        self.taken_back.load(Ordering::Relaxed)
    }

    /// Begins to close `total` connections, or closes the rest of them by another plan.
    pub fn close(&self, now: Duration, total: usize, plan: Plan) {
        let mut state = self.lock();
        *state = State::Closing(match *state {
            State::Closing(schedule) => schedule.changed(now, plan),
            State::Serving | State::Grace { .. } => Schedule::new(now, total, plan),
        });
    }

    /// How far it is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match *self.lock() {
            State::Serving => Stage::Serving,
            State::Grace { .. } => Stage::Grace,
            State::Closing(_) => Stage::Closing,
        }
    }

    /// Leave to tell up to `wanted` connections of a reactor's share; an empty slot when it is
    /// not time yet. Each gets the part that its connections are of all, however often it
    /// asks: whoever closes connections wakes more often, and would soon tell for all.
    pub fn take(&self, now: Duration, wanted: usize, share: Share) -> Slot {
        match &mut *self.lock() {
            State::Closing(schedule) => schedule.take(now, wanted, share),
            State::Serving | State::Grace { .. } => Slot::default(),
        }
    }

    /// Goes by these URLs of other nodes, as configured.
    pub fn configure_refuges(&self, urls: &[String]) {
        self.lock_refuges().configured = urls.into();
    }

    /// Notes where nodes of the cluster would take clients of this one.
    pub fn offer_refuges(&self, urls: Vec<String>) {
        self.lock_refuges().offered = urls.into();
    }

    /// Where clients are sent, in turns: as configured, or else to whom the cluster offers.
    #[must_use]
    pub fn refuges(&self) -> Arc<[String]> {
        let refuges = self.lock_refuges();
        let is_configured = !refuges.configured.is_empty();
        Arc::clone(if is_configured { &refuges.configured } else { &refuges.offered })
    }

    /// How long it takes from `now` on until all have been told.
    #[must_use]
    pub fn all_told_in(&self, now: Duration) -> Duration {
        match &*self.lock() {
            State::Closing(schedule) => (schedule.began + schedule.length(now)).saturating_sub(now),
            State::Serving | State::Grace { .. } => Duration::MAX,
        }
    }

    /// Whether the time for closing is over.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        matches!(&*self.lock(), State::Closing(schedule) if now >= schedule.deadline)
    }

    /// How it stands at `now`.
    #[must_use]
    pub fn progress(&self, now: Duration) -> Progress {
        match *self.lock() {
            State::Serving => Progress::default(),
            State::Grace { until, rate } => Progress {
                stage: Stage::Grace,
                per_second: f64::from(rate),
                left: until.saturating_sub(now),
                ..Progress::default()
            },
            State::Closing(schedule) => Progress {
                stage: Stage::Closing,
                total: schedule.total,
                told: schedule.told,
                per_second: schedule.per_second,
                left: schedule.deadline.saturating_sub(now),
            },
        }
    }

    fn lock_refuges(&self) -> MutexGuard<'_, Refuges> {
        self.refuges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics with the lock held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
