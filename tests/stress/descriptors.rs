//! What happens when descriptors run out, and however many tables there are.

use crate::crowd::{PATIENCE, eventually, logged_in};
use crate::process::Process;
use crate::support::Client;
use millgate::clock::Clock;
use std::net::TcpStream;
use std::time::Duration;

/// A reactor keeps some descriptors back. When the others are used up, it
/// closes its listener; nobody who is there notices.
#[test]
fn a_full_reactor_stops_listening_until_some_have_left() {
    let process = Process::with_limit("-n 120", &["reactor.threads=1"]);
    let mut clients = Vec::new();
    let mut refused = None;
    while refused.is_none() {
        assert!(clients.len() < 120, "more than the limit");
        match try_connect(&process) {
            Some(client) => clients.push(client),
            None => refused = Some(clients.len()),
        }
    }
    assert_eq!(clients.len(), 120 - 64 - 1, "what the table allows, less the reserve");
    assert_eq!(process.metric("millgate_accept_pauses_total"), 0.0, "it never got so far");
    clients.iter_mut().for_each(Client::expect_silence);
    eventually("it says that it is full", || {
        let (status, said) = process.ready();
        status == 503 && said.contains("all descriptors for connections are in use")
    });
    let refused = "millgate_new_clients_refused{reason=\"descriptors\"}";
    assert_eq!(process.metric(refused), 1.0);
    clients.truncate(50);
    // Nobody wakes the reactor now: it has to open its listener by itself.
    let clock = Clock::start();
    let newcomer = loop {
        assert!(clock.now() < Duration::from_secs(4), "it does not listen again");
        if let Some(client) = try_connect(&process) {
            break client;
        }
    };
    clients.push(newcomer);
    eventually("it is ready again", || process.ready().0 == 200);
    clients.iter_mut().for_each(Client::expect_silence);
}

/// `None` when the port is closed, or closes before the answer.
fn try_connect(process: &Process) -> Option<Client> {
    use std::io::{Read, Write};
    let mut socket = TcpStream::connect(process.websocket()).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&Client::request("/acc")).ok()?;
    let mut head = [0; 1_024];
    let n = socket.read(&mut head).ok().filter(|n| *n > 0)?;
    assert!(head[..n].starts_with(b"HTTP/1.1 101 ") && head[..n].ends_with(b"\r\n\r\n"));
    Some(Client::over(socket))
}

/// In a common table others can take the last descriptor: here HTTP clients.
#[test]
fn without_a_free_descriptor_accepting_pauses() {
    let settings = ["reactor.threads=1", "reactor.private_fd_table=false"];
    let quiet = ["announce.exact_up_to=0", "announce.digests_per_second=0"];
    let process = Process::with_limit("-n 150", &[settings, quiet].concat());
    let mut living = logged_in(process.websocket(), 101, 0..5);
    let takers: Vec<TcpStream> =
        (0..150).map(|_| TcpStream::connect(process.http()).unwrap()).collect();
    // And stays so: what is opened for a moment only, by whichever thread, may be
    // one of those that are counted.
    let is_full =
        || std::fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count() >= 150;
    eventually("the table is full", || (0..100).all(|_| is_full()));
    let mut waiting = Client::tcp(process.websocket());
    waiting.send_raw(&Client::request("/acc"));
    living.iter_mut().for_each(Client::expect_silence);
    waiting.expect_nothing_for(Duration::from_millis(700));
    // No descriptor is left for a caller that asks /readyz.
    process.await_line("not ready: no new clients are let in: accept(2) finds no free descriptor");
    drop(takers);
    assert!(waiting.read_head().starts_with("HTTP/1.1 101 "));
    eventually("it is ready again", || process.ready().0 == 200);
    living.push(waiting);
    living.extend(logged_in(process.websocket(), 101, 5..10));
    assert!(process.metric("millgate_accept_pauses_total") >= 1.0);
    assert!(process.metric("millgate_accept_errors_total") >= 1.0);
    assert_eq!(process.metric("millgate_closes_total"), 0.0);
}

#[test]
fn sixty_four_reactors_on_few_cores() {
    serve_a_room(&["reactor.threads=64"], 64);
}

#[test]
fn reactors_in_one_descriptor_table() {
    let settings = ["reactor.threads=4", "reactor.private_fd_table=false"];
    let process = serve_a_room(&settings, 4);
    eventually("all are gone", || process.metric("millgate_connections") == 0.0);
    let fds = |path: String| std::fs::read_dir(path).unwrap().count();
    let (pid, of_one) = (process.pid(), process.reactor_descriptors() / 4);
    assert_eq!(of_one, fds(format!("/proc/{pid}/fd")), "they see the table of the process");
}

/// Everybody in a room hears everybody, whichever reactor owns whom.
fn serve_a_room(settings: &[&str], reactors: usize) -> Process {
    const ROOM: usize = 200;
    let process = Process::start(settings);
    let mut clients: Vec<Client> = Vec::new();
    for name in 0..ROOM {
        let newcomer = logged_in(process.websocket(), 101, name..name + 1);
        for client in &mut clients {
            assert_eq!(client.recv_push("enter")["from"], format!("user-{name}"));
        }
        clients.extend(newcomer);
    }
    clients.iter_mut().for_each(Client::expect_silence);
    drop(clients.drain(..ROOM / 2));
    eventually("half of them are gone", || {
        process.metric("millgate_connections") == ROOM as f64 / 2.0
    });
    for client in &mut clients {
        for _ in 0..ROOM / 2 {
            client.recv_push("exit");
        }
        client.expect_silence();
    }
    let busy = (0..reactors)
        .filter(|n| process.metric(&format!("millgate_connections{{reactor=\"{n}\"}}")) > 0.0);
    assert!(busy.count() > 1, "the kernel spreads them");
    process
}
