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
//! (([`MAIL_DEPTH_MAX`] + [`MAIL_RESERVED`]) × 48 bytes), its thread's stack.

/// The one receive buffer of a reactor. Large enough that a message of the
/// default size limit usually arrives whole and is handled in place.
pub const RECEIVE_BUFFER_BYTES: usize = 65_536 + 4_096;

/// Orders waiting for one reactor. At 50,000 messages a second two reactors
/// have 160 ms to look; beyond that the sender is told.
pub const MAIL_DEPTH_MAX: usize = 4_096;

/// Further places in each mailbox for what must not be refused: broadcasts that were admitted (twice
/// as many where other nodes have admitted them), announcements, canaries and orders of the node.
pub const MAIL_RESERVED: usize = 2 * BROADCASTS_MAX + ANNOUNCEMENTS_MAX + 256;

/// News that wait for the control plane of a node in a cluster, 64 bytes each. At
/// 20,000 logins a second it may lag by three seconds; what is lost then heals.
pub const EVENTS_MAX: usize = 65_536;

/// News passed on before other tasks get their turn.
pub const EVENTS_PER_STRETCH: usize = 1_024;

/// Sockets accepted in one turn: about 2 ms of work, so that a storm of
/// reconnects leaves room for those who are connected.
pub const ACCEPTS_PER_TURN: usize = 128;

/// Orders taken from the mailbox in one turn.
pub const MAIL_PER_TURN: usize = 1_024;

/// Connections written to by fan-outs in one turn: sends of 4 to 8 µs, 4 to 8 ms
/// at most. No fewer than a room that hears of each arrival has by default: its
/// waves end within their turn, so that who logs in next is not told of who came before.
pub const FANOUT_PER_TURN: usize = 1_024;

/// Turns of a broadcast after which a reactor hands its permit on if others wait.
pub const FANOUT_TURNS_PER_PERMIT: u32 = 2;

/// A broadcast to so few members of a reactor needs no permit: waiting for one
/// would take longer than writing to them. A room that hears of each arrival
/// has no more on each of eight reactors, by default.
pub const FANOUT_WITHOUT_PERMIT: usize = 128;

/// A broadcast to more members than a turn writes to gives way once after so many, some
/// half a millisecond's work.
pub const FANOUT_FIRST_STRETCH: usize = 128;

/// Frames that one pass over an app's members carries to each of them.
/// Stays far below `IOV_MAX` (1,024).
pub const FRAMES_PER_WAVE: usize = 64;

/// Broadcasts of users under way on a node at a time: the largest value of `broadcast.messages`.
pub const BROADCASTS_MAX: usize = 1_024;

/// Broadcasts that wait for admission, of all rooms together.
pub const BROADCASTS_WAITING_MAX: usize = 512;

/// The same of one room: others can still wait.
pub const BROADCASTS_WAITING_OF_ROOM: usize = 128;

/// The same of one sender.
pub const BROADCASTS_WAITING_OF_SENDER: usize = 4;

/// Time between two looks of a broadcast whether its turn has come, in milliseconds.
pub const BROADCAST_LOOK_MS: u64 = 2;

/// Announcements and digests under way on a node at a time; above it a room gets a digest later.
pub const ANNOUNCEMENTS_MAX: usize = 4_096;

/// Time that clients get to answer the close 1012 after the last of a reactor was told, in
/// milliseconds. Then they are cut off: all others were told to be back soon after.
pub const LAST_ANSWERS_MS: u64 = 1_000;

/// Answers to `/system/state?isDebug=true` that are made at the same time; more callers get 503.
pub const DEBUG_ANSWERS_MAX: usize = 2;

/// Time in which such an answer must have been read; then it breaks off.
pub const DEBUG_ANSWER_SECONDS: u64 = 60;

/// Connections looked at by the wheel in one turn.
pub const EXPIRIES_PER_TURN: usize = 512;

/// Of these so many even when the turn's time for reading is spent.
pub const EXPIRIES_PER_TURN_MIN: usize = 32;

/// Connections told of the end in one turn: a close frame each, some 10 µs.
pub const TOLD_PER_TURN: usize = 512;

/// Connections filed anew in one turn when time-outs have become shorter, below a millisecond's work.
pub const REFILED_PER_TURN: usize = 4_096;

/// Longest URL in `stop.other_nodes`: it has to fit into the reason of a close
/// frame beside a delay of up to eight digits.
pub const OTHER_NODE_BYTES_MAX: usize = 79;

