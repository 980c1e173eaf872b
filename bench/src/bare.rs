//! The least that any echo server has to do: `epoll_wait`, `read`, `write`.

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, getsockname, listen, socket_with,
    sockopt,
};
use std::io::{self, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

const LISTENER: u64 = u64::MAX;

/// Answers every read with a write of the same bytes, until it is killed.
pub(crate) fn echo() -> io::Result<()> {
    let listener = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    bind(&listener, &SocketAddrV4::new([127, 0, 0, 1].into(), 0))?;
    listen(&listener, 65_535)?;
    let address = SocketAddr::try_from(getsockname(&listener)?)?;
    println!("{address}");
    io::stdout().flush()?;

    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let readable = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    // By descriptor: a table lookup would be work that a bare loop need not do.
    let mut sockets: Vec<Option<OwnedFd>> = Vec::new();
    let mut events = Vec::with_capacity(1_024);
    let mut buffer = vec![0; 65_536];
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            let token = event.data.u64();
            if token == LISTENER {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                while let Ok(socket) = accept_with(&listener, flags) {
                    let index = usize::try_from(socket.as_raw_fd()).unwrap_or(0);
                    let token = epoll::EventData::new_u64(index as u64);
                    epoll::add(&poll, &socket, token, readable)?;
                    sockets.resize_with(sockets.len().max(index + 1), || None);
                    sockets[index] = Some(socket);
                }
                continue;
            }
            let place = &mut sockets[usize::try_from(token).unwrap_or(0)];
            let Some(socket) = place.as_ref() else { continue };
            match rustix::io::read(socket, &mut buffer) {
                Ok(n @ 1..) => {
                    let _written = rustix::io::write(socket, &buffer[..n]);
                }
                _ => *place = None,
            }
        }
    }
}
