//! Several listeners at once, of both families.

use super::{clients, own_address};
use crate::support::{Client, Node};
use millgate::config::{Config, Listener};
use std::net::{SocketAddr, TcpListener};

fn node(listeners: &[&str]) -> Node {
    Node::with(|config| {
        let list = format!("{listeners:?}");
        config.listen.websocket = Config::load_with(None, [], &[("listen.websocket".into(), list)])
            .expect("right")
            .config
            .listen
            .websocket;
    })
}

fn addresses(node: &Node) -> Vec<SocketAddr> {
    node.listeners().iter().filter_map(Listener::address).collect()
}

#[test]
fn all_listeners_lead_to_the_same_rooms() {
    let node = node(&["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"]);
    let places = addresses(&node);
    assert_eq!(places.len(), 3);
    assert_eq!(node.websocket(), places[0]);
    assert!(places.iter().all(|address| address.port() != 0), "{places:?}");
    let mut everybody: Vec<Client> = Vec::new();
    for (index, place) in places.iter().enumerate() {
        // Some for each reactor.
        for n in 0..4 {
            let mut client = Client::connect_to(*place, "/acc");
            client.log_in(101, &format!("u{index}-{n}"));
            for other in &mut everybody {
                other.recv_push("enter");
            }
            everybody.push(client);
        }
    }
    let mut expected: Vec<String> = everybody.iter().map(own_address).collect();
    expected.sort();
    assert_eq!(clients(&node), expected);
    node.stop();
    for client in &mut everybody {
        client.expect_close(1012);
    }
}

#[test]
fn an_address_of_ipv6_takes_both_families() {
    let node = node(&["[::]:0"]);
    let port = node.websocket().port();
    let v4 = Client::connect_to(SocketAddr::from(([127, 0, 0, 1], port)), "/acc");
    let v6 = Client::connect_to(format!("[::1]:{port}").parse().unwrap(), "/acc");
    let mut expected = [own_address(&v4), own_address(&v6)];
    expected.sort();
    assert_eq!(clients(&node), expected);
}

#[test]
fn both_families_may_be_listed_for_one_port() {
    // A port that is free in both; somebody else may take it before the node does.
    let node = (0..20).find_map(|_| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Node::try_with(|config| {
            let list = format!("[\"127.0.0.1:{free}\", \"[::]:{free}\"]");
            let overrides = [("listen.websocket".into(), list)];
            config.listen = Config::load_with(None, [], &overrides).unwrap().config.listen;
            config.listen.http = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        })
    });
    let node = node.expect("a free port");
    let port = node.websocket().port();
    Client::connect_to(SocketAddr::from(([127, 0, 0, 1], port)), "/acc").expect_silence();
    Client::connect_to(format!("[::1]:{port}").parse().unwrap(), "/acc").expect_silence();
}

#[test]
fn a_place_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut config = Config::default();
    let list = format!("[\"127.0.0.1:0\", \"{address}\"]");
    let overrides = [("listen.websocket".into(), list)];
    config.listen = Config::load_with(None, [], &overrides).unwrap().config.listen;
    let error = millgate::gateway::Gateway::start(config, Default::default()).unwrap_err();
    let expected = format!(
        "cannot listen for WebSocket clients on {address} (listen.websocket): another process \
         listens there already"
    );
    assert_eq!(error.to_string(), expected);
}
