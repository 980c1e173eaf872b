//! Many clients at once, and how to wait for what many of them cause.

use crate::support::{Client, Node};
use millgate::clock::Clock;
use serde_json::Value;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// This process may hold so many descriptors that only one crowd fits in at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the limit of descriptors as far as this process may.
pub fn raise_limit() {
    let files = millgate::host::kernel::raise_open_files();
    assert!(files.refused.is_none(), "the hard limit is allowed: {files:?}");
}

/// Polls what the system tells in no other way, until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// A client whose kernel takes little more than 4 kB unread.
pub fn narrow(node: &Node, app: u32, user: &str) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&node.websocket().into()).unwrap();
    let mut client = Client::over(socket.into());
    client.upgrade("/acc");
    client.log_in(app, user);
    client
}

/// Clients that are upgraded and silent.
pub fn upgraded(address: SocketAddr, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::connect_to(address, "/acc")).collect()
}

/// Clients that are logged in, each with a name of its own.
pub fn logged_in(address: SocketAddr, app: u32, names: impl Iterator<Item = usize>) -> Vec<Client> {
    let login = |name| {
        let mut client = Client::connect_to(address, "/acc");
        client.log_in(app, &format!("user-{name}"));
        client
    };
    names.map(login).collect()
}

/// Ends TCP with a reset.
pub fn reset(client: Client) {
    SockRef::from(client.socket()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
}

/// Sends to one user through the API; true if it was taken.
pub fn send(node: &Node, user: &str, text: &str) -> bool {
    let fields = [("appID", "101"), ("userID", user), ("msgID", ""), ("message", text)];
    node.post_data("/user/sendMessage", &fields)["sendResults"] == Value::Bool(true)
}

/// Sends to all of app 101 but `from`.
pub fn send_to_all(node: &Node, from: &str, text: &str) {
    let fields = [("appID", "101"), ("userID", from), ("msgID", ""), ("message", text)];
    assert_eq!(node.post_data("/user/sendMessageAll", &fields)["sendResults"], true);
}

/// The texts of all frames up to the pong that answers a ping sent now.
pub fn texts_until_fence(client: &mut Client) -> Vec<String> {
    client.send_frame(0x89, b"fence");
    let mut bytes = Vec::new();
    let mut texts = Vec::new();
    let mut at = 0;
    loop {
        let Some((opcode, payload)) = frame_at(&bytes, at) else {
            more(client.socket(), &mut bytes);
            continue;
        };
        at = payload.end;
        match opcode {
            1 => texts.push(String::from_utf8(bytes[payload].to_vec()).expect("UTF-8")),
            10 => return texts,
            other => panic!("opcode {other}"),
        }
    }
}

fn more(mut socket: &TcpStream, bytes: &mut Vec<u8>) {
    let mut chunk = [0; 16_384];
    let n = socket.read(&mut chunk).expect("something comes");
    assert!(n > 0, "ended");
    bytes.extend_from_slice(&chunk[..n]);
}

/// Opcode and place of the payload of the frame at `at`, if all of it is here.
fn frame_at(bytes: &[u8], at: usize) -> Option<(u8, std::ops::Range<usize>)> {
    let rest = bytes.get(at..)?;
    let (head, len) = match *rest.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]))),
        127 => panic!("no frame here is so long"),
        len => (2, usize::from(len)),
    };
    (rest.len() >= head + len).then_some((rest[0] & 0x0F, at + head..at + head + len))
}
