//! Registrations in a real Redis: nodes that come, go, die and are replaced.

use super::super::testing::{RedisServer, Shards, eventually};
use super::*;
use crate::clock::Clock;
use crate::config;
use crate::metrics::Metrics;
use std::collections::BTreeSet;

/// A node that runs; its task ends with it, as if it had been killed.
struct Node {
    registry: Arc<Registry>,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    async fn start(server: &RedisServer, here: &str) -> Self {
        let node = Self::prepare(server, here);
        assert!(node.registry.register().await);
        node
    }

    /// Started without waiting for Redis.
    fn prepare(server: &RedisServer, here: &str) -> Self {
        Self::with(&server.config(), here)
    }

    fn with(config: &config::Redis, here: &str) -> Self {
        let link = Link::open(config, "registry", Metrics::new(1)).unwrap();
        let time = Arc::new(RedisTime::new(Clock::start()));
        let registry = Registry::new(link, NodeAddr::parse(here).unwrap(), time);
        let running = Arc::clone(&registry);
        let task = tokio::spawn(async move { running.run().await });
        Self { registry, task }
    }

    async fn sees(&self, others: &[&str]) {
        let others: BTreeSet<NodeAddr> =
            others.iter().map(|other| NodeAddr::parse(other).unwrap()).collect();
        let nodes = self.registry.nodes();
        eventually(&format!("{} sees {others:?}", self.registry.here), async || {
            **nodes.borrow() == others
        })
        .await;
    }

    fn lease(&self) -> String {
        keys::lease(&self.registry.id)
    }

