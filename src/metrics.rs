//! Counters of the reactors: written by one thread each, summed on scrape.
//!
//! A block belongs to one reactor and is padded to its own cache lines, so
//! counting is a plain load and store. What is shared by all (refusals of
//! full mailboxes) is counted with an atomic addition, off the hot paths.

mod door;
mod intake;

pub use door::{Denied, TokenFault};
pub use intake::Intake;

use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Close 3008: a message was not whole within `limits.message_timeout`.
    MessageTimeout,
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
    /// Answered 503: memory is short.
    Memory,
    /// Answered 503: `limits.connections_per_address` was reached.
    Crowded,
    /// Answered 503 or 429: above `limits.handshakes_per_second`, or that of one address.
    HandshakeRate,
    /// Close 3504: `limits.connections_per_user` was exceeded by a newer login.
    Replaced,
    /// Close 3504: a newer login of the user, and the client understands it or `protocol.displaced` is `close`.
    Displaced,
    /// Close 3013: above `limits.messages_per_second` or `limits.bytes_per_second`.
    TooFast,
    /// Close 3502: no login within `limits.login_timeout`.
    LoginTimeout,
    /// On a `proxy` listener: no PROXY header came first, or from a proxy that is not trusted.
    ProxyHeader,
    /// On a `tls` listener: no TLS, or an error of it.
    Tls,
    /// Close 3503: by order of an operator.
    Kicked,
    /// Close 3005: its token has expired.
    Expired,
    /// Close 3500: too many tokens that are not good.
    BadToken,
}

impl Cause {
    /// Every cause with the name it has in the metrics.
    pub const ALL: [(Self, &'static str); 27] = [
        (Self::ClientClose, "client_close"),
        (Self::Eof, "eof"),
        (Self::Reset, "reset"),
        (Self::HandshakeRefused, "handshake_refused"),
        (Self::HandshakeTimeout, "handshake_timeout"),
        (Self::Protocol, "protocol"),
        (Self::InvalidText, "invalid_text"),
        (Self::TooBig, "too_big"),
        (Self::Idle, "idle"),
        (Self::MessageTimeout, "message_timeout"),
        (Self::Slow, "slow"),
        (Self::Shed, "shed"),
        (Self::AssemblyBudget, "assembly_budget"),
        (Self::Shutdown, "shutdown"),
        (Self::Full, "full"),
        (Self::Memory, "memory"),
        (Self::Crowded, "crowded"),
        (Self::HandshakeRate, "handshake_rate"),
        (Self::Replaced, "replaced"),
        (Self::Displaced, "displaced"),
        (Self::TooFast, "too_fast"),
        (Self::LoginTimeout, "login_timeout"),
        (Self::ProxyHeader, "proxy_header"),
        (Self::Tls, "tls"),
        (Self::Kicked, "kicked"),
        (Self::Expired, "expired"),
        (Self::BadToken, "bad_token"),
    ];

    /// Its name in metrics, logs and traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(cause, _)| *cause == self).map_or("unknown", |(_, name)| name)
    }
}

/// Bounds of every histogram; one more bucket is above the last.
pub const BOUNDS: usize = 12;

/// A histogram with fixed buckets and one writer.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds of the buckets, ascending.
    pub bounds: &'static [u64; BOUNDS],
    buckets: [Tally; BOUNDS + 1],
    sum: Tally,
}

impl Histogram {
    fn new(bounds: &'static [u64; BOUNDS]) -> Self {
        Self { bounds, buckets: Default::default(), sum: Tally::default() }
    }

    /// Counts one value; only the owner of the block may call it.
    pub fn record(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].add(1);
        self.sum.add(value);
    }

    /// Values in each bucket (not cumulative), and their sum.
    #[must_use]
    pub fn read(&self) -> ([u64; BOUNDS + 1], u64) {
        (std::array::from_fn(|i| self.buckets[i].get()), self.sum.get())
    }
}

