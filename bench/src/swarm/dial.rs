//! From no socket to an open connection, and back.

use super::conn::{Phase, Role};
use super::pacer::Pacer;
use super::tls::Tls;
use super::totals::Count;
use super::worker::{Worker, reset, token};
use mio::Interest;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// Attempts that are under way, and those to come.
#[derive(Debug)]
pub(super) struct Dialer {
    /// Connections that may be under way at once.
    at_once: u32,
    under_way: u32,
    /// The first slot that was never dialled.
    cursor: u32,
    target: u32,
    pacer: Option<Pacer>,
    /// Slots to be dialled again, by time.
    waiting: BinaryHeap<Reverse<(u64, u32)>>,
    /// When attempts have taken too long; all may take alike, so the first began first.
    deadlines: VecDeque<(u64, u32, u32)>,
}

/// An attempt that takes longer has failed.
const ATTEMPT_US: u64 = 30_000_000;

/// Attempts begun in one turn, so that the living are served meanwhile.
const DIALS_PER_TURN: u32 = 32;

impl Dialer {
    pub(super) fn new(at_once: u32) -> Self {
        Self {
            at_once,
            under_way: 0,
            cursor: 0,
            target: 0,
            pacer: None,
            waiting: BinaryHeap::new(),
            deadlines: VecDeque::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.under_way < self.at_once
    }

    pub(super) fn next_due_us(&self) -> u64 {
        let overdue = self.deadlines.front().map_or(u64::MAX, |(at, ..)| *at);
        if !self.has_room() {
            return overdue;
        }
        let again = self.waiting.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let first = match &self.pacer {
            _ if self.cursor >= self.target => u64::MAX,
            Some(pacer) => pacer.next_us(),
            None => 0,
        };
        overdue.min(again).min(first)
    }

    /// The next slot whose time has come.
    fn next(&mut self, now_us: u64) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        if let Some(Reverse((at, slot))) = self.waiting.peek().copied()
            && at <= now_us
        {
            self.waiting.pop();
            return Some(slot);
        }
        if self.cursor >= self.target {
            return None;
        }
        if let Some(pacer) = &mut self.pacer {
            pacer.take(now_us)?;
        }
        self.cursor += 1;
        Some(self.cursor - 1)
    }

    pub(super) fn again(&mut self, slot: u32, at_us: u64) {
        self.waiting.push(Reverse((at_us, slot)));
    }

    /// An attempt has ended, well or badly.
    pub(super) fn settled(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }
}

impl Worker {
    pub(super) fn grow(&mut self, to: u32, per_s: Option<f64>) {
        self.dialer.target = to.min(self.setup.share);
        let now = self.now_us();
        self.dialer.pacer = per_s.map(|rate| Pacer::new(now, rate));
    }

    /// Begins attempts, and gives up those that take too long.
    pub(super) fn dial(&mut self) {
        let now = self.now_us();
        for _ in 0..DIALS_PER_TURN {
            let Some(slot) = self.dialer.next(now) else { break };
            self.begin(slot, now);
        }
        while let Some((at, slot, serial)) = self.dialer.deadlines.front().copied() {
            if at > now {
                break;
            }
            self.dialer.deadlines.pop_front();
            let conn = self.conn(slot);
            let pending = matches!(conn.phase, Phase::Connecting | Phase::Upgrading);
            if conn.serial == serial && pending && conn.role != Role::SlowLoris {
                let what = if conn.phase == Phase::Connecting { "connect" } else { "handshake" };
                self.fail(slot, format!("{what}: time-out"));
            }
        }
    }

    fn begin(&mut self, slot: u32, now: u64) {
        self.tally.one(Count::Dialled);
        self.dialer.under_way += 1;
        self.note_dial(slot, now);
        match self.connect(slot) {
            Ok(socket) => {
                let conn = self.conn(slot);
                conn.socket = Some(socket);
                conn.phase = Phase::Connecting;
                let serial = conn.serial;
                self.dialer.deadlines.push_back((now + ATTEMPT_US, slot, serial));
                // On loopback the connection stands already; if not, an event will tell.
                self.writable(slot);
            }
            Err(error) => self.fail(slot, format!("connect: {}", name_of(&error))),
        }
    }