/// Connections looked at in one turn for an order that is about some of them: below
/// a millisecond, also where the kernel has to be asked for each address.
pub const SWEPT_PER_TURN: usize = 2_048;

/// Connections closed by order in one turn.
pub const KICKED_PER_TURN: usize = 512;

/// Such orders under way in one reactor; with more its mail waits.
pub const SWEEPS_MAX: usize = 16;

/// Connections of a reactor that a trace watches; it is for looking at a few.
pub const TRACED_CONNECTIONS_MAX: usize = 64;

/// Traces at once.
pub const TRACES_MAX: usize = 4;

/// Lines of a trace that wait for its reader, at most 2 MiB with contents.
pub const TRACE_LINES_WAITING_MAX: usize = 1_024;

/// Bytes of a payload that a trace shows, where it may.
pub const TRACE_CONTENT_BYTES: usize = 2_048;

/// Connections that a search for some tells of.
pub const FOUND_MAX: usize = 100;

/// Largest backlogs that each reactor shows.
pub const BACKLOGS_SHOWN: usize = 8;

/// Nodes that clients of a node that stops are sent to.
pub const OTHER_NODES_MAX: usize = 64;

/// Orders to the node that wait; more than that nobody means.
pub const ORDERS_MAX: usize = 16;

/// Signatures of tokens that are verified in one turn: 20 to 55 µs each (`cargo bench
/// --bench token`), so some milliseconds at most. Whoever has not logged in yet waits for a turn that has some left; a
/// renewal is told to come again. Tokens by a shared secret cost next to nothing and are not counted.
pub const VERIFICATIONS_PER_TURN: u32 = 64;

/// Of these so many are kept for new tokens of clients that are logged in: a storm of bad tokens
/// does not cost them their session.
pub const VERIFICATIONS_RESERVED: u32 = 16;

/// Tokens that are not good are forgotten when none has come for so long.
pub const BAD_TOKENS_KEPT_SECONDS: u16 = 60;

/// Tokens that are not good after which a connection is closed: nobody types them by hand.
pub const BAD_TOKENS_MAX: u8 = 3;

/// Longest token: those of large providers have two to four thousand bytes.
pub const TOKEN_BYTES_MAX: usize = 8_192;

/// Keys of a key set: providers publish two or three.
pub const TOKEN_KEYS_MAX: usize = 32;

/// Keys that one token is tried with: a token that names none may be signed with any key of its
/// algorithm that has no name. Each of them costs a signature of [`VERIFICATIONS_PER_TURN`].
pub const TOKEN_TRIES_MAX: usize = 4;

/// Messages of clients to others that wait for the control plane: at 50,000 a second it
/// may lag by 80 ms; beyond that a sender is told.
pub const SENDS_MAX: usize = 4_096;

/// Bytes of them.
pub const SENDS_BYTES_MAX: usize = 16 << 20;

/// Ways that they go side by side: those of one sender keep their order, and a node
/// that does not answer holds up only those who share a way with somebody who writes to it.
pub const SEND_LANES: usize = 64;

/// Messages of one sender that wait on one of these.
pub const SEND_LANE_MAX: usize = 256;

/// Messages of all senders that wait on one of these.
pub const SEND_LANE_TOTAL_MAX: usize = 4 * SEND_LANE_MAX;

/// Connections removed in one turn; closing a socket costs the kernel ≈ 10 µs.
pub const CLOSES_PER_TURN: usize = 512;

/// Time for handshakes of TLS in one turn, in microseconds. One costs 0.1 (ECDSA) to
/// 1 ms (RSA), as much as some hundred messages: the rest waits for the next turn.
pub const TLS_HANDSHAKES_US_PER_TURN: u64 = 1_000;

/// Full receive buffers read from one connection before the others get their turn.
pub const READS_PER_TURN: usize = 4;

/// Time for reading in one turn, in microseconds, with all that the messages cause. When half
/// of it is spent, reads are short; when all of it is, connections wait for the next turn.
pub const READING_US_PER_TURN: u64 = 5_000;

/// Time that each turn has at least for connections that send more than a read takes.
pub const READING_GREEDY_US_PER_TURN: u64 = 2_000;

/// Bytes that one read takes while other connections wait: more than most messages have, and at
/// most some hundred of the smallest. So thousands that begin to flood at once delay the others
/// by one such read each.
pub const LIGHT_READ_BYTES: usize = 1_024;

/// The same for a connection that has filled its last read.
pub const GREEDY_READ_BYTES: usize = 8_192;

