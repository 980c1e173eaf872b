//! Clients over a unix socket, as a proxy of the same host uses it.

use super::{clients, ended};
use crate::support::{Client, Message, Node, client_frame};
use millgate::config::{Config, Listeners};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

struct Place {
    _folder: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ws.sock");
    Place { _folder: folder, path }
}

fn listener(path: &Path, words: &str) -> Listeners {
    format!("unix:{}{words}", path.display()).parse().expect("a listener")
}

#[test]
fn a_client_over_a_unix_socket_is_one_like_all() {
    let place = place();
    let node = Node::with(|config| config.listen.websocket = listener(&place.path, " mode=0600"));
    assert_eq!(fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut ua = Client::unix(&place.path);
    ua.upgrade("/acc");
    ua.log_in(101, "ua");
    let mut ub = Client::unix(&place.path);
    ub.upgrade("/acc");
    ub.log_in(101, "ub");
    assert_eq!(ua.recv_push("enter")["from"], "ub");
    assert_eq!(clients(&node), ["unix", "unix"]);
    ub.close();
    assert_eq!(ua.recv_push("exit")["from"], "ub");
    node.stop();
    ua.expect_close(1012);
    assert!(!place.path.exists(), "the file is gone with the node");
}

/// Those who come one at a time must not all go to the reactor that the kernel asks first.
#[test]
fn all_reactors_accept_from_the_one_socket() {
    let place = place();
    let node = Node::with(|config| {
        config.listen.websocket = listener(&place.path, "");
        config.reactor.threads = 4;
    });
    let mut connected: Vec<Client> = Vec::new();
    for _ in 0..40 {
        let mut client = Client::unix(&place.path);
        client.upgrade("/acc");
        connected.push(client);
    }
    node.await_metric("millgate_connections", |count| count == 40.0);
    let shares: Vec<f64> = (0..4)
        .map(|reactor| node.metric(&format!("millgate_connections{{reactor=\"{reactor}\"}}")))
        .collect();
    // Whoever is awake when another client comes may take it: no exact shares.
    assert!(shares.iter().all(|share| *share >= 1.0), "{shares:?}");
}

#[test]
fn a_burst_of_clients_is_accepted() {
    let place = place();
    let node = Node::with(|config| config.listen.websocket = listener(&place.path, ""));
    let mut burst: Vec<Client> = (0..500).map(|_| Client::unix(&place.path)).collect();
    for client in &mut burst {
        client.upgrade("/echo");
    }
    for client in &mut burst {
        client.send_text("hello");
        assert_eq!(client.recv(), Message::Text("hello".into()));
    }
    drop(burst);
    node.await_metric("millgate_connections", |count| count == 0.0);
    assert_eq!(ended(&node, "eof"), 500.0);
}

/// More than the kernel takes: the rest waits here, and arrives.
#[test]
fn replies_wait_for_a_client_that_does_not_read() {
    let place = place();
    let node = Node::with(|config| config.listen.websocket = listener(&place.path, ""));
    let mut client = Client::unix(&place.path);
    client.upgrade("/echo");
    let message = vec![7; 60_000];
    let mut sender = client.another_end();
    let frames = client_frame(0x82, &message).repeat(50);
    let writer = std::thread::spawn(move || sender.send_raw(&frames));
    node.await_metric("millgate_outbox_bytes", |bytes| bytes > 0.0);
    for _ in 0..50 {
        assert_eq!(client.recv(), Message::Binary(message.clone()));
    }
    writer.join().expect("all was sent");
    node.await_metric("millgate_outbox_bytes", |bytes| bytes == 0.0);
}

#[test]
fn a_live_socket_is_left_alone_and_a_dead_one_is_replaced() {
    let place = place();
    // The file outlives its listener.
    drop(std::os::unix::net::UnixListener::bind(&place.path).unwrap());
    let node = Node::with(|config| config.listen.websocket = listener(&place.path, ""));
    let mut config = Config::default();
    config.listen.websocket = listener(&place.path, "");
    let error = millgate::gateway::Gateway::start(config, Default::default()).unwrap_err();
    let path = place.path.display();
    let expected = format!(
        "cannot listen for WebSocket clients on unix:{path} (listen.websocket): another process \
         listens there already"
    );
    assert_eq!(error.to_string(), expected);
    let mut client = Client::unix(&place.path);
    client.upgrade("/acc");
    client.expect_silence();
    drop(node);
}

/// Who waits in the queue when the node stops is sent away at once.
#[test]
fn a_stopping_node_leaves_nobody_waiting() {
    let place = place();
    let node = Node::with(|config| {
        config.listen.websocket = listener(&place.path, "");
        config.stop.timeout = Duration::from_secs(10);
    });
    let mut member = Client::unix(&place.path);
    member.upgrade("/acc");
    let path = place.path;
    let knocking = std::thread::spawn(move || {
        // Comes, and comes again, until nobody opens.
        while let Some(mut client) = Client::try_unix(&path) {
            client.try_send_raw(&Client::request("/acc"));
            client.read_to_end();
        }
    });
    // The knocker waits inside until it is told to go.
    node.await_metric("millgate_connections", |count| count >= 2.0);
    let stopping = std::thread::spawn(move || node.stop());
    member.expect_close(1012);
    drop(member);
    stopping.join().expect("it stops");
    knocking.join().expect("it was sent away");
}
