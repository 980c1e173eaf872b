//! The machine between two ends that tests turn by hand: bytes in any pieces, reads that block,
//! a peer that takes as little as it likes, in any order.

use super::*;
use crate::config::{Listener, Place};
use crate::envelope::Frame;
use crate::limits::FRAMES_PER_WAVE;
use crate::metrics::Cause;
use crate::websocket::close;
use crate::websocket::frame::{self, Kind};
use crate::websocket::message;
use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::LazyLock;
use std::time::Duration;

const REQUEST: &[u8] =
    b"GET /acc HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const PROXY_V1: &[u8] = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n";

const MESSAGE_BYTES: usize = 1_000;
const BACKLOG_BYTES: usize = 4_000;
const BUFFER_BYTES: usize = 2_048;

fn rules() -> Rules {
    Rules {
        path: "/acc".into(),
        echo_path: String::new(),
        head_bytes_max: 500,
        message: message::Rules { message_bytes: MESSAGE_BYTES },
        flow: None,
        outbox_bytes_max: BACKLOG_BYTES,
        frame_bytes_max: 10 * BACKLOG_BYTES,
        idle_ticks: 60,
        handshake_ticks: 10,
        login_ticks: Some(20),
        message_ticks: Some(5),
        tls: Some(Arc::clone(&TLS.0)),
    }
}

/// Both sides of TLS, which trust each other.
static TLS: LazyLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
});

/// The other end of the socket.
#[derive(Default)]
struct Peer {
    /// What the socket has to read, in pieces; a read never returns two of them.
    pieces: VecDeque<Vec<u8>>,
    has_ended: bool,
    /// What was written and taken.
    taken: Vec<u8>,
    /// So many bytes are taken before writes block.
    takes: usize,
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return if self.has_ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        };
        let len = piece.len().min(buffer.len());
        buffer[..len].copy_from_slice(&piece[..len]);
        piece.drain(..len);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(len)
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.takes);
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.takes -= len;
        self.taken.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection and its owner, who answers each command with itself.
struct Pair {
    connection: Connection,
    peer: Peer,
    rules: Rules,
    tick: u32,
    commands: Vec<String>,
    /// Where the proxy says that the client is.
    has_client: bool,
    cause: Option<Cause>,
    is_side_ended: bool,
    buffer: Vec<u8>,
    scratch: Scratch,
}

impl Pair {
    fn new(proxy: bool, tls: bool) -> Self {
        let place = Place::Tcp("127.0.0.1:0".parse().unwrap());
        let extra = Extra::at(&Listener { place, proxy, tls });
        Self {
            connection: Connection::new(extra, 0),
            peer: Peer::default(),
            rules: rules(),
            tick: 0,
            commands: Vec::new(),
            has_client: false,
            cause: None,
            is_side_ended: false,
            buffer: vec![0; BUFFER_BYTES],
            scratch: Scratch::default(),
        }
    }

    /// Reads at most so many times.
    fn read(&mut self, times: usize) {
        for _ in 0..times {
            if self.connection.is_dead() {
                return;
            }
            if self.connection.backlog_bytes() > self.rules.congestion_bytes() {
                self.connection.unread = Unread::Paused;
                return;
            }
            match self.connection.receive(&mut self.peer, &mut self.buffer, BUFFER_BYTES) {
                Ok(received) => self.take_in(received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    let ending = self.connection.peer_ended();
                    self.end(ending);
                    return;
                }
            }
        }
    }

    fn take_in(&mut self, received: Received) {
        let Self { connection, rules, buffer, scratch, tick, .. } = self;
        let now = Duration::from_secs((*tick).into());
        let mut out = Output::default();
        let bytes = &mut buffer[..received.filled];
        let mut input = Input::new(connection, bytes, received.seen, scratch, rules, now);
        while let Some(effect) = connection.next(&mut input, &mut out, rules, now) {
            match effect {
                Effect::Client => self.has_client = true,
                Effect::Request { mut upgrade, .. } => {
                    upgrade.selects_token_protocol = false;
                    upgrade.append_response(&mut out.replies);
                    connection.open(upgrade.endpoint, *tick);
                }
                Effect::Message { incoming, is_admitted } => {
                    let command = connection.respond(incoming, is_admitted, &mut out, rules);
                    if let Some(command) = command {
                        frame::append(&mut out.replies, Kind::Text, command.as_bytes());
                        self.commands.push(command.into_owned());
                    }
                }
            }
        }
        connection.finish(input, &mut out, rules, *tick);
        self.write();
        if !out.replies.is_empty() && !self.connection.is_dead() {
            self.connection.send(&out.replies, &mut self.peer).unwrap();
        }
        self.end(out.ending);
        if out.has_peer_ended {
            let ending = self.connection.peer_ended();
            self.end(ending);
        }
    }