    fn connect(&mut self, slot: u32) -> io::Result<TcpStream> {
        let spec = &self.setup.spec;
        let server = self.url(slot).address;
        let socket = Socket::new(
            Domain::for_address(server),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        if let Some(ip) = spec.sources.of(self.setup.first + slot) {
            super::no_port::set(socket.as_fd())?;
            socket.bind(&SocketAddr::new(ip, 0).into())?;
        }
        socket.set_tcp_nodelay(true)?;
        if self.conns[slot as usize].role != Role::Good {
            // A small window makes itself felt soon.
            socket.set_recv_buffer_size(4_096)?;
        }
        match socket.connect(&server.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        let conn = &mut self.conns[slot as usize];
        conn.serial = conn.serial.wrapping_add(1);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token(slot, conn.serial), both)?;
        Ok(stream)
    }

    /// The connection stands, or can take bytes again.
    pub(super) fn writable(&mut self, slot: u32) {
        let conn = self.conn(slot);
        if conn.phase != Phase::Connecting {
            if let Err(error) = conn.flush_tls() {
                return self.lose(slot, format!("write: {}", name_of(&error)));
            }
            if conn.rest.as_ref().is_some_and(|rest| !rest.outbound.is_empty()) {
                self.flush(slot);
            }
            return;
        }
        let Some(socket) = &conn.socket else { return };
        match (socket.take_error(), socket.peer_addr()) {
            (Ok(None), Ok(_)) => {
                conn.phase = Phase::Upgrading;
                match self.begin_tls(slot) {
                    Ok(()) => self.send_request(slot),
                    Err(error) => self.fail(slot, format!("TLS: {error}")),
                }
            }
            (Ok(None), Err(error)) if error.kind() == io::ErrorKind::NotConnected => {}
            (Ok(Some(error)) | Err(error), _) | (_, Err(error)) => {
                self.fail(slot, format!("connect: {}", name_of(&error)));
            }
        }
    }

    /// Where TLS is wanted it comes before the request.
    fn begin_tls(&mut self, slot: u32) -> io::Result<()> {
        let url = self.url(slot);
        if let Some(config) = self.tls.as_ref().filter(|_| url.is_secure) {
            let tls = Tls::new(config, &url.authority)?;
            self.conns[slot as usize].rest().tls = Some(tls);
        }
        Ok(())
    }

    fn send_request(&mut self, slot: u32) {
        let mut out = std::mem::take(&mut self.out);
        let request = self.handshake(slot).request();
        let loris = self.conns[slot as usize].role == Role::SlowLoris;
        out.extend_from_slice(if loris { &request[..1] } else { request });
        if let (Some(issuer), false) = (&self.setup.spec.handshake_tokens, loris) {
            let token = self.token(slot, issuer);
            // Before the empty line that ends the request.
            out.truncate(out.len() - 2);
            out.extend_from_slice(format!("Authorization: Bearer {token}\r\n\r\n").as_bytes());
        }
        self.write(slot, &out);
        out.clear();
        self.out = out;
    }

    /// An attempt has failed.
    pub(super) fn fail(&mut self, slot: u32, cause: String) {
        let is_good = self.conn(slot).role == Role::Good;
        self.tally.one(if is_good { Count::Failed } else { Count::BadClosed });
        self.dialer.settled();
        self.close(slot);
        self.blame(cause);
        self.note_failure(slot);
        self.come_back(slot);
    }

    /// An open connection has ended against our will.
    pub(super) fn lose(&mut self, slot: u32, cause: String) {
        match self.conn(slot).phase {
            Phase::Absent => return,
            Phase::Connecting | Phase::Upgrading => return self.fail(slot, cause),
            Phase::Open | Phase::LoggingIn | Phase::LoggedIn => {}
        }
        if self.conn(slot).role == Role::Good {
            self.tally.one(Count::Lost);
        } else {
            self.tally.one(Count::BadClosed);
        }
        self.close(slot);
        self.blame(cause);
        self.come_back(slot);
    }

    pub(super) fn come_back(&mut self, slot: u32) {
        if self.conn(slot).role != Role::Good {
            return;
        }
        let tries = self.conn(slot).tries;
        if let Some(delay) = self.policy.delay(tries, &mut self.random) {
            self.conn(slot).tries = tries.saturating_add(1);
            let at = self.now_us() + crate::clock::micros(delay);
            self.dialer.again(slot, at);
        }
    }

    /// Closes a socket and forgets what belonged to it; counts go down with it.
    pub(super) fn close(&mut self, slot: u32) {
        let conn = self.conn(slot);
        let phase = std::mem::take(&mut conn.phase);
        conn.rest = None;
        let (unanswered, bad) = (conn.answered, conn.role != Role::Good);
        // What was under way is lost with the connection; numbers go on.
        conn.sent = conn.sent.max(unanswered);
        conn.answered = conn.sent;
        if let Some(socket) = conn.socket.take() {
            reset(&socket);
        }
        if phase == Phase::LoggingIn {
            self.speech.login_settled();
        }
        if phase == Phase::LoggedIn {
            self.tally.less(Count::Present);
        }
        if phase.is_open() {
            self.tally.less(Count::Open);
        }
        if bad && phase != Phase::Absent {
            self.tally.less(Count::Misbehaving);
        }
    }

    /// Cuts so many of the open connections at once, chosen at random.
    pub(super) fn drop_some(&mut self, count: u32) {
        let mut open: Vec<u32> = (0..self.setup.share)
            .filter(|slot| {
                let conn = &self.conns[*slot as usize];
                conn.phase.is_open() && conn.role == Role::Good
            })
            .collect();
        self.random.shuffle(&mut open);
        for slot in open.into_iter().take(count as usize) {
            self.close(slot);
            let conn = self.conn(slot);
            conn.was_dropped = true;
            conn.tries = 0;
            self.come_back(slot);
        }
    }
}

/// `ECONNREFUSED` instead of a sentence: causes are counted by name.
pub(super) fn name_of(error: &io::Error) -> String {
    let name = match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => "ECONNREFUSED",
        Some(libc::ECONNRESET) => "ECONNRESET",
        Some(libc::EADDRNOTAVAIL) => "EADDRNOTAVAIL",
        Some(libc::EADDRINUSE) => "EADDRINUSE",
        Some(libc::ETIMEDOUT) => "ETIMEDOUT",
        Some(libc::EMFILE) => "EMFILE",
        Some(libc::ENFILE) => "ENFILE",
        Some(libc::ENOBUFS) => "ENOBUFS",
        Some(libc::ENOMEM) => "ENOMEM",
        Some(libc::ENOSPC) => "ENOSPC",
        Some(libc::EHOSTUNREACH) => "EHOSTUNREACH",
        Some(libc::ENETUNREACH) => "ENETUNREACH",
        Some(libc::EPIPE) => "EPIPE",
        _ => return error.to_string(),
    };
    name.to_owned()
}
