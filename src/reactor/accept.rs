//! The listener of one reactor, and what each failure to accept means.

use super::{LISTENER, Reactor};
use crate::limits::{
    ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN, LISTEN_BACKLOG, NOTSENT_LOWAT_BYTES, RETRY_AFTER_SECONDS,
    TCP_USER_TIMEOUT_SECONDS,
};
use crate::metrics::Cause;
use crate::websocket::handshake;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A listener that can be closed for a while.
#[derive(Debug)]
pub(super) struct Acceptor {
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// The accept queue may hold more; edge-triggered epoll will not say so again.
    pub(super) more: bool,
    /// No accept before this time.
    pub(super) paused_until: Option<Duration>,
    closed_for_good: bool,
}

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// That connection is lost; the next may be fine.
    Next,
    /// Nothing will work until somebody frees something: wait.
    Pause,
    /// The listener itself is broken: open it anew, after a pause.
    GiveUp,
}

/// accept(2): errors of the new connection itself are passed on by Linux and
/// concern only it; running out of something concerns everybody.
fn verdict(error: &io::Error) -> Verdict {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC) => {
            Verdict::Pause
        }
        Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) => {
            Verdict::GiveUp
        }
        _ => Verdict::Next,
    }
}

impl Acceptor {
    /// Opens the listener; other reactors may share its address.
    pub(super) fn open(address: SocketAddr, registry: &Registry) -> io::Result<Self> {
        let listener = listen(address)?;
        let address = listener.local_addr()?;
        let mut acceptor = Self {
            address,
            listener: None,
            more: false,
            paused_until: None,
            closed_for_good: false,
        };
        acceptor.watch(listener, registry)?;
        Ok(acceptor)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener so that new clients go to the other reactors.
    pub(super) fn close(&mut self) {
        self.listener = None;
        self.more = false;
    }

    /// Closes the listener for ever.
    pub(super) fn close_for_good(&mut self) {
        self.close();
        self.closed_for_good = true;
        self.paused_until = None;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.listener.is_none() && !self.closed_for_good
    }

    /// Opens the listener again.
    fn reopen(&mut self, registry: &Registry) -> io::Result<()> {
        let listener = listen(self.address)?;
        self.watch(listener, registry)
    }

    fn watch(&mut self, mut listener: TcpListener, registry: &Registry) -> io::Result<()> {
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        self.listener = Some(listener);
        self.more = true;
        Ok(())
    }

    fn pause(&mut self, now: Duration) {
        self.paused_until = Some(now + Duration::from_millis(ACCEPT_PAUSE_MS));
    }

    fn next(&self) -> io::Result<Option<TcpStream>> {
        let Some(listener) = &self.listener else {
            return Ok(None);
        };
        match listener.accept() {
            Ok((socket, _)) => Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Reactor {
    /// Accepts what waits, at most so much a turn.
    pub(super) fn accept(&mut self) {
        if !self.may_accept() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            if self.conns.len() >= self.capacity {
                tracing::warn!(reactor = self.index, capacity = self.capacity, "reactor is full");
                self.acceptor.close();
                return;
            }
            let admitted = match self.acceptor.next() {
                Ok(None) => {
                    self.acceptor.more = false;
                    return;
                }
                Ok(Some(socket)) => self.admit(socket),
                Err(error) => Err(error),
            };
            if let Err(error) = admitted
                && !self.after_failed_accept(&error)
            {
                return;
            }
        }
    }

    /// Whether a listener that was closed is to be opened: as soon as a
    /// sixteenth of the room is free again.
    fn may_reopen(&self) -> bool {
        self.acceptor.is_closed() && self.conns.len() < self.capacity - self.capacity / 16
    }

    /// Whether accepting has work for the next turn that nothing will announce.
    pub(super) fn has_to_accept(&self) -> bool {
        self.acceptor.paused_until.is_none() && (self.acceptor.more || self.may_reopen())
    }

    /// Whether it is time to accept: ends a pause, opens a closed listener.
    fn may_accept(&mut self) -> bool {
        if self.acceptor.paused_until.is_some_and(|until| self.now < until) {
            return false;
        }
        if self.acceptor.paused_until.take().is_some() {
            self.acceptor.more = true;
        }
        if self.may_reopen()
            && let Err(error) = self.acceptor.reopen(self.poll.registry())
        {
            tracing::error!(reactor = self.index, %error, "cannot listen again");
            self.acceptor.pause(self.now);
            return false;
        }
        self.acceptor.more
    }

    /// Returns true if the next accept may follow at once.
    fn after_failed_accept(&mut self, error: &io::Error) -> bool {
        let verdict = verdict(error);
        self.stats().accept_errors.add(1);
        if verdict == Verdict::Next {
            return true;
        }
        tracing::warn!(reactor = self.index, %error, ?verdict, "cannot accept");
        self.stats().accept_pauses.add(1);
        if verdict == Verdict::GiveUp {
            self.acceptor.close();
        }
        self.acceptor.pause(self.now);
        false
    }

    /// Takes a socket in. The only failure is that it cannot be watched
    /// (ENOSPC: `fs.epoll.max_user_watches`), which closes it.
    fn admit(&mut self, socket: TcpStream) -> io::Result<()> {
        self.stats().accepts.add(1);
        let others = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let refused = if others >= self.settings.connections_max {
            Some(Cause::Full)
        } else {
            self.shared.hub.admission.is_closed().then_some(Cause::Memory)
        };
        if let Some(cause) = refused {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            self.stats().count_close(cause);
            turn_away(socket);
            return Ok(());
        }
        self.next_serial = self.next_serial.wrapping_add(1);
        let mut conn = super::conn::Conn::new(socket, self.next_serial, self.tick);
        let token = token(self.conns.vacant_slot(), conn.serial);
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut conn.socket, token, both) {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(error);
        }
        let slot = self.conns.insert(conn);
        self.file(slot);
        Ok(())
    }
}

/// Tells a client that the node is full. Best effort: the socket does not block.
fn turn_away(mut socket: TcpStream) {
    let mut answer = Vec::new();
    handshake::append_unavailable(&mut answer, RETRY_AFTER_SECONDS);
    let mut scratch = [0; 2_048];
    let _request_may_not_be_here = socket.read(&mut scratch);
    let _nobody_may_listen = socket.write(&answer).and_then(|_| socket.shutdown(Shutdown::Write));
}

/// Slot and serial in one word: a stale event names a serial that is gone.
fn token(slot: u32, serial: u32) -> Token {
    Token(slot as usize | (serial as usize) << u32::BITS)
}

/// The other way round.
pub(super) fn from_token(token: Token) -> (u32, u32) {
    let word = token.0 as u64;
    ((word & u64::from(u32::MAX)) as u32, (word >> u32::BITS) as u32)
}

/// Opens a listener. Its options are inherited by every socket it accepts
/// (kernel: `tcp_create_openreq_child` copies the whole `tcp_sock`), which
/// saves three system calls a connection.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(TCP_USER_TIMEOUT_SECONDS)))?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Makes sure that nobody else listens on `address`: with `SO_REUSEPORT` a
/// second node on the same port would get half of the clients, silently.
///
/// # Errors
/// `EADDRINUSE`, or whatever else forbids listening there.
pub fn probe(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    SockRef::from(&socket).listen(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_verdict() {
        let verdict_of = |code| verdict(&io::Error::from_raw_os_error(code));
        for lost in [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::ENETUNREACH] {
            assert_eq!(verdict_of(lost), Verdict::Next);
        }
        for scarce in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC] {
            assert_eq!(verdict_of(scarce), Verdict::Pause);
        }
        for broken in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
            assert_eq!(verdict_of(broken), Verdict::GiveUp);
        }
    }

    #[test]
    fn tokens_carry_slot_and_serial() {
        for pair in [(0, 0), (7, u32::MAX), ((1 << 22) - 1, 12_345)] {
            assert_eq!(from_token(token(pair.0, pair.1)), pair);
        }
    }

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, _) = listener.accept().unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT_BYTES);
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(TCP_USER_TIMEOUT_SECONDS))
        );
    }

    #[test]
    fn a_port_that_is_shared_is_found_out() {
        let taken = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let error = probe(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
