//! What `/readyz` says while Redis fails, and after the process stood still.

use crate::nodes::{PATIENCE, announce_nobody, cluster, eventually, join_with};
use crate::process::Process;
use crate::redis::Redis;
use crate::support::{Client, Node};
use millgate::clock::Clock;
use rustix::process::Signal;
use std::time::Duration;

fn join_with_grace(redis: &Redis, grace: Duration) -> Node {
    join_with(redis, |config| {
        announce_nobody(config);
        config.ready.redis_grace = grace;
    })
}

fn process(redis: &Redis) -> Process {
    Process::start(&["listen.grpc=127.0.0.1:0", &format!("redis.addr={}", redis.addr())])
}

/// Lets time pass.
fn wait(time: Duration) {
    let clock = Clock::start();
    while clock.now() < time {
        std::thread::park_timeout(time.saturating_sub(clock.now()));
    }
}

#[test]
fn a_short_outage_of_redis_takes_no_node_out_of_service() {
    let mut redis = Redis::start();
    let nodes = [Duration::from_secs(60), Duration::from_secs(2)]
        .map(|grace| join_with_grace(&redis, grace));
    let is_remark = |node: &Node| {
        let (status, said) = node.get("/readyz");
        status == 200
            && said.contains("Redis is not reachable")
            && said.contains("ready.redis_grace")
    };
    for node in &nodes {
        eventually("it is ready", || node.get("/readyz") == (200, "ready\n".to_owned()));
    }
    redis.kill();
    for node in &nodes {
        eventually("it stays ready and says why", || is_remark(node));
    }
    eventually("the grace of one is over", || nodes[1].get("/readyz").0 == 503);
    let (_, why) = nodes[1].get("/readyz");
    assert!(why.contains("Redis is not reachable") && !why.contains("redis_grace"), "{why}");
    assert!(is_remark(&nodes[0]), "the other one has time");
    nodes[0].reload(|config| config.ready.redis_grace = Duration::ZERO);
    eventually("a reload is followed", || nodes[0].get("/readyz").0 == 503);
    redis.restart();
    for node in &nodes {
        eventually("it is ready again", || node.get("/readyz") == (200, "ready\n".to_owned()));
    }
}

/// A server that refuses scripts refuses the registration: other nodes would never find this one.
#[test]
fn a_registration_that_redis_refuses_is_told_at_once() {
    let redis = Redis::start();
    let forbid = ["ACL", "SETUSER", "default", "-eval", "-evalsha"];
    assert_eq!(redis.ask(&forbid).as_deref(), Some("+OK\r\n"));
    let process = process(&redis);
    eventually("it says so", || process.ready().0 == 503);
    let (_, said) = process.ready();
    assert!(said.contains("cannot register") && said.contains("eval"), "{said}");
    let allow = ["ACL", "SETUSER", "default", "+eval", "+evalsha"];
    assert_eq!(redis.ask(&allow).as_deref(), Some("+OK\r\n"));
    eventually("it is ready", || process.ready() == (200, "ready\n".to_owned()));
    process.terminate();
    let (_, lines) = process.ended_within(PATIENCE);
    for words in
        ["not ready: this node cannot register, so other nodes do not find it", "ready again"]
    {
        assert!(lines.iter().any(|line| line.contains(words)), "{words}: {lines:?}");
    }
}

/// A virtual machine that moves stands still for seconds. Ticks that were missed are not made up
/// for: canaries in a row would find every reactor silent.
#[test]
fn a_node_that_was_frozen_is_ready_at_once() {
    let redis = Redis::start();
    let others = cluster(&redis, 2);
    let process = process(&redis);
    eventually("all know each other", || {
        others.iter().all(|node| node.metric("millgate_peers{state=\"up\"}") == 2.0)
            && process.metric("millgate_peers{state=\"up\"}") == 2.0
    });
    eventually("it is ready", || process.ready().0 == 200);
    let mut client = Client::connect_to(process.websocket(), "/acc");
    client.log_in(101, "ua");
    process.signal(Signal::STOP);
    wait(Duration::from_secs(9));
    process.signal(Signal::CONT);
    let clock = Clock::start();
    while clock.now() < Duration::from_secs(5) {
        let (status, said) = process.ready();
        assert_eq!(status, 200, "after {:?}: {said}", clock.now());
        wait(Duration::from_millis(20));
    }
    client.expect_silence();
    eventually("the others have it again", || {
        others.iter().all(|node| node.metric("millgate_peers{state=\"up\"}") == 2.0)
    });
}
