//! A drain: announced, paced, changed on the way, taken back.

use crate::support::{Client, Message, Node};
use millgate::clock::Clock;
use serde_json::{Value, json};
use std::time::Duration;

/// The reason of the 1012 that is due next.
fn told(client: &mut Client) -> Value {
    match client.recv() {
        Message::Close(Some((1012, reason))) => serde_json::from_str(&reason).expect("JSON"),
        other => panic!("a close was due, not {other:?}"),
    }
}

fn drain(node: &Node, query: &str) -> Value {
    node.post_data(&format!("/admin/drain?{query}"), &[])
}

#[test]
fn clients_are_told_at_a_rate_that_can_be_changed() {
    const CROWD: usize = 3_000;
    let node = Node::with(|config| {
        // One reactor tells them in the order in which they came.
        config.reactor.threads = 1;
        config.announce.exact_up_to = 0;
    });
    let mut clients: Vec<Client> = (0..CROWD).map(|_| Client::connect(&node)).collect();
    clients[0].expect_silence();
    assert_eq!(drain(&node, "rate=100")["stage"], "grace");
    let first = told(&mut clients[60]);
    for client in &mut clients[..60] {
        assert!(client.has_something(), "who came earlier is told earlier");
    }
    // At this rate the last would be told after half a minute.
    assert!(!clients[CROWD - 1].has_something());
    let state = node.get_data("/admin/state")["drain"].clone();
    assert_eq!((&state["stage"], &state["total"]), (&json!("closing"), &json!(CROWD)));
    assert!(state["told"].as_u64() >= Some(61), "{state}");
    assert_eq!(node.metric("millgate_drain_stage"), 2.0);
    assert_eq!(node.metric("millgate_drain_rate"), 100.0);
    assert_eq!(node.metric("millgate_ready"), 0.0);

    let changed = drain(&node, "rate=20000&deadline=60s");
    assert_eq!((&changed["stage"], &changed["perSecond"]), (&json!("closing"), &json!(20_000.0)));
    let mut reasons = vec![first];
    for (at, client) in clients.iter_mut().enumerate() {
        if at != 60 {
            reasons.push(told(client));
        }
    }
    for reason in &reasons {
        let after_ms = reason["reconnect"]["after_ms"].as_u64().expect("a number");
        assert!((1_000..60_000).contains(&after_ms), "{reason}");
        assert_eq!(reason["reconnect"].get("url"), None, "{reason}");
    }
    // The first were told when it was to take half a minute.
    let first_ms = reasons[1]["reconnect"]["after_ms"].as_u64().expect("a number");
    assert!(first_ms > 25_000, "{first_ms}");
    drop(clients);
    node.ended();
}

#[test]
fn the_deadline_ends_what_the_rate_would_not() {
    let node = Node::start();
    let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(&node)).collect();
    drain(&node, "rate=1&deadline=2s");
    for client in &mut clients {
        told(client);
    }
    node.ended();
}

#[test]
fn clients_are_sent_to_other_nodes_in_turns() {
    let others = ["wss://b.example.org/acc", "wss://c.example.org:8089/acc"];
    let node = Node::with(|config| {
        config.reactor.threads = 1;
        config.stop.other_nodes = others.map(str::to_owned).to_vec();
    });
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(&node)).collect();
    drain(&node, "deadline=20s");
    for (client, other) in clients.iter_mut().zip(others.into_iter().cycle()) {
        let reason = told(client);
        assert_eq!(reason["reconnect"]["url"], other);
        assert!(reason["reconnect"]["after_ms"].as_u64() < Some(2_000), "{reason}");
    }
}

#[test]
fn in_the_grace_everything_goes_on_and_it_can_be_taken_back() {
    let node = Node::start();
    let mut client = Client::login(&node, 101, "ann");
    assert_eq!(node.request("DELETE", "/admin/drain").status, 409, "there is none");
    let began = drain(&node, "grace=1h");
    assert_eq!(began["stage"], "grace");
    assert!(began["leftMs"].as_u64() > Some(3_000_000), "{began}");
    let (status, text) = node.get("/readyz");
    assert_eq!((status, text.as_str()), (503, "this node is about to stop\n"));
    client.expect_silence();
    let newcomer = Client::login(&node, 101, "bob");
    assert_eq!(client.recv_push("enter")["from"], "bob");
    assert_eq!(node.request("DELETE", "/admin/drain").status, 200);
    assert_eq!(node.get("/readyz").0, 200);
    assert_eq!(node.metric("millgate_drain_stage"), 0.0);
    drop(newcomer);
    // Another one, whose grace is made shorter on the way.
    drain(&node, "grace=1h");
    drain(&node, "grace=0&deadline=20s");
    loop {
        match client.recv() {
            Message::Close(Some((1012, _))) => break,
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(node.post("/admin/drain?cancel=1", &[]).0, 409);
    assert_eq!(node.post("/admin/reload", &[]).0, 400, "it ends");
    drop(client);
    node.ended();
}

/// The port must be free again when clients were told to be back.
#[test]
fn a_client_that_does_not_answer_keeps_the_node_no_longer_than_was_told() {
    let node = Node::start();
    let silent = Client::connect(&node);
    let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(&node)).collect();
    let clock = Clock::start();
    drain(&node, "deadline=60s");
    let after_ms = clients
        .iter_mut()
        .map(|client| told(client)["reconnect"]["after_ms"].as_u64().expect("a number"));
    let first = Duration::from_millis(after_ms.min().expect("there are some"));
    drop(clients);
    node.ended();
    assert!(clock.now() < first, "{:?}, {first:?}", clock.now());
    drop(silent);
}

#[test]
fn what_is_no_drain_is_refused() {
    let node = Node::start();
    for query in ["rate=fast", "rate=-1", "rate=4294967296", "deadline=soon", "grace=9999days"] {
        let (status, text) = node.post(&format!("/admin/drain?{query}"), &[]);
        assert_eq!(status, 400, "{query}: {text}");
        let name = query.split('=').next().expect("a name");
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(node.get("/readyz").0, 200);
    // Neither a proxy's retry of a GET nor a link may end a node.
    assert_eq!(node.get("/admin/drain").0, 405);
}

#[test]
fn a_configured_grace_counts_for_signals_too() {
    let node = Node::with(|config| config.stop.grace = Duration::from_secs(3_600));
    let mut client = Client::login(&node, 101, "ann");
    drain(&node, "");
    client.expect_silence();
    assert_eq!(node.get("/readyz").0, 503);
    drain(&node, "grace=0");
    told(&mut client);
}
