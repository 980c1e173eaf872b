//! A WebSocket client of a few lines, which shares no code with the gateway.
//!
//! It blocks with a deadline; nothing here sleeps. That something does *not*
//! come is shown by a fence: a ping sent now whose answer comes next.

use super::Node;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the server sent: one frame, which is one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code and reason; `None` for an empty close frame.
    Close(Option<(u16, String)>),
    /// The server has ended TCP.
    End,
}

pub struct Client {
    /// Also one in a file: it is read and written like any other.
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    buffer: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    /// A TCP connection and nothing more.
    pub fn tcp(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("connects"))
    }

    /// Over a unix socket.
    pub fn unix(path: &Path) -> Self {
        Self::try_unix(path).expect("connects")
    }

    /// The same where nobody may listen.
    pub fn try_unix(path: &Path) -> Option<Self> {
        let socket = UnixStream::connect(path).ok()?;
        Some(Self::over(TcpStream::from(OwnedFd::from(socket))))
    }

    /// The same from an address of loopback, of which there are plenty.
    pub fn from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("loopback has it");
        socket.connect(&address.into()).expect("connects");
        Self::over(socket.into())
    }

    /// Over a socket that somebody has connected in his own way.
    pub fn over(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        socket.set_write_timeout(Some(PATIENCE)).expect("a deadline");
        if socket.peer_addr().is_ok() {
            socket.set_nodelay(true).expect("no delay");
        }
        Self { socket, tls: None, buffer: Vec::new() }
    }

    /// From here on TLS is spoken; the handshake takes place with the first bytes.
    pub fn with_tls(mut self, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(config, name).expect("a configuration");
        self.tls = Some(Box::new(tls));
        self
    }

    /// The TLS side of the connection.
    pub fn tls(&mut self) -> &mut ClientConnection {
        self.tls.as_mut().expect("TLS is spoken")
    }

    /// A client that writes to the same socket, in the clear.
    pub fn another_end(&self) -> Self {
        Self::over(self.socket.try_clone().expect("a descriptor"))
    }

    /// Upgraded on the path of the commands.
    pub fn connect(node: &Node) -> Self {
        Self::connect_to(node.websocket(), "/acc")
    }

    /// Upgraded on any path.
    pub fn connect_to(address: SocketAddr, path: &str) -> Self {
        let mut client = Self::tcp(address);
        client.upgrade(path);
        client
    }

    /// Shakes hands.
    pub fn upgrade(&mut self, path: &str) {
        self.send_raw(&Self::request(path));
        let head = self.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Connected and logged in.
    pub fn login(node: &Node, app: u32, user: &str) -> Self {
        let mut client = Self::connect(node);
        client.log_in(app, user);
        client
    }

    /// Logs in; nothing else may come before the reply.
    pub fn log_in(&mut self, app: u32, user: &str) {
        let reply = self.request_reply("login", json!({"userID": user, "appID": app}));
        assert_eq!(reply["response"]["code"], 200, "{reply}");
    }

    /// A handshake as a browser would send it.
    pub fn request(path: &str) -> Vec<u8> {
        format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes()
    }

    pub fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        let sent = match &mut self.tls {
            None => self.socket.write_all(bytes),
            Some(tls) => Stream::new(tls.as_mut(), &mut self.socket).write_all(bytes),
        };
        sent.expect("the server reads");
    }

    /// A masked frame: FIN, reserved bits and opcode in `first`.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send_raw(&client_frame(first, payload));
    }

    /// The same to a server that may have hung up; false if it has.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        match self.socket.write_all(bytes) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("the server does not read: {error}"),
        }
    }

    /// The same bytes in pieces of this many, each a write of its own.
    pub fn send_in_pieces(&mut self, bytes: &[u8], piece_bytes: usize) {
        for piece in bytes.chunks(piece_bytes) {
            self.send_raw(piece);
        }
    }

    pub fn send_text(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes());
    }

    /// Sends a command and returns the next message, which must be its reply.
    pub fn request_reply(&mut self, cmd: &str, data: Value) -> Value {
        self.send_text(&json!({"seq": "s-1", "cmd": cmd, "data": data}).to_string());
        let mut reply = self.recv_json();
        // An older connection may be told so at any time.
        if reply["cmd"] == "displaced" {
            reply = self.recv_json();
        }
        assert_eq!((&reply["cmd"], &reply["seq"]), (&json!(cmd), &json!("s-1")), "{reply}");
        reply
    }

    /// The next message must say that `user` has logged in elsewhere.
    pub fn expect_displaced(&mut self, user: &str) {
        let push = self.recv_json();
        assert_eq!(push["cmd"], "displaced", "{push}");
        assert_eq!(push["response"]["code"], 200, "{push}");
        let data = &push["response"]["data"];
        assert_eq!((&data["from"], &data["type"]), (&json!(user), &json!("text")), "{push}");
    }

    /// The next message, which must be JSON.
    pub fn recv_json(&mut self) -> Value {
        match self.recv() {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("text was due, not {other:?}"),
        }
    }

    /// The next message, which must be a push of this kind; returns its data.
    pub fn recv_push(&mut self, cmd: &str) -> Value {
        let push = self.recv_json();
        assert_eq!(push["cmd"], cmd, "{push}");
        assert_eq!(push["response"]["code"], 200, "{push}");
        assert_eq!(push["response"]["codeMsg"], "Ok", "{push}");
        push["response"]["data"].clone()
    }

    /// Asserts that nothing has been sent to this client before now.
    pub fn expect_silence(&mut self) {
        self.send_frame(0x89, b"fence");
        assert_eq!(self.recv(), Message::Pong(b"fence".to_vec()));
    }

    /// Asserts that nothing comes for so long: for a server that cannot be asked.
    pub fn expect_nothing_for(&self, time: Duration) {
        self.socket.set_read_timeout(Some(time)).expect("a deadline");
        let peeked = self.socket.peek(&mut [0]);
        let nothing = peeked.as_ref().is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        assert!(self.buffer.is_empty() && nothing, "something came: {peeked:?}");
        self.socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    }

    /// Gives signs of life until something has come. The deadline of each look is
    /// the clock: no test has to sleep.
    pub fn live_until_spoken_to(&mut self) {
        let socket = self.socket.try_clone().expect("a descriptor");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a deadline");
        let mut signs = 0;
        while socket.peek(&mut [0]).is_err() {
            self.send_frame(0x8A, b"a sign of life");
            signs += 1;
            assert!(signs < 75, "nothing has come in 15 seconds");
        }
        socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    }

    /// Asserts that the server closes with `code` and then ends TCP.
    pub fn expect_close(&mut self, code: u16) {
        match self.recv() {
            Message::Close(Some((received, _))) => assert_eq!(received, code),
            other => panic!("close {code} was due, not {other:?}"),
        }
        assert_eq!(self.recv(), Message::End);
    }

    /// Asserts that the server ends TCP, with nothing before it.
    pub fn expect_end(&mut self) {
        assert_eq!(self.recv(), Message::End);
    }

    /// Closes as a client should, and asserts that the server answers in kind.
    pub fn close(mut self) {
        self.send_frame(0x88, &1000_u16.to_be_bytes());
        self.expect_close(1000);
    }

    /// Ends this side of TCP; the server may still send.
    pub fn end_sending(&self) {
        self.socket.shutdown(Shutdown::Write).expect("connected");
    }

    /// The head of an HTTP answer, its blank line included.
    pub fn read_head(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return String::from_utf8(head).expect("ASCII");
            }
            assert!(self.fill() > 0, "ended: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// Whether something has come that was not read yet.
    pub fn has_something(&self) -> bool {
        self.socket.set_nonblocking(true).expect("a socket");
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false).expect("a socket");
        !self.buffer.is_empty() || peeked.is_ok()
    }

    /// Asserts that no byte has come so far.
    pub fn expect_nothing_yet(&mut self) {
        self.socket.set_nonblocking(true).expect("a socket");
        let read = self.socket.read(&mut [0]);
        self.socket.set_nonblocking(false).expect("a socket");
        let kind = read.expect_err("nothing was due").kind();
        assert_eq!(kind, ErrorKind::WouldBlock);
    }

    /// Everything up to the end of TCP.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// The next frame. Checks what every server frame must be: final, without
    /// reserved bits, unmasked, of minimal length.
    pub fn recv(&mut self) -> Message {
        let Some((first, len)) = self.read_frame_head() else { return Message::End };
        self.need(len);
        let payload: Vec<u8> = self.buffer.drain(..len).collect();
        assert_eq!(first & 0xF0, 0x80, "final, no reserved bits");
        match first & 0x0F {
            1 => Message::Text(String::from_utf8(payload).expect("UTF-8")),
            2 => Message::Binary(payload),
            8 if payload.is_empty() => Message::Close(None),
            8 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Message::Close(Some((
                    code,
                    String::from_utf8(payload[2..].to_vec()).expect("UTF-8"),
                )))
            }
            9 => Message::Ping(payload),
            10 => Message::Pong(payload),
            opcode => panic!("opcode {opcode}"),
        }
    }

    fn read_frame_head(&mut self) -> Option<(u8, usize)> {
        while self.buffer.len() < 2 {
            if self.fill() == 0 {
                assert!(self.buffer.is_empty(), "ended inside a frame");
                return None;
            }
        }
        let (first, second) = (self.buffer[0], self.buffer[1]);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let extra = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        self.need(2 + extra);
        let head: Vec<u8> = self.buffer.drain(..2 + extra).collect();
        let len = head[2..].iter().fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
        match extra {
            0 => Some((first, usize::from(second))),
            2 => {
                assert!(len > 125, "not the shortest form");
                Some((first, len))
            }
            _ => {
                assert!(len > 65_535, "not the shortest form");
                Some((first, len))
            }
        }
    }

    fn need(&mut self, len: usize) {
        while self.buffer.len() < len {
            assert!(self.fill() > 0, "ended inside a frame");
        }
    }

    fn fill(&mut self) -> usize {
        let mut chunk = vec![0; 65_536];
        let read = match &mut self.tls {
            None => self.socket.read(&mut chunk),
            Some(tls) => Stream::new(tls.as_mut(), &mut self.socket).read(&mut chunk),
        };
        match read {
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                n
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("nothing came: {error}; so far {:?}", self.buffer),
        }
    }
}

/// The bytes of a masked frame.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x1D, 0xA7, 0x03, 0xF0];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
