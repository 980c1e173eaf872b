//! How a node ends, and how it does not begin.

use crate::crowd::{PATIENCE, alone, eventually, logged_in, raise_limit};
use crate::process::{Process, Unheard, failed_start};
use crate::support::{Client, Message};
use millgate::clock::Clock;
use rustix::process::Signal;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

#[test]
fn five_thousand_are_told_and_the_exit_is_clean() {
    const CROWD: usize = 5_000;
    let _alone = alone();
    raise_limit();
    let settings = ["stop.timeout=5s", "announce.digests_per_second=0"];
    let process = Process::start(&settings);
    // Rooms above this size hear of nobody; these hear of everybody.
    let mut crowd = logged_in(process.websocket(), 102, 0..0);
    for app in [101, 102, 103, 104] {
        crowd.extend(logged_in(process.websocket(), app, 0..20));
    }
    let rest = CROWD - crowd.len();
    crowd.extend((0..rest).map(|_| Client::connect_to(process.websocket(), "/acc")));
    for client in &mut crowd[..80] {
        crate::crowd::texts_until_fence(client);
    }
    let clock = Clock::start();
    process.terminate();
    for mut client in crowd {
        client.expect_close(1012);
    }
    let told = clock.now();
    let (status, log) = process.ended_within(Duration::from_secs(5));
    println!("{CROWD} were told in {told:?}, the process ended after {:?}", clock.now());
    assert_eq!(status.code(), Some(0), "{log:?}");
    assert!(clock.now() < Duration::from_secs(7), "stop.timeout and HTTP's grace");
    assert!(log.last().unwrap().contains("\"stopped\""), "{log:?}");
}

#[test]
fn those_who_do_not_answer_do_not_delay_the_end() {
    let process = Process::start(&["stop.timeout=1s"]);
    let mut clients = logged_in(process.websocket(), 101, 0..1);
    process.terminate();
    let (status, _) = process.ended_within(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0));
    clients[0].expect_close(1012);
}

#[test]
fn a_second_signal_ends_at_once() {
    let process = Process::start(&["stop.timeout=1h"]);
    let mut clients = logged_in(process.websocket(), 101, 0..1);
    process.terminate();
    // It waits for this client, who knows of the end and does not answer.
    assert!(matches!(clients[0].recv(), Message::Close(Some((1012, _)))));
    process.terminate();
    let (status, _) = process.ended_within(Duration::from_secs(5));
    assert_eq!(status.code(), Some(1));
}

/// Its last words have nowhere to go, and must not hold it.
#[test]
fn a_second_signal_ends_at_once_though_stderr_is_full() {
    let mut process = Unheard::start(&["stop.timeout=1h"]);
    let mut clients = logged_in(process.websocket(), 101, 0..1);
    process.signal(Signal::TERM);
    assert!(matches!(clients[0].recv(), Message::Close(Some((1012, _)))));
    process.signal(Signal::TERM);
    eventually("it ends", || process.ended().is_some());
    assert_eq!(process.ended().and_then(|status| status.code()), Some(1));
}

#[test]
fn sigint_stops_as_sigterm_does() {
    let process = Process::start(&["stop.timeout=1h"]);
    let client = logged_in(process.websocket(), 101, 0..1).remove(0);
    process.signal(Signal::INT);
    close_in_answer(client);
    let (status, log) = process.ended_within(PATIENCE);
    assert_eq!(status.code(), Some(0), "{log:?}");
    assert!(log.last().unwrap().contains("\"stopped\""), "{log:?}");
    for (first, second) in [(Signal::INT, Signal::INT), (Signal::TERM, Signal::INT)] {
        let process = Process::start(&["stop.timeout=1h"]);
        let mut clients = logged_in(process.websocket(), 101, 0..1);
        process.signal(first);
        assert!(matches!(clients[0].recv(), Message::Close(Some((1012, _)))));
        process.signal(second);
        let (status, _) = process.ended_within(PATIENCE);
        assert_eq!(status.code(), Some(1));
    }
}

/// Answers the 1012 that comes, as a client should.
fn close_in_answer(mut client: Client) {
    assert!(matches!(client.recv(), Message::Close(Some((1012, _)))));
    client.send_frame(0x88, &1012_u16.to_be_bytes());
    client.expect_end();
}

#[test]
fn while_it_stops_nobody_is_let_in() {
    let process = Process::start(&["stop.timeout=1h"]);
    let mut clients = logged_in(process.websocket(), 101, 0..1);
    process.terminate();
    assert!(matches!(clients[0].recv(), Message::Close(_)));
    // The other reactor may be about to close its listener.
    eventually("nobody listens", || {
        let connected = TcpStream::connect(process.websocket());
        connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    drop(clients);
    let (status, _) = process.ended_within(PATIENCE);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    let node = Process::start(&[]);
    let cases = [
        ("websocket", taken),
        ("http", taken),
        // SO_REUSEPORT would share the port with another gateway, and the clients with it.
        ("websocket", node.websocket()),
        ("http", node.http()),
    ];
    for (listener, address) in cases {
        let setting = format!("listen.{listener}={address}");
        let (status, lines) = failed_start(&["log.level=error", &setting]);
        assert_eq!(status.code(), Some(1));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        // The log is JSON, and so is this.
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let line = line["message"].as_str().unwrap();
        assert!(line.starts_with("cannot listen for "), "{line}");
        assert!(line.contains(&address.to_string()), "{line}");
        assert!(line.contains(&format!("(listen.{listener})")), "{line}");
        assert!(line.ends_with("another process listens there already"), "{line}");
    }
}