    fn end(&mut self, ending: Option<Ending>) {
        let Some(ending) = ending else { return };
        if self.connection.is_alive() {
            self.cause.get_or_insert(ending.cause);
        }
        match ending.after {
            Some(after) if self.connection.is_alive() => {
                self.connection.release_held();
                self.connection.begin_end(after, self.tick);
                self.settle();
            }
            Some(_) => {}
            None => self.connection.bury(),
        }
    }

    fn settle(&mut self) {
        match self.connection.settle(&mut self.peer) {
            Settled::Nothing => {}
            Settled::EndOurSide => self.is_side_ended = true,
            Settled::Close => self.connection.bury(),
        }
    }

    /// Writes what the peer takes now.
    fn write(&mut self) {
        self.connection.flush(&mut self.peer).unwrap();
        self.connection.resumes(&self.rules);
        self.settle();
    }

    fn deliver(&mut self, text: &str) {
        if !self.connection.is_open() {
            return;
        }
        let mut bytes = Vec::new();
        frame::append(&mut bytes, Kind::Text, text.as_bytes());
        let frame = Frame::from_encoded(bytes);
        let sent = self.connection.send_frames(&[&frame], &self.rules, &mut self.peer).unwrap();
        if sent.is_slow {
            self.connection.cut_backlog(close::SLOW, "slow consumer");
            self.end(Some(Ending::linger(Cause::Slow)));
        }
    }

    /// Goes on with a connection that was made of a snapshot, if that can be had.
    fn change_process(&mut self) {
        let Some(snapshot) = self.connection.snapshot() else { return };
        let pending = snapshot.pending.len();
        let (held, backlog) = (self.connection.held_bytes(), self.connection.backlog_bytes());
        let due = self.connection.deadline(&self.rules, None);
        self.connection = Connection::restore(snapshot, &self.rules).unwrap();
        // Room for more of a message need not be there yet.
        let now = self.connection.held_bytes();
        assert!(now <= held.max(pending) + 512, "{now} bytes where {held} were kept");
        assert_eq!(self.connection.backlog_bytes(), backlog);
        assert_eq!(self.connection.deadline(&self.rules, None), due);
    }

    /// Everything that is on its way arrives.
    fn calm_down(&mut self) {
        self.peer.takes = usize::MAX;
        for _ in 0..10_000 {
            self.write();
            if self.peer.pieces.is_empty() {
                break;
            }
            self.read(1);
        }
        self.write();
    }
}

/// A frame of a client.
fn client_frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The payloads of whole server frames behind an answer to the request; with the first byte of
/// the header of each.
fn server_frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        let (len, rest) = match len {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            len => (usize::from(*len), rest),
        };
        frames.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    frames
}

fn split_answer(taken: &[u8]) -> (&[u8], &[u8]) {
    let end = taken.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    taken.split_at(end)
}

/// Something that a client may say.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let mask = any::<[u8; 4]>();
    prop_oneof![
        8 => ("[a-zé]{0,200}", mask).prop_map(|(text, mask)| client_frame(0x81, text.as_bytes(), mask)),
        1 => (proptest::collection::vec(any::<u8>(), 0..200), mask)
            .prop_map(|(bytes, mask)| client_frame(0x82, &bytes, mask)),
        2 => ("[a-z]{0,20}", mask).prop_map(|(text, mask)| client_frame(0x89, text.as_bytes(), mask)),
        1 => mask.prop_map(|mask| client_frame(0x8a, b"pong", mask)),
        // Three pieces of a message, with a ping between them.
        3 => ("[a-zé]{1,90}", mask).prop_map(|(text, mask)| {
            let (a, b) = text.as_bytes().split_at(text.len() / 2);
            [
                client_frame(0x01, a, mask),
                client_frame(0x89, b"between", mask),
                client_frame(0x00, b, mask),
                client_frame(0x80, b"!", mask),
            ]
            .concat()
        }),
        1 => mask.prop_map(|mask| client_frame(0x81, &[b'x'; MESSAGE_BYTES], mask)),
    ]
}