/// How a reactor's loop keeps up: each of these counts one value a turn.
#[derive(Debug)]
pub struct Pace {
    /// Time from the end of a wait to the beginning of the next one, in microseconds.
    pub turn_us: Histogram,
    /// How late the turn came for the oldest tick of the wheel that was due, in
    /// milliseconds; 0 when none was.
    pub wheel_lag_ms: Histogram,
    /// Orders that waited in the mailbox when the turn began.
    pub mail_depth: Histogram,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            turn_us: Histogram::new(&TURN_BOUNDS_US),
            wheel_lag_ms: Histogram::new(&WHEEL_LAG_BOUNDS_MS),
            mail_depth: Histogram::new(&MAIL_DEPTH_BOUNDS),
        }
    }
}

/// From a turn that finds next to nothing to one that everybody notices.
const TURN_BOUNDS_US: [u64; BOUNDS] =
    [10, 30, 100, 300, 1_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000];

/// The first bucket holds what was in time; a tick is a second.
const WHEEL_LAG_BOUNDS_MS: [u64; BOUNDS] = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000];

/// From none to a full mailbox (`limits::MAIL_DEPTH_MAX`).
const MAIL_DEPTH_BOUNDS: [u64; BOUNDS] =
    [0, 1, 4, 16, 64, 128, 256, 512, 1_024, 2_048, 3_072, 4_096];

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
    /// What keeps it from accepting now: the number of an [`Intake`].
    pub intake: Tally,
    /// Handshakes answered 101.
    pub handshakes: Tally,
    /// Handshakes of TLS that have come to their end.
    pub tls_handshakes: Tally,
    /// Logins accepted.
    pub logins: Tally,
    /// Tokens, at a login or a handshake, that were not good, by [`TokenFault`].
    pub token_faults: [Tally; TokenFault::ALL.len()],
    /// Handshakes of pages that `auth.allowed_origins` does not list.
    pub foreign_origins: Tally,
    /// Messages of clients to others that were taken.
    pub sends: Tally,
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
    /// Messages of clients thrown away because they send too many.
    pub dropped: Tally,
    /// Messages for connections that were gone when they arrived.
    pub undeliverable: Tally,
    /// Passes over an app's members.
    pub fanout_waves: Tally,
    /// Orders taken from the mailbox.
    pub mail: Tally,
    /// The last canary that arrived.
    pub canary: Tally,
    /// How the loop keeps up.
    pub pace: Pace,
}

impl ReactorStats {
    /// Counts a token that is not good.
    pub fn count_fault(&self, fault: TokenFault) {
        self.token_faults[fault as usize].add(1);
    }

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
    /// Broadcasts and announcements that at least one reactor could not take.
    pub fanout_refused: AtomicU64,
    /// Arrivals and departures left to a digest, because their room has heard of too many.
    pub announcements_deferred: AtomicU64,
    /// Digests sent for rooms too large for exact announcements.
    pub digests: AtomicU64,
    /// News for the cluster that the control plane was too slow for.
    pub events_lost: AtomicU64,
    /// Memory that could be had without swapping, as of the last second.
    pub memory_free_bytes: AtomicU64,
    /// What TCP has taken of the host's memory.
    pub tcp_used_bytes: AtomicU64,
    /// What it may take.
    pub tcp_limit_bytes: AtomicU64,
    /// Calls of the HTTP API and of gRPC that were turned away, by [`Denied`].
    pub denied: [AtomicU64; Denied::ALL.len()],
    /// Messages of clients to others that the control plane was too slow for.
    pub sends_refused: AtomicU64,
    /// Messages of the API and of clients whose `userID` or `msgID` was longer than allowed.
    pub names_refused: AtomicU64,
    /// Connections to the API that did not speak TLS where they had to.
    pub http_tls_failed: AtomicU64,
    /// Connections to the API that were ended for others, because all places were taken.
    pub http_displaced: AtomicU64,
    /// Connections to the API that were closed because their address has too many.
    pub http_crowded: AtomicU64,
    /// Requests that were refused because only the places for probes and operators were left.
    pub http_reserved_refused: AtomicU64,
    /// Connections to the API whose peer took its answer too slowly.
    pub http_slow_readers: Arc<AtomicU64>,
}

