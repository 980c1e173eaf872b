//! One listener of a reactor: opened, watched, closed for a while.
//!
//! At an address each reactor has a listener of its own and the kernel divides
//! the clients (`SO_REUSEPORT`). A unix socket there is only one of, which all
//! reactors accept from: `EPOLLEXCLUSIVE` lets each client wake one of them
//! instead of all, and who has accepted goes to the end of the kernel's queue.

use crate::config::Listener;
use crate::limits::{
    LISTEN_BACKLOG, NOTSENT_LOWAT_BYTES, TCP_USER_TIMEOUT_SECONDS, UNIX_SEND_BUFFER_BYTES,
};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{SocketFlags, accept_with};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Where a reactor is to accept clients.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// The place, and what clients say there first. Port 0 is for the first reactor only.
    pub listener: Listener,
    /// Leave IPv4 at this port to another entrance.
    pub only_v6: bool,
    /// The one unix socket that all reactors accept from.
    pub shared: Option<Arc<OwnedFd>>,
}

/// A listener that can be closed for a while.
#[derive(Debug)]
pub(super) struct Gate {
    entrance: Entrance,
    token: Token,
    socket: Option<Listening>,
    /// The accept queue may hold more; edge-triggered epoll will not say so again.
    pub(super) more: bool,
    /// Somebody was accepted since it was watched.
    has_accepted: bool,
}

#[derive(Debug)]
enum Listening {
    Own(OwnedFd),
    Shared(Arc<OwnedFd>),
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own(socket) => socket.as_fd(),
            Self::Shared(socket) => socket.as_fd(),
        }
    }
}

impl Gate {
    /// Opens it; other reactors may share the place.
    pub(super) fn open(entrance: Entrance, token: Token, registry: &Registry) -> io::Result<Self> {
        let mut gate = Self { entrance, token, socket: None, more: false, has_accepted: false };
        gate.reopen(registry)?;
        if let (Some(Listening::Own(socket)), Some(address)) =
            (&gate.socket, gate.entrance.listener.address())
        {
            let bound = SockRef::from(socket).local_addr()?.as_socket();
            // The port is known from here on.
            gate.entrance.listener.place = crate::config::Place::Tcp(bound.unwrap_or(address));
        }
        Ok(gate)
    }

    /// Where it is, and what comes first there.
    pub(super) fn listener(&self) -> &Listener {
        &self.entrance.listener
    }

    pub(super) fn is_closed(&self) -> bool {
        self.socket.is_none()
    }

    /// Opens the listener if it is closed.
    pub(super) fn reopen(&mut self, registry: &Registry) -> io::Result<()> {
        if self.socket.is_some() {
            return Ok(());
        }
        let socket = match (self.entrance.listener.address(), &self.entrance.shared) {
            (Some(address), _) => Listening::Own(listen(address, self.entrance.only_v6)?),
            (None, Some(shared)) => Listening::Shared(Arc::clone(shared)),
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        self.watch(&socket, registry)?;
        self.socket = Some(socket);
        self.more = true;
        Ok(())
    }

    fn watch(&self, socket: &Listening, registry: &Registry) -> io::Result<()> {
        match socket {
            Listening::Own(socket) => registry.register(
                &mut SourceFd(&socket.as_raw_fd()),
                self.token,
                Interest::READABLE,
            ),
            // mio has no word for exclusive.
            Listening::Shared(socket) => {
                let data = EventData::new_u64(self.token.0 as u64);
                let flags = EventFlags::IN | EventFlags::ET | EventFlags::EXCLUSIVE;
                Ok(epoll::add(registry, socket, data, flags)?)
            }
        }
    }

    /// Closes the listener, or turns away from it if it is shared, so that new
    /// clients go to the other reactors.
    pub(super) fn close(&mut self, registry: &Registry) {
        if let Some(Listening::Shared(socket)) = self.socket.take() {
            // It fails only if it was not watched, which is what is wanted.
            let _unwatched = epoll::delete(registry, socket);
        }
        self.more = false;
    }

    /// Closes it for everybody and for ever. Who waits in the queue of a shared
    /// one is sent away: it would be closed only when the last reactor ends.
    pub(super) fn close_for_good(&mut self, registry: &Registry) {
        self.close(registry);
        let Some(shared) = &self.entrance.shared else { return };
        // Refuses who comes from now on; the other reactors may have been first.
        let _shut = SockRef::from(shared).shutdown(Shutdown::Read);
        for _ in 0..LISTEN_BACKLOG {
            if accept_with(shared, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK).is_err() {
                break;
            }
        }
    }

    /// The next client that waits; `None` when nobody does.
    pub(super) fn accept(&mut self, registry: &Registry) -> io::Result<Option<OwnedFd>> {
        let Some(listening) = &self.socket else { return Ok(None) };
        match accept_with(listening, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => {
                if let Listening::Shared(_) = listening {
                    self.has_accepted = true;
                    // Not inherited from the listener. Whatever the kernel takes, nobody can
                    // drop any more.
                    SockRef::from(&socket).set_send_buffer_size(UNIX_SEND_BUFFER_BYTES)?;
                }
                Ok(Some(socket))
            }
            Err(rustix::io::Errno::AGAIN) => {
                self.more = false;
                self.let_others_go_first(registry).map(|()| None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The kernel wakes the first in its queue who sleeps, always the same one
    /// unless it goes to the end.
    fn let_others_go_first(&mut self, registry: &Registry) -> io::Result<()> {
        let has_accepted = std::mem::take(&mut self.has_accepted);
        if has_accepted && self.entrance.shared.is_some() {
            self.close(registry);
            self.reopen(registry)?;
            // Whoever comes from here on is announced, and so is who waits already.
            self.more = false;
        }
        Ok(())
    }
}

/// Opens a listener. Its options are inherited by every socket it accepts
/// (kernel: `tcp_create_openreq_child` copies the whole `tcp_sock`), which
/// saves three system calls a connection.
fn listen(address: SocketAddr, only_v6: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(Duration::from_secs(TCP_USER_TIMEOUT_SECONDS)))?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)?;
    bind(&socket, address, only_v6)?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// What `[::]` takes is left to the host (`net.ipv6.bindv6only`), unless IPv4
/// has an entrance of its own.
fn bind(socket: &Socket, address: SocketAddr, only_v6: bool) -> io::Result<()> {
    if only_v6 {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())
}

/// Makes sure that nobody else listens on `address`: with `SO_REUSEPORT` a
/// second node on the same port would get half of the clients, silently.
///
/// # Errors
/// `EADDRINUSE`, or whatever else forbids listening there.
pub fn probe(address: SocketAddr, only_v6: bool) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    bind(&socket, address, only_v6)?;
    socket.listen(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn loopback(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), 0)
    }

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let listener = listen(loopback("127.0.0.1"), false).unwrap();
        let listener = TcpListener::from(listener);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
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
        let taken = TcpListener::from(listen(loopback("127.0.0.1"), false).unwrap());
        let error = probe(taken.local_addr().unwrap(), false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn both_families_fit_on_one_port_if_they_are_split() {
        let pair = (0..100).find_map(|_| {
            let v6 = TcpListener::from(listen(loopback("::"), true).unwrap());
            let port = v6.local_addr().unwrap().port();
            // Somebody else may have just this port of IPv4.
            probe(SocketAddr::from(([0, 0, 0, 0], port)), false).ok()?;
            Some((v6, listen(SocketAddr::from(([0, 0, 0, 0], port)), false).ok()?, port))
        });
        let (v6, _v4, port) = pair.expect("a port that is free in both families");
        assert_eq!(v6.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(v6.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
