//! Users whom two nodes claim while Redis is away.

use crate::nodes::{cluster, eventually, is_online, list, send};
use crate::redis::Redis;
use crate::support::{Client, Node};
use serde_json::json;

/// Users who log in on one node and then on the other.
const USERS: usize = 20;

fn name(n: usize) -> String {
    format!("u{n:02}")
}

/// Half of them on each node; `turn` 1 is the other one.
fn log_in(nodes: &[Node], turn: usize) -> Vec<Client> {
    (0..USERS).map(|n| Client::login(&nodes[(n + turn) % 2], 101, &name(n))).collect()
}

/// What both nodes have to say is so old that nobody could mistake it for news.
fn until_it_lags(nodes: &[Node]) {
    eventually("it lags", || {
        nodes.iter().all(|node| node.metric("millgate_presence_lag_seconds") > 2.0)
    });
}

/// Both nodes agree that the newer logins hold everybody.
fn expect_the_newer(nodes: &[Node], older: Vec<Client>, newer: &mut [Client]) {
    let names: Vec<String> = (0..USERS).map(name).collect();
    eventually("everybody is on one node", || {
        nodes.iter().all(|node| list(node, 101) == names)
            && nodes.iter().all(|node| node.metric("millgate_users") == (USERS / 2) as f64)
    });
    for (at, node) in nodes.iter().enumerate() {
        for (name, newer) in names.iter().zip(newer.iter_mut()) {
            // Its lookups may need a moment more, and may have found the other node just before.
            eventually("it is online", || is_online(node, 101, name));
            let text = format!("from {at}");
            eventually("it is taken", || send(node, 101, name, &text));
            assert_eq!(newer.recv_push("msg")["msg"], text, "{name}");
        }
    }
    for mut client in older {
        let beat = client.request_reply("heartbeat", json!({}));
        assert_eq!(beat["response"]["code"], 200, "it stays open, and receives nothing more");
        client.close();
    }
    assert!(names.iter().all(|name| nodes.iter().all(|node| is_online(node, 101, name))));
}

#[test]
fn who_moves_while_redis_is_away_is_where_the_newer_login_is() {
    let mut redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let older = log_in(&nodes, 0);
    let names: Vec<String> = (0..USERS).map(name).collect();
    eventually("all are known", || nodes.iter().all(|node| list(node, 101) == names));
    redis.kill();
    let mut newer = log_in(&nodes, 1);
    redis.restart();
    expect_the_newer(&nodes, older, &mut newer);
}

#[test]
fn who_comes_twice_while_redis_is_away_is_where_the_newer_login_is() {
    let mut redis = Redis::start();
    let nodes = cluster(&redis, 2);
    redis.kill();
    let older = log_in(&nodes, 0);
    until_it_lags(&nodes);
    let mut newer = log_in(&nodes, 1);
    redis.restart();
    expect_the_newer(&nodes, older, &mut newer);
}

#[test]
fn who_comes_twice_while_redis_is_frozen_is_where_the_newer_login_is() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    redis.freeze();
    let older = log_in(&nodes, 0);
    until_it_lags(&nodes);
    let mut newer = log_in(&nodes, 1);
    redis.thaw();
    expect_the_newer(&nodes, older, &mut newer);
}