/// What a client may say last.
fn last_word() -> impl Strategy<Value = Vec<u8>> {
    let mask = [1, 2, 3, 4];
    prop_oneof![
        4 => Just(Vec::new()),
        1 => Just(client_frame(0x88, &1000_u16.to_be_bytes(), mask)),
        1 => Just(client_frame(0x81, &[b'x'; MESSAGE_BYTES + 1], mask)),
        1 => Just(client_frame(0x81, &[0xff, 0xfe], mask)),
        1 => Just(client_frame(0x83, b"no such opcode", mask)),
        1 => Just(client_frame(0x80, b"of no message", mask)),
        1 => Just(vec![0x81, 5, 1, 2, 3, 4, 5]),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    /// The socket gets the next bytes of the client.
    Arrive(usize),
    Read(usize),
    /// The peer takes so many bytes more.
    Take(usize),
    Write,
    /// A message to the client.
    Deliver,
    /// Time passes.
    Tick,
    /// Another process takes the connection over.
    Move,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..300_usize).prop_map(Step::Arrive),
        1 => (1..4_usize).prop_map(Step::Arrive),
        4 => (1..4_usize).prop_map(Step::Read),
        2 => (1..400_usize).prop_map(Step::Take),
        1 => (1..5_usize).prop_map(Step::Take),
        2 => Just(Step::Write),
        1 => Just(Step::Deliver),
        1 => Just(Step::Tick),
        2 => Just(Step::Move),
    ];
    proptest::collection::vec(step, 0..120)
}

