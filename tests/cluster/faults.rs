//! What happens when Redis fails, or another node.

use crate::nodes::{cluster, eventually, is_online, join, send};
use crate::redis::Redis;
use crate::support::Client;
use millgate::clock::Clock;
use serde_json::json;
use std::time::Duration;

#[test]
fn a_node_serves_its_own_users_without_redis() {
    let mut redis = Redis::start();
    redis.kill();
    let node = join(&redis);
    let mut ua = Client::login(&node, 101, "ua");
    assert!(send(&node, 101, "ua", "here"));
    assert_eq!(ua.recv_push("msg")["msg"], "here");
    assert!(is_online(&node, 101, "ua"));
    assert!(!send(&node, 101, "ub", "nowhere"));
    let (status, why) = node.get("/readyz");
    assert_eq!(status, 503);
    assert!(why.contains("Redis"), "{why}");
    assert_eq!(node.get("/healthz").0, 200);
    redis.restart();
    eventually("the user is known", || redis.record(101, "ua").contains("\"isLogoff\":false"));
    eventually("the node is ready", || node.get("/readyz").0 == 200);
}

#[test]
fn a_node_that_is_alone_in_its_cluster_has_metrics() {
    let redis = Redis::start();
    let node = join(&redis);
    let (status, text) = node.get("/metrics");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("millgate_peers{state=\"up\"} 0"), "{text}");
    assert!(!text.contains("millgate_peer_waiting"), "it waits for nobody");
}

#[test]
fn redis_killed_and_restarted_empty_harms_nobody() {
    let mut redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let mut ua = Client::login(&nodes[0], 101, "ua");
    let mut ub = Client::login(&nodes[1], 101, "ub");
    let gone = Client::login(&nodes[1], 102, "gone");
    eventually("all are known", || {
        is_online(&nodes[0], 101, "ub") && is_online(&nodes[0], 102, "gone")
    });
    redis.kill();
    gone.close();
    let clock = Clock::start();
    for n in 0..50 {
        let text = n.to_string();
        assert!(send(&nodes[0], 101, "ua", &text) && send(&nodes[1], 101, "ub", &text));
        assert_eq!(ua.recv_push("msg")["msg"], text);
        assert_eq!(ub.recv_push("msg")["msg"], text);
    }
    assert!(clock.now() < Duration::from_secs(5), "local chat goes on: {:?}", clock.now());
    for client in [&mut ua, &mut ub] {
        assert_eq!(client.request_reply("heartbeat", json!({}))["response"]["code"], 200);
    }
    redis.restart();
    eventually("presence is back", || {
        is_online(&nodes[1], 101, "ua") && is_online(&nodes[0], 101, "ub")
    });
    // Where a user was found is believed for two seconds.
    eventually("who left meanwhile is gone", || !is_online(&nodes[0], 102, "gone"));
    eventually("messages cross again", || send(&nodes[1], 101, "ua", "across"));
    assert_eq!(ua.recv_push("msg")["msg"], "across");
    eventually("both are ready", || nodes.iter().all(|node| node.get("/readyz").0 == 200));
}

#[test]
fn a_frozen_redis_makes_nobody_wait() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let mut ua = Client::login(&nodes[0], 101, "ua");
    eventually("the login is known", || is_online(&nodes[1], 101, "ua"));
    redis.freeze();
    let clock = Clock::start();
    for n in 0..50 {
        let text = n.to_string();
        assert!(send(&nodes[0], 101, "ua", &text));
        assert_eq!(ua.recv_push("msg")["msg"], text);
    }
    assert!(clock.now() < Duration::from_secs(5), "local chat goes on: {:?}", clock.now());
    let clock = Clock::start();
    assert!(!send(&nodes[0], 101, "ux", "?"), "nobody knows where");
    assert!(clock.now() < Duration::from_secs(2), "an answer comes soon: {:?}", clock.now());
    eventually("it says so", || nodes[0].get("/readyz").0 == 503);
    let late = Client::login(&nodes[1], 101, "late");
    redis.thaw();
    eventually("who came meanwhile is known", || is_online(&nodes[0], 101, "late"));
    drop(late);
}