/// epoll events taken at once.
pub const EVENTS_PER_TURN: usize = 1_024;

/// Pause after the kernel has run out of descriptors or memory, in milliseconds.
pub const ACCEPT_PAUSE_MS: u64 = 500;

/// HTTP connections at once; beyond it, one that waits for its peer ends for each new one. At some
/// 100 KiB each, buffers and a piece of a list included, they stay near 100 MiB.
pub const HTTP_CONNECTIONS_MAX: u32 = 1_024;

/// HTTP connections beside those, for probes and operators: other requests over one of them are
/// answered 503.
pub const HTTP_CONNECTIONS_RESERVED: u32 = 32;

/// HTTP connections of one address, or a /64 of IPv6, at once: half of all. Beyond it, one of its own
/// that waits for its peer ends for each new one. Loopback, unix sockets and `listen.trusted_proxies`,
/// which speak for others, have no such bound.
pub const HTTP_CONNECTIONS_PER_ADDRESS_MAX: usize = 512;

/// How long a reader may take nothing of its answer.
pub const HTTP_READER_SECONDS: u64 = 30;

/// How fast a reader has to take its answer once it has used up that time.
pub const HTTP_READER_BYTES_PER_SECOND: u64 = 4_096;

/// Largest head of an HTTP request, give or take one read; answered 431 above it.
pub const HTTP_HEAD_BYTES_MAX: usize = 32_768;

/// Header lines of an HTTP request: far above what layers of proxies add, and below what fits
/// its head. The parser makes room for so many.
pub const HTTP_HEADERS_MAX: usize = 512;

/// Time for the first head on an HTTP connection; later ones have `control.keep_alive`.
pub const HTTP_HEAD_SECONDS: u64 = 10;

/// Time for a caller of the API to shake hands where it is served over TLS.
pub const HTTP_TLS_SECONDS: u64 = 5;

/// Time for the body of an HTTP request to arrive; 408 after it.
pub const HTTP_BODY_SECONDS: u64 = 10;

/// How long a browser may remember the answer to a preflight: long enough to
/// save most of them, short enough that a changed list of origins is noticed.
pub const CORS_CACHE_SECONDS: u64 = 600;

/// How much of a body above the limit is read and thrown away, so that a
/// caller who is still writing sees the answer instead of a reset.
pub const HTTP_DISCARD_BYTES_MAX: usize = 1 << 20;

/// Messages in one request to `/user/sendMessages`: some milliseconds of work, and an
/// eighth of what may be on its way to one peer ([`PEER_ITEMS_MAX`]).
pub const BATCH_MESSAGES_MAX: usize = 1_000;

/// The largest that `limits.user_id_bytes` may be on any node: the length is kept in a byte.
pub const USER_ID_BYTES_MAX: usize = 255;

/// Longest msgID of the API: it becomes the name of a key in Redis, which is kept for hours.
pub const MSG_ID_BYTES_MAX: usize = 255;

/// A streamed answer is made in pieces of about this size, each when the
/// one before it has left.
pub const HTTP_PIECE_BYTES: usize = 32_768;

/// Users taken from the directory at once for a list. At a million users in
/// one room that is mostly a whole shard, which is then looked through only once.
pub const LIST_PAGE_MAX: usize = 4_096;

/// Addresses of clients that a reactor tells at once, each a system call of some
/// 300 ns: half a millisecond at most.
pub const CLIENTS_PER_PAGE: usize = 1_024;

/// How long a list of addresses waits for a reactor to tell the next ones, in milliseconds.
pub const CLIENTS_WAIT_MS: u64 = 2_000;

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

/// Bytes that the kernel takes for a client on a unix socket, where the bound above
/// does not exist; it counts its own bookkeeping as well, and doubles the number.
pub const UNIX_SEND_BUFFER_BYTES: usize = 32_768;

/// `TCP_USER_TIMEOUT`: a peer that does not acknowledge for so long is gone.
pub const TCP_USER_TIMEOUT_SECONDS: u64 = 30;

/// How long a closing handshake, or the last bytes to a peer that is being
/// closed, may take.
pub const CLOSE_TIMEOUT_SECONDS: u32 = 5;

/// Bytes charged to a backlog for each queued frame besides its own: the queue's entry.
pub const OUTBOX_ENTRY_BYTES: usize = 64;

/// Apps of a node, those too that a reload has taken out of the configuration:
/// they have small numbers inside, and every reactor a list of members for each.
pub const APPS_MAX: usize = 4_096;

