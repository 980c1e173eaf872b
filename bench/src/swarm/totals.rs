//! Counters: each worker writes its own, everybody may read them.

use crossbeam_utils::CachePadded;
use std::ops::{AddAssign, Index};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Attempts to connect.
    Dialled,
    /// Handshakes done.
    Opened,
    /// Connections open now.
    Open,
    /// Logins answered with success.
    LoggedIn,
    /// Connections logged in now.
    Present,
    /// Open connections that ended against our will.
    Lost,
    /// Attempts and logins that failed.
    Failed,
    /// Connections that came back after having been dropped, or told to.
    Returned,
    /// Heartbeats sent.
    Beats,
    /// Heartbeats answered.
    BeatsAnswered,
    /// Numbered requests sent.
    Sent,
    /// Numbered answers received, each counted once.
    Answered,
    /// Numbered pushes received, each counted once.
    Pushed,
    /// Received again.
    Duplicates,
    /// Received after one with a higher number.
    OutOfOrder,
    /// Meant for somebody else.
    Misdelivered,
    /// Not what was sent.
    Corrupted,
    /// Received without a number.
    Unnumbered,
    /// Bytes written.
    BytesOut,
    /// Bytes read.
    BytesIn,
    /// Clients that misbehave, at it now.
    Misbehaving,
    /// Such clients that the server has closed.
    BadClosed,
    /// Clients that a server that stops has closed, until they are back each counted once.
    Told,
    /// Those that were back after more than one attempt.
    Retried,
    /// Those that were back at another place.
    Moved,
}

const COUNTS: usize = Count::Moved as usize + 1;

/// One worker's counters.
#[derive(Debug)]
pub(super) struct Tally(CachePadded<[AtomicU64; COUNTS]>);

impl Tally {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0))))
    }

    /// Only the owner writes, so no read-modify-write is needed.
    pub(super) fn add(&self, count: Count, more: u64) {
        let cell = &self.0[count as usize];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn one(&self, count: Count) {
        self.add(count, 1);
    }

    /// For those that tell how things are now.
    pub(super) fn less(&self, count: Count) {
        self.add(count, u64::MAX);
    }

    pub(super) fn read(&self) -> Totals {
        Totals(std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed)))
    }
}

/// A reading of the counters of one worker, or of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals([u64; COUNTS]);

impl Default for Totals {
    fn default() -> Self {
        Self([0; COUNTS])
    }
}

impl Index<Count> for Totals {
    type Output = u64;

    fn index(&self, count: Count) -> &u64 {
        &self.0[count as usize]
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_add_up() {
        let tally = Tally::new();
        tally.add(Count::Sent, 5);
        tally.one(Count::Open);
        tally.one(Count::Open);
        tally.less(Count::Open);
        let mut sum = Totals::default();
        sum += tally.read();
        sum += tally.read();
        assert_eq!(sum[Count::Sent], 10);
        assert_eq!(sum[Count::Open], 2);
        assert_eq!(sum[Count::BadClosed], 0);
    }
}
