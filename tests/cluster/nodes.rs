//! Nodes in this process, joined through one Redis.

use crate::redis::Redis;
use crate::support::Node;
use millgate::clock::Clock;
use millgate::config::{self, Config};
use std::net::SocketAddr;
use std::time::Duration;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls what the system tells in no other way, until it is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// A node that joins through this Redis, and announces nobody.
pub fn join(redis: &Redis) -> Node {
    join_with(redis, announce_nobody)
}

pub fn join_with(redis: &Redis, change: impl FnOnce(&mut Config)) -> Node {
    let redis = config::Redis { addr: redis.addr(), ..config::Redis::default() };
    join_through(redis, change)
}

/// The same through any kind of Redis.
pub fn join_through(redis: config::Redis, change: impl FnOnce(&mut Config)) -> Node {
    Node::with(|config| {
        config.listen.grpc = SocketAddr::from(([127, 0, 0, 1], 0));
        config.redis = Some(redis);
        change(config);
    })
}

pub fn announce_nobody(config: &mut Config) {
    config.announce.exact_up_to = 0;
    config.announce.digests_per_second = 0;
}

/// So many nodes that all know each other.
pub fn cluster(redis: &Redis, size: usize) -> Vec<Node> {
    let nodes: Vec<Node> = (0..size).map(|_| join(redis)).collect();
    acquainted(&nodes.iter().collect::<Vec<_>>());
    nodes
}

/// The same, and whoever comes or goes is announced.
pub fn announcing_cluster(redis: &Redis, size: usize) -> Vec<Node> {
    let nodes: Vec<Node> = (0..size).map(|_| join_with(redis, |_| {})).collect();
    acquainted(&nodes.iter().collect::<Vec<_>>());
    nodes
}

/// Waits until each of them is connected with all others.
pub fn acquainted(nodes: &[&Node]) {
    for node in nodes {
        eventually("all nodes know each other", || {
            node.metric("millgate_peers{state=\"up\"}") == (nodes.len() - 1) as f64
        });
    }
}

/// What `GET /user/online` says.
pub fn is_online(node: &Node, app: u32, user: &str) -> bool {
    let data = node.get_data(&format!("/user/online?appID={app}&userID={user}"));
    data["online"].as_bool().expect("true or false")
}

/// Everybody in an app on any node, as `GET /user/list` says; sorted, and as often as it says.
pub fn list(node: &Node, app: u32) -> Vec<String> {
    let data = node.get_data(&format!("/user/list?appID={app}"));
    let mut names: Vec<String> = serde_json::from_value(data["userList"].clone()).unwrap();
    names.sort_unstable();
    names
}

/// Sends to one user; whether it was taken.
pub fn send(node: &Node, app: u32, user: &str, text: &str) -> bool {
    let fields =
        [("appID", app.to_string()), ("userID", user.to_owned()), ("message", text.to_owned())];
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(key, value)| (*key, value.as_str())).collect();
    node.post_data("/user/sendMessage", &fields)["sendResults"] == true
}
