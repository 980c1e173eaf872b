//! What counts as life, and what happens without it.

use crate::process::Process;
use crate::support::{Client, Message, Node, client_frame};
use millgate::clock::Clock;
use rustix::process::Signal;
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// Long enough for the silent to be reaped: time-out, a tick, a busy machine.
const LONG: Duration = Duration::from_millis(3_500);
const BEAT: Duration = Duration::from_millis(300);

fn node() -> Node {
    Node::with(|config| config.heartbeat.idle_timeout = Duration::from_secs(1))
}

/// Sends one piece after the other at a beat; true if the server stays silent
/// for all of them.
fn survives(client: &mut Client, pieces: impl Iterator<Item = Vec<u8>>) -> bool {
    let clock = Clock::start();
    client.socket().set_read_timeout(Some(BEAT)).unwrap();
    let mut pieces = pieces;
    while clock.now() < LONG {
        client.send_raw(&pieces.next().expect("endless"));
        // Nothing is read for good: what comes stays for the caller.
        match client.socket().peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => return false,
        }
    }
    client.socket().set_read_timeout(Some(LONG)).unwrap();
    true
}

#[test]
fn the_silent_are_closed_with_3012() {
    let node = node();
    let clock = Clock::start();
    let mut user = Client::login(&node, 101, "ua");
    let mut nobody = Client::connect(&node);
    user.expect_close(3012);
    let lived = clock.now();
    nobody.expect_close(3012);
    assert!((Duration::from_secs(1)..LONG).contains(&lived), "{lived:?}");
    assert_eq!(node.metric("millgate_closes_total{cause=\"idle\"}"), 2.0);
    assert_eq!(node.metric("millgate_users"), 0.0);
}

#[test]
fn a_pong_is_life() {
    let node = node();
    let mut client = Client::connect(&node);
    assert!(survives(&mut client, std::iter::repeat_with(|| client_frame(0x8A, b""))));
    client.expect_silence();
}

#[test]
fn a_fragment_is_life() {
    let node = node();
    let mut client = Client::connect_to(node.websocket(), "/echo");
    let first = std::iter::once(client_frame(0x01, b"a"));
    let more = std::iter::repeat_with(|| client_frame(0x00, b"b"));
    assert!(survives(&mut client, first.chain(more)));
    client.send_frame(0x80, b"c");
    let Message::Text(text) = client.recv() else { panic!("the message comes back") };
    assert!(text.starts_with("ab") && text.ends_with("bc"), "{text}");
}

#[test]
fn a_frame_that_never_ends_is_not_life() {
    let node = node();
    let mut client = Client::connect(&node);
    client.send_raw(&client_frame(0x82, &[0; 10_000])[..100]);
    assert!(!survives(&mut client, std::iter::repeat_with(|| vec![0])));
    client.expect_close(3012);
}

#[test]
fn who_does_not_answer_a_close_is_cut_off() {
    let node = node();
    let client = Client::connect(&node);
    let mut bytes = Vec::new();
    let mut socket = client.socket();
    socket.read_to_end(&mut bytes).unwrap();
    assert_eq!(&bytes[2..4], 3012_u16.to_be_bytes());
    crate::crowd::eventually("it is cut off", || node.metric("millgate_connections") == 0.0);
}

/// The process is held up from before its client is due until long after it.
#[test]
fn a_reactor_that_was_held_up_tells_how_late_its_wheel_was() {
    let process = Process::start(&["heartbeat.idle_timeout=2s"]);
    let mut client = Client::connect_to(process.websocket(), "/acc");
    process.signal(Signal::STOP);
    client.expect_nothing_for(Duration::from_millis(4_500));
    process.signal(Signal::CONT);
    client.expect_close(3012);
    let looks = |bucket: &str| process.metric(&format!("millgate_wheel_lag_seconds_{bucket}"));
    let on_time: f64 =
        (0..2).map(|n| looks(&format!("bucket{{reactor=\"{n}\",le=\"0.5\"}}"))).sum();
    assert!(looks("count") > on_time, "{on_time} looks were on time");
    assert!(looks("sum") >= 1.0, "it was late by more than a second");
}

/// Clients whose heartbeats came while the process stood still are read from before the silent
/// are reaped: more of them than one turn looks at.
#[test]
fn heartbeats_that_came_during_a_standstill_count() {
    let settings = ["heartbeat.idle_timeout=2s", "reactor.threads=1", "listen.path=/acc"];
    let process = Process::start(&settings);
    let mut clients: Vec<Client> = (0..1_500)
        .map(|_| {
            let mut client = Client::tcp(process.websocket());
            client.send_raw(&Client::request("/acc"));
            client
        })
        .collect();
    for client in &mut clients {
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    }
    process.signal(Signal::STOP);
    for client in &mut clients {
        client.send_frame(0x89, b"beat");
    }
    clients[0].expect_nothing_for(Duration::from_millis(5_000));
    process.signal(Signal::CONT);
    for client in &mut clients {
        assert_eq!(client.recv(), Message::Pong(b"beat".to_vec()));
    }
    assert_eq!(process.metric("millgate_closes_total{cause=\"idle\"}"), 0.0);
}
