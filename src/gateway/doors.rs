//! Where clients come in: looked at before the start, and kept while the node runs. And
//! where the API is served.

use super::StartError;
use crate::config::{Listener, Listeners, Place};
use crate::control::{HttpDoor, HttpSocket};
use crate::host::unix::UnixDoor;
use crate::limits::HTTP_CONNECTIONS_MAX;
use crate::reactor::{self, Entrance};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};

/// The listeners of WebSocket clients. Those at addresses each reactor opens for
/// itself; unix sockets are open already, for all. The files of all unix sockets go with this.
#[derive(Debug)]
pub(super) struct Doors {
    entrances: Vec<Entrance>,
    files: Vec<UnixDoor>,
}

impl Doors {
    /// Makes sure that all places are free, and opens the unix sockets. They have to be
    /// there before any descriptor table is split: every reactor must hold them.
    pub(super) fn open(listeners: &Listeners) -> Result<Self, StartError> {
        let mut doors = Self { entrances: Vec::new(), files: Vec::new() };
        for listener in listeners {
            let entrance = match doors.enter(listeners, listener) {
                Ok(entrance) => entrance,
                Err(error) => {
                    return Err(StartError::Listen { listener: listener.clone(), error });
                }
            };
            doors.entrances.push(entrance);
        }
        Ok(doors)
    }

    fn enter(&mut self, listeners: &Listeners, listener: &Listener) -> io::Result<Entrance> {
        let mut entrance = Entrance { listener: listener.clone(), only_v6: false, shared: None };
        match &listener.place {
            Place::Tcp(address) => {
                entrance.only_v6 = listeners.splits_families(*address);
                if address.port() != 0 {
                    reactor::probe(*address, entrance.only_v6)?;
                }
            }
            Place::Unix { path, mode } => {
                let door = UnixDoor::open(path, *mode)?;
                entrance.shared = Some(door.socket());
                self.files.push(door);
            }
        }
        Ok(entrance)
    }

    /// Opens the listeners of the API.
    pub(super) fn open_http(&mut self, listeners: &Listeners) -> Result<Vec<HttpDoor>, StartError> {
        let mut doors = Vec::new();
        for listener in listeners {
            let door = self.enter_http(listeners, listener);
            let listener = || listener.clone();
            doors.push(door.map_err(|error| StartError::Http { listener: listener(), error })?);
        }
        Ok(doors)
    }

    fn enter_http(&mut self, listeners: &Listeners, listener: &Listener) -> io::Result<HttpDoor> {
        let mut listener = listener.clone();
        let socket = match &mut listener.place {
            Place::Tcp(address) => {
                let socket = listen_tcp(*address, listeners.splits_families(*address))?;
                *address = socket.local_addr()?;
                socket.set_nonblocking(true)?;
                HttpSocket::Tcp(socket)
            }
            Place::Unix { path, mode } => {
                let door = UnixDoor::open(path, *mode)?;
                let socket = door.socket().try_clone()?;
                self.files.push(door);
                HttpSocket::Unix(socket.into())
            }
        };
        Ok(HttpDoor { listener, socket })
    }

    /// What the next reactor opens.
    pub(super) fn entrances(&self) -> Vec<Entrance> {
        self.entrances.clone()
    }

    /// Takes the ports that the first reactor was given.
    pub(super) fn settle(&mut self, opened: Vec<Listener>) {
        for (entrance, listener) in self.entrances.iter_mut().zip(opened) {
            entrance.listener = listener;
        }
    }

    /// Where clients are listened for.
    pub(super) fn listeners(&self) -> Vec<Listener> {
        self.entrances.iter().map(|entrance| entrance.listener.clone()).collect()
    }

    /// The descriptors that a private table must keep.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.files.iter().map(|door| door.socket().as_raw_fd())
    }
}

/// As the line of the start shows them.
impl fmt::Display for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entrance) in self.entrances.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            entrance.listener.fmt(f)?;
        }
        Ok(())
    }
}

/// With room for all connections that are served at once: the standard
/// library asks for less, and a burst of callers would wait for SYN retries.
pub(super) fn listen_tcp(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(HTTP_CONNECTIONS_MAX).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}