/// What a stream comes to: whatever its pieces and whatever happens between them.
fn play(pair: &mut Pair, stream: &[u8], steps: &[Step]) -> usize {
    let (mut rest, mut delivered) = (stream, 0);
    for step in steps {
        match step {
            Step::Arrive(len) => {
                let (piece, behind) = rest.split_at((*len).min(rest.len()));
                if !piece.is_empty() {
                    pair.peer.pieces.push_back(piece.to_vec());
                }
                rest = behind;
            }
            Step::Read(times) => pair.read(*times),
            Step::Take(bytes) => pair.peer.takes = pair.peer.takes.saturating_add(*bytes),
            Step::Write => pair.write(),
            Step::Deliver => {
                if pair.connection.is_open() {
                    pair.deliver(&format!("to all {delivered}"));
                    delivered += 1;
                }
            }
            Step::Tick => pair.tick += 1,
            Step::Move => pair.change_process(),
        }
    }
    if !rest.is_empty() {
        pair.peer.pieces.push_back(rest.to_vec());
    }
    pair.calm_down();
    delivered
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// However the bytes are cut, and whatever is paused, resumed and delivered between them, the
    /// same comes of them as if they had come at once.
    #[test]
    fn every_order_of_events_comes_to_the_same(
        said in proptest::collection::vec(said(), 0..12),
        last in last_word(),
        is_proxied in any::<bool>(),
        steps in steps(),
    ) {
        let head: &[u8] = if is_proxied { PROXY_V1 } else { &[] };
        let stream = [head, REQUEST, &said.concat(), &last].concat();
        let mut twin = Pair::new(is_proxied, false);
        twin.peer.takes = usize::MAX;
        play(&mut twin, &stream, &[]);
        let mut pair = Pair::new(is_proxied, false);
        let delivered = play(&mut pair, &stream, &steps);
        prop_assert_eq!(&pair.commands, &twin.commands);
        prop_assert_eq!(pair.has_client, is_proxied);
        prop_assert_eq!(pair.cause, twin.cause);
        prop_assert_eq!(pair.is_side_ended, twin.is_side_ended);
        let ((answer, ours), (expected, theirs)) =
            (split_answer(&pair.peer.taken), split_answer(&twin.peer.taken));
        prop_assert_eq!(answer, expected);
        let mut frames = server_frames(ours);
        let to_all: Vec<String> = frames
            .extract_if(.., |(_, payload)| payload.starts_with(b"to all "))
            .map(|(_, payload)| String::from_utf8(payload).unwrap())
            .collect();
        let sent: Vec<String> = (0..delivered).map(|n| format!("to all {n}")).collect();
        prop_assert_eq!(to_all, sent);
        prop_assert_eq!(frames, server_frames(theirs));
        prop_assert_eq!(pair.connection.backlog_bytes(), 0);
        if last.is_empty() {
            prop_assert_eq!(pair.connection.held_bytes(), 0, "everything was whole");
        }
    }

    /// The same within TLS, whose records are cut as well; the client reads what it is sent.
    #[test]
    fn tls_gives_the_same_in_every_order(
        said in proptest::collection::vec(said(), 0..6),
        steps in steps(),
        is_proxied in any::<bool>(),
    ) {
        let mut twin = Pair::new(false, false);
        twin.peer.takes = usize::MAX;
        play(&mut twin, &[REQUEST, &said.concat()].concat(), &[]);

        let mut pair = Pair::new(is_proxied, true);
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::clone(&TLS.1), name).unwrap();
        client.writer().write_all(REQUEST).unwrap();
        for some in &said {
            client.writer().write_all(some).unwrap();
        }
        let mut plain = Vec::new();
        let mut wire = if is_proxied { PROXY_V1.to_vec() } else { Vec::new() };
        let mut seen = 0;
        let rounds = steps.chunks(8).map(<[Step]>::to_vec).chain((0..8).map(|_| Vec::new()));
        for steps in rounds {
            client.write_tls(&mut wire).unwrap();
            let steps: Vec<Step> =
                steps.into_iter().filter(|step| !matches!(step, Step::Deliver)).collect();
            pair.peer.takes = 0;
            play(&mut pair, &std::mem::take(&mut wire), &steps);
            let mut taken = &pair.peer.taken[seen..];
            while !taken.is_empty() {
                client.read_tls(&mut taken).unwrap();
                client.process_new_packets().unwrap();
            }
            seen = pair.peer.taken.len();
            let _blocked = client.reader().read_to_end(&mut plain);
        }
        prop_assert_eq!(pair.has_client, is_proxied);
        prop_assert_eq!(&pair.commands, &twin.commands);
        prop_assert_eq!(plain, twin.peer.taken);
        prop_assert_eq!(pair.cause, None);

        // A goodbye of TLS is answered with one, and the connection is over.
        client.send_close_notify();
        client.write_tls(&mut wire).unwrap();
        play(&mut pair, &wire, &[]);
        let mut taken = &pair.peer.taken[seen..];
        client.read_tls(&mut taken).unwrap();
        prop_assert!(client.process_new_packets().unwrap().peer_has_closed());
        prop_assert!(pair.connection.is_dead());
    }

    /// A peer that takes nothing is closed when its backlog has reached the bound, and gets the
    /// close frame at the place where it goes on, if it does.
    #[test]
    fn a_slow_peer_loses_whole_frames_only(takes in 0..3_000_usize) {
        let mut pair = Pair::new(false, false);
        pair.peer.takes = usize::MAX;
        play(&mut pair, REQUEST, &[]);
        let (_, nothing) = split_answer(&pair.peer.taken);
        prop_assert!(nothing.is_empty());
        let open = pair.peer.taken.len();
        pair.peer.takes = takes;
        for n in 0..200 {
            pair.deliver(&format!("{n:0100}"));
        }
        prop_assert_eq!(pair.cause, Some(Cause::Slow));
        prop_assert!(pair.connection.backlog_bytes() <= BACKLOG_BYTES);
        pair.calm_down();
        let mut frames = server_frames(&pair.peer.taken[open..]);
        let (first, reason) = frames.pop().unwrap();
        prop_assert_eq!((first, &reason[..2]), (0x88, &close::SLOW.to_be_bytes()[..]));
        for (n, (_, payload)) in frames.iter().enumerate() {
            let expected = format!("{n:0100}");
            prop_assert_eq!(payload, expected.as_bytes());
        }
    }
}