    /// Dies, and its lease runs out at once.
    fn die(&self, server: &RedisServer) {
        self.task.abort();
        server.ask::<()>(&["DEL", &self.lease()]);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const A: &str = "10.0.0.1:9001";
const B: &str = "10.0.0.2:9001";
const GO: &str = "10.0.0.3:9001";

fn stamp(server: &RedisServer, address: &str, skew: i64) {
    let time = server.time().saturating_add_signed(skew).to_string();
    server.ask::<()>(&["HSET", keys::SERVERS, address, &time]);
}

#[tokio::test]
async fn nodes_see_each_other_and_leave_no_trace() {
    let server = RedisServer::start(&[]).await;
    stamp(&server, GO, 0);
    let (a, b) = (Node::start(&server, A).await, Node::start(&server, B).await);
    assert_eq!(b.registry.nodes().borrow().len(), 2, "known before the node opens");
    let start = b.registry.starts().borrow()[&NodeAddr::parse(A).unwrap()];
    assert!(server.time() - start <= 5, "{start}");
    assert_eq!(b.registry.starts().borrow().len(), 1, "nobody knows when a Go node started");
    a.sees(&[B, GO]).await;
    let seconds: i64 = server.ask(&["TTL", &a.lease()]);
    assert!((1..=10).contains(&seconds));
    let seconds: i64 = server.ask(&["TTL", keys::SERVERS]);
    assert!((7_000..=7_200).contains(&seconds));
    b.registry.leave().await;
    a.sees(&[GO]).await;
    assert_eq!(server.ask::<i64>(&["HEXISTS", keys::SERVERS, B]), 0);
    assert_eq!(server.ask::<i64>(&["HEXISTS", keys::NODES, B]), 0);
    assert_eq!(server.ask::<i64>(&["EXISTS", &b.lease()]), 0);
    let rounds = b.registry.rounds();
    eventually("it looks on", async || b.registry.rounds() > rounds + 1).await;
    assert_eq!(server.ask::<i64>(&["HEXISTS", keys::SERVERS, B]), 0, "it does not come back");
}

#[tokio::test]
async fn a_node_whose_lease_runs_out_is_dead_until_somebody_takes_its_place() {
    let server = RedisServer::start(&[]).await;
    let (a, b) = (Node::start(&server, A).await, Node::start(&server, B).await);
    let c = Node::start(&server, GO).await;
    a.sees(&[B, GO]).await;
    b.die(&server);
    c.die(&server);
    a.sees(&[]).await;
    stamp(&server, GO, 5);
    a.sees(&[GO]).await;
    let again = Node::start(&server, B).await;
    a.sees(&[B, GO]).await;
    again.sees(&[A]).await;
}

#[tokio::test]
async fn whoever_has_taken_the_address_over_keeps_it() {
    let server = RedisServer::start(&[]).await;
    let old = Node::start(&server, B).await;
    old.task.abort();
    let new = Node::start(&server, B).await;
    old.registry.leave().await;
    assert_eq!(server.ask::<String>(&["HGET", keys::NODES, B]), new.registry.id);
    assert_eq!(server.ask::<i64>(&["HEXISTS", keys::SERVERS, B]), 1);
}

#[tokio::test]
async fn without_redis_the_last_view_stays_and_an_empty_one_is_filled_again() {
    let mut server = RedisServer::start(&[]).await;
    let (a, b) = (Node::start(&server, A).await, Node::start(&server, B).await);
    a.sees(&[B]).await;
    server.kill();
    eventually("the link is down", async || !a.registry.link.is_up()).await;
    a.sees(&[B]).await;
    let late = Node::prepare(&server, GO);
    assert!(!late.registry.register().await, "it starts all the same");
    server.restart().await;
    a.sees(&[B, GO]).await;
    b.sees(&[A, GO]).await;
    late.sees(&[A, B]).await;
    server.ask::<()>(&["FLUSHALL"]);
    eventually("everybody registers again", async || {
        server.ask::<usize>(&["HLEN", keys::SERVERS]) == 3
    })
    .await;
    a.sees(&[B, GO]).await;
}

#[tokio::test]
async fn a_redis_that_has_forgotten_everybody_strikes_nobody_off_at_once() {
    let server = RedisServer::start(&[]).await;
    let (a, b) = (Node::start(&server, A).await, Node::start(&server, B).await);
    a.sees(&[B]).await;
    b.task.abort();
    server.ask::<()>(&["FLUSHALL"]);
    eventually("it registers again", async || {
        server.ask::<i64>(&["HEXISTS", keys::SERVERS, A]) == 1
    })
    .await;
    let rounds = a.registry.rounds();
    eventually("it looks again", async || a.registry.rounds() > rounds).await;
    assert_eq!(a.registry.nodes().borrow().len(), 1, "the other has time to register");
    a.sees(&[]).await;
}

#[tokio::test]
async fn leases_that_run_out_while_redis_stands_still_kill_nobody() {
    let server = RedisServer::start(&[]).await;
    let (a, b) = (Node::start(&server, A).await, Node::start(&server, B).await);
    a.sees(&[B]).await;
    let mut nodes = a.registry.nodes();
    nodes.mark_unchanged();
    server.freeze();
    eventually("the leases run out", async || {
        a.registry.has_lease_run_out() && b.registry.has_lease_run_out()
    })
    .await;
    server.thaw();
    let rounds = a.registry.rounds();
    eventually("it looks again", async || a.registry.rounds() > rounds + 1).await;
    assert_eq!(nodes.has_changed().ok(), Some(false));
    b.sees(&[A]).await;
}

#[tokio::test]
async fn times_are_those_of_redis_and_odd_fields_are_skipped() {
    let server = RedisServer::start(&[]).await;
    for (address, skew) in [("10.0.0.9:1", -181), (GO, -170), ("10.0.0.8:1", 60)] {
        stamp(&server, address, skew);
    }
    server.ask::<()>(&["HSET", keys::SERVERS, "nonsense", "1", "10.0.0.7:1", "soon", "x:y", "2"]);
    server.ask::<()>(&["HSET", keys::NODES, "10.9.9.9:1", "long gone"]);
    let a = Node::start(&server, A).await;
    a.sees(&[GO, "10.0.0.8:1"]).await;
    assert_eq!(server.ask::<i64>(&["HEXISTS", keys::NODES, "10.9.9.9:1"]), 0);
    let ahead = server.time().abs_diff(a.registry.time.now());
    assert!(ahead <= 1, "{ahead}");
    let stamped: u64 = server.ask(&["HGET", keys::SERVERS, A]);
    assert!(server.time() - stamped <= 2);
}

#[tokio::test]
async fn nodes_see_each_other_through_a_redis_cluster() {
    let shards = Shards::start(3).await;
    let [a, b] = [A, B].map(|here| Node::with(&shards.config(), here));
    a.sees(&[B]).await;
    b.sees(&[A]).await;
    b.registry.leave().await;
    a.sees(&[]).await;
}

/// Redis answers, and still refuses what makes a node part of the cluster.
#[tokio::test]
async fn a_registration_that_is_refused_is_told_and_tried_again() {
    let server = RedisServer::start(&[]).await;
    server.ask::<()>(&["SET", keys::SERVERS, "no hash"]);
    let node = Node::prepare(&server, "127.0.0.1:9");
    eventually("the refusal is told", async || {
        node.registry.refusal().is_some_and(|why| why.contains("cannot register"))
    })
    .await;
    server.ask::<()>(&["DEL", keys::SERVERS]);
    eventually("it is registered", async || node.registry.refusal().is_none()).await;
}
