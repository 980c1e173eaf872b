//! The socket of a connection, whatever it is connected over.

use crate::address::ClientAddr;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A connected socket that does not block, over TCP or in a file: four bytes.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Ends one side of the connection, or both.
    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(&self.0, how)?)
    }

    /// Who is at the other end: asked of the kernel, which costs a system call.
    pub(super) fn peer(&self) -> ClientAddr {
        match rustix::net::getpeername(&self.0) {
            Ok(Some(address)) => {
                SocketAddr::try_from(address).map_or(ClientAddr::Unix, ClientAddr::from)
            }
            Ok(None) => ClientAddr::Unix,
            Err(_) => ClientAddr::Unknown,
        }
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(&self.0, buffer, RecvFlags::empty())?.0)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // SIGPIPE, which this could raise, is ignored in every Rust program.
        Ok(rustix::io::writev(&self.0, slices)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_is_four_bytes_and_knows_its_peer() {
        assert_eq!(size_of::<Option<Socket>>(), 4);
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut socket = Socket::from(OwnedFd::from(near));
        assert_eq!(socket.peer(), ClientAddr::Unix);
        assert_eq!(socket.write(b"ab").unwrap(), 2);
        assert_eq!(socket.write_vectored(&[IoSlice::new(b"c"), IoSlice::new(b"d")]).unwrap(), 2);
        socket.shutdown(Shutdown::Write).unwrap();
        let mut received = String::new();
        far.read_to_string(&mut received).unwrap();
        assert_eq!(received, "abcd");
        drop(far);
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
        assert_eq!(socket.write(b"e").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_peer_in_the_clothes_of_ipv6_is_shown_as_what_it_is() {
        let listener = std::net::TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let socket = Socket::from(OwnedFd::from(listener.accept().unwrap().0));
        assert_eq!(socket.peer().to_string(), client.local_addr().unwrap().to_string());
    }
}
