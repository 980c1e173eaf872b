//! Every bound that is not configuration, one a line, with its reason.
//!
//! What a million connections cost, resident, user space:
//!
//! | part | bytes a connection | |
//! |---|---|---|
//! | [`crate::reactor`] slab entry | 64 | one cache line, asserted |
//! | wheel, epoll data | 0 | links lie in the slab entry; the kernel's part is ≈ 4 kB |
//! | logged in: user record | 64 | `Arc<User>`, one malloc block |
//! | logged in: directory | 10–21 | a pointer and a tag byte, load 7/16–7/8 |
//! | logged in: member list of the app | 4–8 | a slot number |
//!
//! What a reactor costs whatever it carries: its receive buffer, its mailbox
//! ([`MAIL_DEPTH_MAX`] × 48 bytes), its thread's stack.

/// The one receive buffer of a reactor. Large enough that a message of the
/// default size limit usually arrives whole and is handled in place.
pub const RECEIVE_BUFFER_BYTES: usize = 65_536 + 4_096;

/// Orders waiting for one reactor. At 50,000 messages a second two reactors
/// have 160 ms to look; beyond that the sender is told.
pub const MAIL_DEPTH_MAX: usize = 4_096;

/// Sockets accepted in one turn: about 2 ms of work, so that a storm of
/// reconnects leaves room for those who are connected.
pub const ACCEPTS_PER_TURN: usize = 128;

/// Orders taken from the mailbox in one turn.
pub const MAIL_PER_TURN: usize = 1_024;

/// Connections written to by fan-outs in one turn: 256 sends of 4 to 8 µs are 1 to 2 ms.
pub const FANOUT_PER_TURN: usize = 256;

/// Turns of a broadcast after which a reactor hands its permit on if others wait.
pub const FANOUT_TURNS_PER_PERMIT: u32 = 4;

/// A broadcast to so few members of a reactor needs no permit: waiting for one
/// would take longer than writing to them.
pub const FANOUT_WITHOUT_PERMIT: usize = 64;

/// Frames that one pass over an app's members carries to each of them.
/// Stays far below `IOV_MAX` (1,024).
pub const FRAMES_PER_WAVE: usize = 64;

/// Broadcasts waiting in one reactor for their pass; above it the reactor
/// leaves its mail unread and senders are refused.
pub const FANOUT_QUEUE_MAX: usize = 1_024;

/// Connections looked at by the wheel in one turn.
pub const EXPIRIES_PER_TURN: usize = 512;

/// Connections removed in one turn; closing a socket costs the kernel ≈ 10 µs.
pub const CLOSES_PER_TURN: usize = 512;

/// Full receive buffers read from one connection before the others get their turn.
pub const READS_PER_TURN: usize = 4;

/// epoll events taken at once.
pub const EVENTS_PER_TURN: usize = 1_024;

/// Pause after the kernel has run out of descriptors or memory, in milliseconds.
pub const ACCEPT_PAUSE_MS: u64 = 500;

/// HTTP connections at once; further ones wait in the accept queue. At some
/// 100 KiB each, buffers and a piece of a list included, they stay near 100 MiB.
pub const HTTP_CONNECTIONS_MAX: u32 = 1_024;

/// Largest head of an HTTP request, give or take one read; answered 431 above it.
pub const HTTP_HEAD_BYTES_MAX: usize = 32_768;

/// Silence on an HTTP connection between two requests, and time for a head to arrive.
pub const HTTP_IDLE_SECONDS: u64 = 30;

/// Time for the body of an HTTP request to arrive; 408 after it.
pub const HTTP_BODY_SECONDS: u64 = 10;

/// How long a browser may remember the answer to a preflight: long enough to
/// save most of them, short enough that a changed list of origins is noticed.
pub const CORS_CACHE_SECONDS: u64 = 600;

/// How much of a body above the limit is read and thrown away, so that a
/// caller who is still writing sees the answer instead of a reset.
pub const HTTP_DISCARD_BYTES_MAX: usize = 1 << 20;

/// A streamed answer is made in pieces of about this size, each when the
/// one before it has left.
pub const HTTP_PIECE_BYTES: usize = 32_768;

/// Users taken from the directory at once for a list. At a million users in
/// one room that is mostly a whole shard, which is then looked through only once.
pub const LIST_PAGE_MAX: usize = 4_096;

/// Lines of the kernel's socket list read at once.
pub const SOCKET_LINES_PER_PIECE: usize = 4_096;

/// Log lines waiting to be written, about 4 MiB; further ones are dropped and counted.
pub const LOG_LINES_MAX: usize = 16_384;

/// `Retry-After` of a 503: a full node is not worth asking again at once.
pub const RETRY_AFTER_SECONDS: u32 = 10;

/// Descriptors of a table left for other things than connections.
pub const FD_RESERVE: usize = 64;

/// Length of the accept queue asked for; the kernel lowers it to `somaxconn`.
pub const LISTEN_BACKLOG: i32 = 65_535;

/// `TCP_NOTSENT_LOWAT`: unsent bytes above this stay in user space, where they can be dropped.
pub const NOTSENT_LOWAT_BYTES: u32 = 16_384;

/// `TCP_USER_TIMEOUT`: a peer that does not acknowledge for so long is gone.
pub const TCP_USER_TIMEOUT_SECONDS: u64 = 30;

/// How long a closing handshake, or the last bytes to a peer that is being
/// closed, may take.
pub const CLOSE_TIMEOUT_SECONDS: u32 = 5;

/// Bytes charged to a backlog for each queued frame besides its own: the queue's entry.
pub const OUTBOX_ENTRY_BYTES: usize = 64;

/// Reactors in one process; bounded by the 16 bits in a connection's address.
pub const REACTORS_MAX: usize = 1_024;

/// Connections of one reactor, whatever the descriptors allow.
pub const CONNECTIONS_PER_REACTOR_MAX: usize = 1 << 22;