/// Reactors in one process; bounded by the 16 bits in a connection's address.
pub const REACTORS_MAX: usize = 1_024;

/// Connections of one reactor, whatever the descriptors allow.
pub const CONNECTIONS_PER_REACTOR_MAX: usize = 1 << 22;

/// Users whose record waits to be written: an outage of 13 s at 20,000 logins a
/// second. At some 150 bytes each they stay near 40 MiB. What does not fit is
/// swept up later, or runs out in Redis.
pub const PRESENCE_WAITING_MAX: usize = 262_144;

/// Users whose record is renewed some times soon after their login, beside nodes of gowebsocket:
/// those of 4 s at 16,000 logins a second, at some 60 bytes each.
pub const RENEWED_SOON_MAX: usize = 65_536;

/// Commands in one pipeline to Redis: some 100 KiB, 5 ms of its time.
pub const PRESENCE_BATCH: usize = 512;

/// Pipelines under way at once: enough to keep Redis busy over a round trip of
/// some milliseconds, few enough to stay far below `redis.timeout`.
pub const PRESENCE_BATCHES: usize = 4;

/// Records renewed in a second when everything has to be told again: two thirds of
/// the 79,000 that one Redis was seen to carry on one core, so that lookups and logins go on.
pub const SWEEP_USERS_PER_SECOND_MAX: usize = 50_000;

/// Users of other nodes whose place is remembered, at some 150 bytes each.
pub const LOCATED_MAX: usize = 100_000;

/// Bytes of all that is remembered of them, names included.
pub const LOCATED_BYTES_MAX: u64 = 20 << 20;

/// Nodes of a registration that are looked at; what somebody else writes there is no bound.
pub const NODES_MAX: usize = 4_096;

/// gRPC connections of other nodes at once: some for each of 100 nodes, since
/// nodes of gowebsocket open one a call. For a further one, one ends that has shown nothing yet.
pub const GRPC_CONNECTIONS_MAX: usize = 512;

/// gRPC connections of one address, or a /64 of IPv6, at once; loopback has no such bound.
pub const GRPC_CONNECTIONS_PER_ADDRESS_MAX: usize = 256;

/// Time for a gRPC connection to make a call that is let in.
pub const GRPC_FIRST_CALL_SECONDS: u64 = 10;

/// Calls at once on one of them.
pub const GRPC_STREAMS_MAX: u32 = 128;

/// Largest message of a call to this node.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 6 << 20;

/// Bytes of one call under way and not yet read: some batches.
pub const GRPC_STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// The same of all calls of a connection.
pub const GRPC_CONNECTION_WINDOW_BYTES: u32 = 2 << 20;

/// Largest head of a call.
pub const GRPC_HEAD_BYTES_MAX: u32 = 16_384;

/// How long a call may take, up to its answer or the beginning of it. Callers give up after one second.
pub const GRPC_CALL_SECONDS_MAX: u64 = 5;

/// Names in one answer to `GetUserList`, which has no pages: some 20 MB.
pub const GRPC_LIST_NAMES_MAX: usize = 1_000_000;

/// How many of these are made at once.
pub const GRPC_LISTS_AT_ONCE: usize = 2;

/// Items in a batch that a node takes from another.
pub const RELAY_BATCH_ITEMS_MAX: usize = 1_024;

/// Items in a batch that it sends: half of that, so that a batch is on its way
/// while the next is filled.
pub const RELAY_BATCH_ITEMS: usize = 512;

/// A batch is full when it has so many bytes: far below the largest message of a call.
pub const RELAY_BATCH_BYTES: usize = 512 << 10;

/// Largest single message that is sent to another node; with a full batch it
/// stays below [`GRPC_MESSAGE_BYTES_MAX`].
pub const RELAY_PUSH_BYTES_MAX: usize = 5 << 20;

/// Names in a page of a list that a node sends to another.
pub const RELAY_LIST_PAGE_MAX: usize = 1_000;

/// Messages to one peer that are not acknowledged: at 100,000 a second 80 ms.
pub const PEER_ITEMS_MAX: usize = 8_192;

/// Bytes of them.
pub const PEER_BYTES_MAX: usize = 64 << 20;

/// Calls at once to a node of gowebsocket, which has no batches.
pub const PEER_CALLS_MAX: usize = 64;

/// Largest answer of a peer: a list of [`GRPC_LIST_NAMES_MAX`] names.
pub const PEER_ANSWER_BYTES_MAX: usize = 32 << 20;
