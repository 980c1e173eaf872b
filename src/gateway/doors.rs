//! Where clients come in: looked at before the start, and kept while the node runs.

use super::StartError;
use crate::config::{Listener, Listeners, Place};
use crate::host::unix::UnixDoor;
use crate::reactor::{self, Entrance};
use std::fmt;
use std::os::fd::{AsRawFd, RawFd};

/// The listeners of WebSocket clients. Those at addresses each reactor opens for
/// itself; unix sockets are open already, for all, and their files go with this.
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

    fn enter(&mut self, listeners: &Listeners, listener: &Listener) -> std::io::Result<Entrance> {
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
