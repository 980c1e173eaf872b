//! Many connections on one thread, which send and count.

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Connections to one server.
pub(crate) struct Crowd {
    poll: Poll,
    sockets: Vec<TcpStream>,
    buffer: Vec<u8>,
}

/// A handshake request; the key is that of RFC 6455 §1.3.
const HANDSHAKE: &str = "HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

impl Crowd {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { poll: Poll::new()?, sockets: Vec::new(), buffer: vec![0; 1 << 18] })
    }

    /// Connects until there are `count`; upgrades each one on `path`, if there is one.
    pub(crate) fn grow(
        &mut self,
        server: SocketAddr,
        path: Option<&str>,
        count: usize,
    ) -> io::Result<()> {
        while self.sockets.len() < count {
            let mut socket = std::net::TcpStream::connect(server)?;
            socket.set_nodelay(true)?;
            if let Some(path) = path {
                socket.write_all(format!("GET {path} {HANDSHAKE}").as_bytes())?;
                let n = socket.read(&mut self.buffer)?;
                if !self.buffer[..n].starts_with(b"HTTP/1.1 101 ") {
                    return Err(io::Error::other("the handshake was refused"));
                }
            }
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            let token = Token(self.sockets.len());
            self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
            self.sockets.push(socket);
        }
        Ok(())
    }

    /// Sends `message(i)` from each of these connections.
    pub(crate) fn send_some(
        &mut self,
        who: Range<usize>,
        message: impl Fn(usize) -> Vec<u8>,
    ) -> io::Result<()> {
        let first = who.start;
        for (offset, socket) in self.sockets[who].iter_mut().enumerate() {
            socket.write_all(&message(first + offset))?;
        }
        Ok(())
    }

    /// Reads what comes and hands it to `take(connection, bytes)`, which may
    /// return something to send there, until `done` says so or time is up.
    /// Returns the time that took.
    pub(crate) fn serve(
        &mut self,
        limit: Duration,
        mut take: impl FnMut(usize, &[u8]) -> Option<Vec<u8>>,
        mut done: impl FnMut() -> bool,
    ) -> io::Result<Duration> {
        let begin = now();
        let mut events = Events::with_capacity(1_024);
        while !done() && begin.elapsed() < limit {
            self.poll.poll(&mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                let index = event.token().0;
                self.read(index, &mut take)?;
            }
        }
        Ok(begin.elapsed())
    }

    fn read(
        &mut self,
        index: usize,
        take: &mut impl FnMut(usize, &[u8]) -> Option<Vec<u8>>,
    ) -> io::Result<()> {
        loop {
            match self.sockets[index].read(&mut self.buffer) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(n) => {
                    if let Some(answer) = take(index, &self.buffer[..n]) {
                        self.sockets[index].write_all(&answer)?;
                    }
                    if n < self.buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a stopwatch is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A masked text frame of at most 125 bytes.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let mask = [0x5A, 0x11, 0xC3, 0x7E];
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap_or(0)];
    frame.extend_from_slice(&mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