impl SharedStats {
    /// Counts a caller who is turned away.
    pub fn count_denied(&self, denied: Denied) {
        self.denied[denied as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// What a node of a cluster does in Redis; many writers, off the hot paths.
#[derive(Debug, Default)]
pub struct ClusterStats {
    /// Commands that failed or were not answered in time, and failed attempts to connect.
    pub redis_errors: AtomicU64,
    /// Connections to Redis that replaced an earlier one.
    pub redis_reconnects: AtomicU64,
    /// Records that were told again after something was lost.
    pub swept: AtomicU64,
    /// Records that were renewed.
    pub renewals: AtomicU64,
    /// Users that another node claims too.
    pub conflicts: AtomicU64,
    /// Such users whom nobody had time for; the next renewal finds them again.
    pub conflicts_dropped: AtomicU64,
    /// Logins that no room was left for; a sweep makes up for them.
    pub arrivals_dropped: AtomicU64,
    /// Logouts that no room was left for; their records run out.
    pub departures_dropped: AtomicU64,
    /// Users whose record waits to be written.
    pub presence_waiting: AtomicU64,
    /// Age of the oldest login or logout that is not in Redis yet, in milliseconds.
    pub presence_lag_ms: AtomicU64,
}

/// Messages between nodes.
#[derive(Debug, Default)]
pub struct PeerStats {
    /// Messages to peers that were acknowledged, whatever became of them there.
    pub sent: AtomicU64,
    /// Messages that were not even queued: too many wait for that peer.
    pub refused: AtomicU64,
    /// Messages without an answer: the peer was down, silent, or lost.
    pub failed: AtomicU64,
    /// Connections to peers that came about.
    pub connects: AtomicU64,
    /// Connections to peers that broke.
    pub breaks: AtomicU64,
    /// Messages from peers.
    pub received: AtomicU64,
    /// Messages from peers with an unknown app, a bad name, or too large.
    pub invalid: AtomicU64,
    /// Calls with a wrong token, or none.
    pub unauthenticated: AtomicU64,
    /// Connections without a certificate of the cluster's authority.
    pub untrusted: AtomicU64,
    /// Connections that were ended for others, before any call of them was let in.
    pub displaced: AtomicU64,
    /// Connections that were closed because their address has too many.
    pub crowded: AtomicU64,
    /// Connections that were ended because no call of them was let in in time.
    pub silent: AtomicU64,
}

/// All blocks of the node.
#[derive(Debug)]
pub struct Metrics {
    /// One block a reactor.
    pub reactors: Box<[CachePadded<ReactorStats>]>,
    /// What all share.
    pub shared: SharedStats,
    /// What only a node of a cluster counts.
    pub cluster: ClusterStats,
    /// Messages between nodes.
    pub peers: PeerStats,
}

impl Metrics {
    /// Blocks for this many reactors, all zero.
    #[must_use]
    pub fn new(reactors: usize) -> Arc<Self> {
        let reactors = (0..reactors).map(|_| CachePadded::default()).collect();
        Arc::new(Self {
            reactors,
            shared: SharedStats::default(),
            cluster: ClusterStats::default(),
            peers: PeerStats::default(),
        })
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
    fn a_value_lands_in_the_bucket_that_bounds_it() {
        let times = Pace::default().turn_us;
        for us in [10, 11, 9_000_000] {
            times.record(us);
        }
        let (buckets, sum) = times.read();
        assert_eq!((buckets[0], buckets[1], buckets[BOUNDS]), (1, 1, 1));
        assert_eq!(sum, 9_000_021);
    }

    #[test]
    fn bounds_ascend() {
        let Pace { turn_us, wheel_lag_ms, mail_depth } = Pace::default();
        for histogram in [turn_us, wheel_lag_ms, mail_depth] {
            assert!(histogram.bounds.windows(2).all(|pair| pair[0] < pair[1]), "{histogram:?}");
        }
    }
}
