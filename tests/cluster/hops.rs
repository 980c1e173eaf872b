//! Users who hop between nodes faster than the nodes tell each other.

use crate::nodes::{acquainted, cluster, eventually, is_online, send};
use crate::redis::Redis;
use crate::support::{Client, Node};
use millgate::clock::Clock;
use serde_json::Value;
use std::time::Duration;

const USERS: usize = 40;

fn name(n: usize) -> String {
    format!("hop{n:02}")
}

/// All users log in at this node, and stay for a moment: logins of one user that are closer
/// together than nodes know the time of Redis (10 ms, more on a busy machine) have no order
/// unless Redis hears of them at once.
fn log_in(node: &Node) -> Vec<Client> {
    let (clock, mut last) = (Clock::start(), Client::connect(node));
    let clients = (0..USERS).map(|n| Client::login(node, 101, &name(n))).collect();
    let until = clock.now() + Duration::from_millis(50);
    while clock.now() < until {
        assert_eq!(last.request_reply("ping", Value::Null)["response"]["data"], "pong");
    }
    clients
}

/// A message through each node reaches the newest login of each user, which is on the first node.
fn expect_the_newest(nodes: &[Node], newest: &mut [Client]) {
    eventually("all are on one node", || {
        nodes[0].metric("millgate_users") == USERS as f64
            && nodes[1..].iter().all(|node| node.metric("millgate_users") == 0.0)
    });
    for (at, node) in nodes.iter().enumerate() {
        for (n, client) in newest.iter_mut().enumerate() {
            let text = format!("from {at}");
            eventually("it is taken", || send(node, 101, &name(n), &text));
            assert_eq!(client.recv_push("msg")["msg"], text, "{}", name(n));
        }
    }
}

#[test]
fn the_newest_login_wins_however_fast_a_user_hops() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 3);
    let mut open: Vec<Vec<Client>> =
        [0, 1, 2, 1, 0, 2].iter().map(|at| log_in(&nodes[*at])).collect();
    let mut newest = log_in(&nodes[0]);
    expect_the_newest(&nodes, &mut newest);
    open.clear();
}

#[test]
fn the_newest_login_wins_whatever_becomes_of_redis_meanwhile() {
    let mut redis = Redis::start();
    let nodes = cluster(&redis, 3);
    let mut open = Vec::new();
    let first: Vec<Client> = log_in(&nodes[0]);
    eventually("all are known", || (0..USERS).all(|n| is_online(&nodes[1], 101, &name(n))));
    redis.freeze();
    open.push(log_in(&nodes[1]));
    open.push(log_in(&nodes[2]));
    redis.thaw();
    redis.kill();
    let mut newest: Vec<Client> = log_in(&nodes[0]);
    redis.restart();
    expect_the_newest(&nodes, &mut newest);
    drop((first, open));
}

/// Who logs in as soon as others have seen the login before is where the newer one is, although
/// the clocks of two nodes differ by more than that.
#[test]
fn the_newest_login_wins_as_soon_as_the_one_before_is_seen() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    for n in 0..60 {
        let user = name(n);
        let (from, to) = (n % 2, 1 - n % 2);
        let older = Client::login(&nodes[from], 101, &user);
        eventually("it is seen", || is_online(&nodes[to], 101, &user));
        let mut newer = Client::login(&nodes[to], 101, &user);
        eventually("the older login is over", || nodes[from].metric("millgate_users") == 0.0);
        assert!(send(&nodes[from], 101, &user, "for the newer"));
        assert_eq!(newer.recv_push("msg")["msg"], "for the newer");
        drop(older);
        newer.close();
        eventually("it has left", || nodes[to].metric("millgate_users") == 0.0);
    }
}

/// A login is visible to other nodes soon after its reply, whatever was asked before.
#[test]
fn a_login_and_a_logout_are_seen_at_once() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    acquainted(&[&nodes[0], &nodes[1]]);
    let clock = Clock::start();
    let mut lags = Vec::new();
    for n in 0..50 {
        assert!(!is_online(&nodes[1], 101, &name(n)), "nobody is remembered to be nowhere");
        let mut client = Client::login(&nodes[0], 101, &name(n));
        let replied = clock.now();
        eventually("it is online", || is_online(&nodes[1], 101, &name(n)));
        lags.push(clock.now() - replied);
        assert!(send(&nodes[1], 101, &name(n), "at once"));
        assert_eq!(client.recv_push("msg")["msg"], "at once");
        client.close();
        let left = clock.now();
        eventually("it is offline", || !is_online(&nodes[1], 101, &name(n)));
        lags.push(clock.now() - left);
    }
    lags.sort_unstable();
    let (median, most) = (lags[lags.len() / 2], lags[lags.len() - 1]);
    println!("seen by another node after {median:?} (median), {most:?} (longest)");
    // A busy machine may be late, now and then.
    assert!(median < Duration::from_millis(50), "{lags:?}");
}