#[test]
fn each_state_has_its_time() {
    let mut pair = Pair::new(false, false);
    pair.peer.takes = usize::MAX;
    let due = |pair: &Pair, tick, token| {
        let deadline = pair.connection.deadline(&pair.rules, token);
        let what = pair.connection.overdue(&pair.rules, tick, token.is_some_and(|end| end <= tick));
        (deadline, what)
    };
    assert_eq!(due(&pair, 10, None), (10, Some(Overdue::Handshake)));
    pair.tick = 3;
    play(&mut pair, REQUEST, &[]);
    assert_eq!(due(&pair, 23, None), (23, Some(Overdue::Login)));
    assert_eq!(due(&pair, 23, Some(12)).0, 12);
    // Frames do not put the login off.
    pair.tick = 9;
    play(&mut pair, &client_frame(0x81, b"a", [0; 4]), &[]);
    assert_eq!(due(&pair, 23, None).0, 23);
    let user = Arc::new(User::new(AppId(101), "ua".into(), conn_id()));
    pair.connection.opened().unwrap().user = Some(user);
    play(&mut pair, &client_frame(0x81, b"b", [0; 4]), &[]);
    assert_eq!(due(&pair, 69, None), (69, Some(Overdue::Idle)));
    assert_eq!(due(&pair, 30, Some(30)), (30, Some(Overdue::Token)));
    // A message that has begun has to be whole in time, and more of it does not help.
    pair.tick = 40;
    let message = client_frame(0x81, b"message", [0; 4]);
    play(&mut pair, &message[..4], &[]);
    pair.tick = 43;
    play(&mut pair, &message[4..9], &[]);
    assert_eq!(due(&pair, 45, None), (45, Some(Overdue::Message)));
    play(&mut pair, &message[9..], &[]);
    assert_eq!(due(&pair, 103, None), (103, Some(Overdue::Idle)));
    pair.tick = 50;
    pair.end(Some(Ending::linger(Cause::Kicked)));
    assert_eq!(due(&pair, 60, None).1, Some(Overdue::Close));
    pair.connection.bury();
    assert_eq!(due(&pair, 99, None).1, None);
}

fn conn_id() -> crate::id::ConnId {
    crate::id::ConnId { reactor: 0, slot: 0, serial: 1 }
}

/// What the peer is owed when it ends its side, it gets.
#[test]
fn the_end_of_the_peer_comes_after_what_it_is_owed() {
    for after in [After::Drop, After::Linger] {
        let mut pair = Pair::new(false, false);
        pair.peer.takes = usize::MAX;
        play(&mut pair, REQUEST, &[]);
        pair.peer.takes = 0;
        pair.deliver("owed");
        pair.end(Some(Ending { cause: Cause::Kicked, after: Some(after) }));
        pair.peer.has_ended = true;
        pair.read(1);
        assert!(!pair.connection.is_dead(), "{after:?}");
        pair.calm_down();
        assert!(pair.connection.is_dead(), "{after:?}");
        assert!(pair.peer.taken.ends_with(b"owed"), "{after:?}");
    }
    let mut idle = Pair::new(false, false);
    idle.peer.has_ended = true;
    idle.read(1);
    assert!(idle.connection.is_dead());
    assert_eq!(idle.cause, Some(Cause::Eof));
}

#[test]
fn a_plain_request_to_a_tls_listener_is_told_so() {
    let mut pair = Pair::new(false, true);
    pair.peer.takes = usize::MAX;
    play(&mut pair, REQUEST, &[]);
    let answer = String::from_utf8(pair.peer.taken.clone()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("TLS required"), "{answer}");
    assert_eq!(pair.cause, Some(Cause::HandshakeRefused));
}

#[test]
fn a_wave_leaves_in_one_call() {
    let mut pair = Pair::new(false, false);
    pair.peer.takes = usize::MAX;
    play(&mut pair, REQUEST, &[]);
    let open = pair.peer.taken.len();
    let frames: Vec<Frame> = (0..FRAMES_PER_WAVE)
        .map(|n| {
            let mut bytes = Vec::new();
            frame::append(&mut bytes, Kind::Text, n.to_string().as_bytes());
            Frame::from_encoded(bytes)
        })
        .collect();
    let frames: Vec<&Frame> = frames.iter().collect();
    pair.connection.send_frames(&frames, &pair.rules, &mut pair.peer).unwrap();
    pair.calm_down();
    let payloads: Vec<Vec<u8>> =
        server_frames(&pair.peer.taken[open..]).into_iter().map(|(_, payload)| payload).collect();
    let expected: Vec<Vec<u8>> = (0..FRAMES_PER_WAVE).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(payloads, expected);
}
