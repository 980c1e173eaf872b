//! One thread: its listener, its sockets, its descriptor table.

use crate::answer::Answer;
use crate::peer::{Gone, Peer};
use millgate::host::fd_table;
use millgate_baseline::BACKLOG;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with,
    sockopt,
};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

/// What a thread is given.
pub(crate) struct Start {
    pub(crate) address: SocketAddr,
    pub(crate) core: usize,
    pub(crate) answer: Answer,
    /// Rung when there is an order.
    pub(crate) bell: Arc<OwnedFd>,
    /// Frames for all its sockets.
    pub(crate) inbox: Receiver<Arc<[u8]>>,
    /// How many sockets took a frame.
    pub(crate) counts: SyncSender<u64>,
}

/// A thread at work.
pub(crate) struct Worker {
    poll: OwnedFd,
    listener: OwnedFd,
    start: Start,
    /// By descriptor: any other lookup would be work that need not be done.
    peers: Vec<Option<Peer>>,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

const LISTENER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;
const READABLE: EventFlags = EventFlags::IN.union(EventFlags::ET);
const NONBLOCKING: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

const EVENTS_PER_WAIT: usize = 1_024;
/// As the gateway's receive buffer.
const BUFFER_BYTES: usize = 65_536;
/// After so many full buffers it is somebody else's turn.
const READS_PER_EVENT: usize = 16;
/// The listener is watched by level: who is left over is told of again.
const ACCEPTS_PER_EVENT: usize = 256;

impl Worker {
    /// Opens everything in a descriptor table of the calling thread; returns
    /// where it listens, too.
    pub(crate) fn open(start: Start) -> io::Result<(Self, SocketAddr)> {
        fd_table::make_private(&[start.bell.as_raw_fd()])?;
        let mut core = CpuSet::new();
        core.set(start.core);
        sched_setaffinity(None, &core)?;

        let listener = listener(start.address)?;
        let address = SocketAddr::try_from(getsockname(&listener)?)?;
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        // Need not be read: each ring is a new edge, and a full counter takes 2⁶⁴ of them.
        epoll::add(&poll, &start.bell, EventData::new_u64(BELL), READABLE)?;
        let buffer = vec![0; BUFFER_BYTES];
        Ok((Self { poll, listener, start, peers: Vec::new(), buffer, out: Vec::new() }, address))
    }

    /// Serves until something fails that no client has caused.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_PER_WAIT);
        loop {
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), None) {
                Err(error) if error != Errno::INTR => return Err(error.into()),
                _ => {}
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    BELL => self.obey(),
                    token => self.read(token)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_EVENT {
            match accept_with(&self.listener, NONBLOCKING) {
                Ok(socket) => self.admit(socket)?,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::MFILE) => {
                    return Err(io::Error::other(
                        "a thread's descriptor table is full: start more --threads",
                    ));
                }
                Err(error @ (Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    return Err(error.into());
                }
                // The client went before its turn came.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn admit(&mut self, socket: OwnedFd) -> io::Result<()> {
        let index = usize::try_from(socket.as_raw_fd()).map_err(io::Error::other)?;
        epoll::add(&self.poll, &socket, EventData::new_u64(index as u64), READABLE)?;
        self.peers.resize_with(self.peers.len().max(index + 1), || None);
        self.peers[index] = Some(Peer::new(socket));
        Ok(())
    }

    fn read(&mut self, token: u64) -> io::Result<()> {
        let place = usize::try_from(token).ok().and_then(|index| self.peers.get_mut(index));
        let Some(place) = place else { return Ok(()) };
        let Some(peer) = place else { return Ok(()) };
        for _ in 0..READS_PER_EVENT {
            match peer.serve(self.start.answer, &mut self.buffer, &mut self.out) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(Gone) => {
                    *place = None;
                    return Ok(());
                }
            }
        }
        // The edge is used up; this asks for a new one if there is more.
        Ok(epoll::modify(&self.poll, peer.socket(), EventData::new_u64(token), READABLE)?)
    }

    /// Sends every frame that was ordered to every socket.
    fn obey(&mut self) {
        while let Ok(frame) = self.start.inbox.try_recv() {
            let mut sent = 0;
            for place in &mut self.peers {
                match place.as_ref().map(|peer| peer.send(&frame)) {
                    Some(Ok(took)) => sent += u64::from(took),
                    Some(Err(Gone)) => *place = None,
                    None => {}
                }
            }
            // Whoever gave the order waits for this.
            let _told = self.start.counts.send(sent);
        }
    }
}

/// A listener that shares its port with those of the other threads. Accepted
/// sockets inherit its options.
fn listener(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let listener = socket_with(family, SocketType::STREAM, NONBLOCKING, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    sockopt::set_socket_reuseport(&listener, true)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    bind(&listener, &address)?;
    listen(&listener, i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    Ok(listener)
}
