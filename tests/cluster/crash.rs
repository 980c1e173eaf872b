//! Nodes that end badly.

use crate::nodes::{PATIENCE, eventually, is_online, join, send};
use crate::process::Process;
use crate::redis::Redis;
use crate::support::{Client, Node};
use millgate::clock::Clock;
use rustix::process::Signal;
use std::time::Duration;

/// A node in a process of its own, which announces nobody.
fn start(redis: &Redis, grpc: &str) -> Process {
    let (grpc, redis) = (format!("listen.grpc={grpc}"), format!("redis.addr={}", redis.addr()));
    let quiet = ["announce.exact_up_to=0", "announce.digests_per_second=0"];
    Process::start(&[&grpc, &redis, quiet[0], quiet[1]])
}

fn peers_up(node: &Node) -> f64 {
    node.metric("millgate_peers{state=\"up\"}")
}

/// A user on a process, whom the node here finds.
fn user_on(process: &Process, node: &Node, user: &str) -> Client {
    let mut client = Client::connect_to(process.websocket(), "/acc");
    client.log_in(101, user);
    eventually("the login is known", || is_online(node, 101, user));
    client
}

/// No caller may wait longer for another node.
const PROMPTLY: Duration = Duration::from_secs(1);

fn expect_no_answer_from(node: &Node, user: &str) {
    let clock = Clock::start();
    assert!(!send(node, 101, user, "?"));
    let took = clock.now();
    // Some room for a machine that has other things to do.
    assert!(took < PROMPTLY * 2, "{took:?}");
}

#[test]
fn users_of_a_killed_node_are_offline_soon() {
    let redis = Redis::start();
    let node = join(&redis);
    let process = start(&redis, "127.0.0.1:0");
    eventually("both know each other", || peers_up(&node) == 1.0);
    let _client = user_on(&process, &node, "ua");
    let mut here = Client::login(&node, 101, "ub");
    let clock = Clock::start();
    process.signal(Signal::KILL);
    while is_online(&node, 101, "ua") {
        expect_no_answer_from(&node, "ua");
        assert!(clock.now() < Duration::from_secs(15), "a ghost after {:?}", clock.now());
    }
    assert!(send(&node, 101, "ub", "goes on"));
    assert_eq!(here.recv_push("msg")["msg"], "goes on");
    assert_eq!(node.get("/readyz").0, 200, "one that dies does not take others with it");
    eventually("it is no peer any more", || node.metric("millgate_peers") == 0.0);
}

#[test]
fn a_frozen_node_makes_nobody_wait() {
    let redis = Redis::start();
    let node = join(&redis);
    let process = start(&redis, "127.0.0.1:0");
    eventually("both know each other", || peers_up(&node) == 1.0);
    let mut there = user_on(&process, &node, "ua");
    process.signal(Signal::STOP);
    let clock = Clock::start();
    while is_online(&node, 101, "ua") {
        expect_no_answer_from(&node, "ua");
        assert!(clock.now() < Duration::from_secs(15), "a ghost after {:?}", clock.now());
    }
    process.signal(Signal::CONT);
    eventually("it is back, and so is its user", || send(&node, 101, "ua", "again"));
    // What was sent meanwhile may have come as well.
    while there.recv_push("msg")["msg"] != "again" {}
}

#[test]
fn a_node_comes_back_under_its_address() {
    let redis = Redis::start();
    let node = join(&redis);
    let first = start(&redis, "127.0.0.1:0");
    eventually("both know each other", || peers_up(&node) == 1.0);
    let servers = redis.ask(&["HKEYS", "acc:hash:servers"]).unwrap();
    let own = node.grpc().to_string();
    let address = servers
        .lines()
        .find(|line| line.contains(':') && *line != own && !line.starts_with(['$', '*']));
    let address = address.expect("the other's address").to_owned();
    first.signal(Signal::KILL);
    let (_, _) = first.ended_within(PATIENCE);
    let second = start(&redis, &address);
    let _client = user_on(&second, &node, "ua");
    eventually("messages reach it", || send(&node, 101, "ua", "you are new"));
}
