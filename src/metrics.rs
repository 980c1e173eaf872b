//! Counters of the reactors: written by one thread each, summed on scrape.
//!
//! A block belongs to one reactor and is padded to its own cache lines, so
//! counting is a plain load and store. What is shared by all (refusals of
//! full mailboxes) is counted with an atomic addition, off the hot paths.

use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number with one writer and any number of readers.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds; only the owner of the block may call it.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Replaces; only the owner of the block may call it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Reads, from anywhere.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a connection ended: one cause each, counted when its end begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// The client began a closing handshake.
    ClientClose,
    /// The client ended its side of TCP without a close frame.
    Eof,
    /// TCP reset, time-out or another error of the socket.
    Reset,
    /// The handshake was refused with an HTTP status.
    HandshakeRefused,
    /// The handshake was not complete in time.
    HandshakeTimeout,
    /// Close 1002: against RFC 6455.
    Protocol,
    /// Close 1007: text that is not UTF-8.
    InvalidText,
    /// Close 1009: above the message limit.
    TooBig,
    /// Close 3012: no frame within the idle time-out.
    Idle,
    /// Close 3008: did not read what it was sent.
    Slow,
    /// Close 3008: among the largest backlogs when the output budget was spent.
    Shed,
    /// Close 1013: the budget for half-received messages was spent.
    AssemblyBudget,
    /// Close 1012: the node stops.
    Shutdown,
    /// Answered 503: `limits.connections` was reached.
    Full,
}

impl Cause {
    /// Every cause with the name it has in the metrics.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::ClientClose, "client_close"),
        (Self::Eof, "eof"),
        (Self::Reset, "reset"),
        (Self::HandshakeRefused, "handshake_refused"),
        (Self::HandshakeTimeout, "handshake_timeout"),
        (Self::Protocol, "protocol"),
        (Self::InvalidText, "invalid_text"),
        (Self::TooBig, "too_big"),
        (Self::Idle, "idle"),
        (Self::Slow, "slow"),
        (Self::Shed, "shed"),
        (Self::AssemblyBudget, "assembly_budget"),
        (Self::Shutdown, "shutdown"),
        (Self::Full, "full"),
    ];
}

/// Upper bounds of the turn-time buckets, in microseconds; one more bucket is above the last.
pub const TURN_BUCKETS_US: [u64; 12] =
    [10, 30, 100, 300, 1_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000];

/// A histogram with fixed buckets and one writer.
#[derive(Debug, Default)]
pub struct TurnTimes {
    buckets: [Tally; TURN_BUCKETS_US.len() + 1],
    sum_us: Tally,
}

impl TurnTimes {
    /// Counts one turn.
    pub fn record(&self, turn: Duration) {
        let us = u64::try_from(turn.as_micros()).unwrap_or(u64::MAX);
        let bucket = TURN_BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }

    /// Turns in each bucket (not cumulative), and the sum in microseconds.
    #[must_use]
    pub fn read(&self) -> ([u64; TURN_BUCKETS_US.len() + 1], u64) {
        (std::array::from_fn(|i| self.buckets[i].get()), self.sum_us.get())
    }
}

/// The numbers of one reactor.
#[derive(Debug, Default)]
pub struct ReactorStats {
    /// Sockets in the slab, handshakes included.
    pub connections: Tally,
    /// Sockets accepted.
    pub accepts: Tally,
    /// Failed accepts of one connection (aborted by the peer, …).
    pub accept_errors: Tally,
    /// Pauses because the kernel was out of descriptors or memory.
    pub accept_pauses: Tally,
    /// Handshakes answered 101.
    pub handshakes: Tally,
    /// Logins accepted.
    pub logins: Tally,
    /// Ends, by [`Cause`].
    pub closes: [Tally; Cause::ALL.len()],
    /// Messages from clients: text and binary, whole.
    pub messages_in: Tally,
    /// Frames to clients: replies, pushes, pongs, echoes.
    pub messages_out: Tally,
    /// Bytes read from clients.
    pub bytes_in: Tally,
    /// Bytes written to clients.
    pub bytes_out: Tally,
    /// Bytes that wait for slow peers.
    pub outbox_bytes: Tally,
    /// Connections that have a backlog.
    pub outbox_connections: Tally,
    /// Messages for connections that were gone when they arrived.
    pub undeliverable: Tally,
    /// Passes over an app's members.
    pub fanout_waves: Tally,
    /// Time from the end of a wait to the beginning of the next one.
    pub turns: TurnTimes,
    /// How late the wheel looked at its oldest tick, in milliseconds.
    pub wheel_lag_ms: Tally,
}

impl ReactorStats {
    /// Counts the end of a connection.
    pub fn count_close(&self, cause: Cause) {
        self.closes[cause as usize].add(1);
    }
}

/// Numbers with many writers, off the hot paths.
#[derive(Debug, Default)]
pub struct SharedStats {
    /// Messages to one user that a full mailbox refused.
    pub deliver_refused: AtomicU64,
    /// Broadcasts that at least one full mailbox refused.
    pub fanout_refused: AtomicU64,
    /// Digests sent for rooms too large for exact announcements.
    pub digests: AtomicU64,
}

/// All blocks of the node.
#[derive(Debug)]
pub struct Metrics {
    /// One block a reactor.
    pub reactors: Box<[CachePadded<ReactorStats>]>,
    /// What all share.
    pub shared: SharedStats,
}

impl Metrics {
    /// Blocks for this many reactors, all zero.
    #[must_use]
    pub fn new(reactors: usize) -> Arc<Self> {
        let reactors = (0..reactors).map(|_| CachePadded::default()).collect();
        Arc::new(Self { reactors, shared: SharedStats::default() })
    }

    /// The sum of one number over all reactors.
    #[must_use]
    pub fn total(&self, of: impl Fn(&ReactorStats) -> &Tally) -> u64 {
        self.reactors.iter().map(|block| of(block).get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_in_the_order_of_their_numbers() {
        for (index, (cause, _)) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index);
        }
    }

    #[test]
    fn a_turn_lands_in_the_bucket_that_bounds_it() {
        let times = TurnTimes::default();
        times.record(Duration::from_micros(10));
        times.record(Duration::from_micros(11));
        times.record(Duration::from_secs(9));
        let (buckets, sum) = times.read();
        assert_eq!((buckets[0], buckets[1], buckets[TURN_BUCKETS_US.len()]), (1, 1, 1));
        assert_eq!(sum, 9_000_021);
    }
}
