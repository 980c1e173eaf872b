//! Redis that is more than one server, under whole nodes: Sentinel and Redis Cluster.

use crate::latency::Latencies;
use crate::nodes::{acquainted, announce_nobody, eventually, is_online, join_through, list, send};
use crate::support::{Client, Node};
use crate::testing::{RedisServer, Shards};
use millgate::clock::Clock;
use millgate::config::{self, RedisMode};
use serde_json::json;
use std::time::Duration;
use tokio::runtime::Builder;

/// When everything is as it should be, once Redis is.
const CONVERGED: Duration = Duration::from_secs(30);

fn wait<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Two nodes that know each other.
fn pair(redis: &config::Redis) -> [Node; 2] {
    let nodes = [(); 2].map(|()| join_through(redis.clone(), announce_nobody));
    acquainted(&[&nodes[0], &nodes[1]]);
    nodes
}

/// A master and a replica that a Sentinel watches over.
struct Watched {
    master: RedisServer,
    replica: RedisServer,
    sentinel: RedisServer,
}

impl Watched {
    async fn start() -> Self {
        let master = RedisServer::start(&[]).await;
        let of_master = ["--replicaof", "127.0.0.1", &master.port.to_string()];
        let replica = RedisServer::start(&of_master).await;
        let sentinel = RedisServer::sentinel(master.port).await;
        crate::testing::eventually("the Sentinel knows the replica", async || {
            let known: Vec<::redis::Value> = sentinel.ask(&["SENTINEL", "REPLICAS", "mymaster"]);
            !known.is_empty()
        })
        .await;
        Self { master, replica, sentinel }
    }

    fn config(&self) -> config::Redis {
        config::Redis { mode: RedisMode::Sentinel, ..self.sentinel.config() }
    }
}

/// Both nodes find both users, each once, and messages cross.
fn until_all_is_well(nodes: &[Node; 2], clients: &mut [Client; 2]) {
    let clock = Clock::start();
    eventually("everybody is found", || {
        nodes.iter().all(|node| ["u0", "u1"].iter().all(|user| is_online(node, 101, user)))
    });
    eventually("both list all", || nodes.iter().all(|node| list(node, 101) == ["u0", "u1"]));
    eventually("both are ready", || nodes.iter().all(|node| node.get("/readyz").0 == 200));
    assert!(clock.now() < CONVERGED, "{:?}", clock.now());
    for (node, user, client) in [(1, "u0", 0), (0, "u1", 1)] {
        eventually("messages cross", || send(&nodes[node], 101, user, "across"));
        while clients[client].recv_push("msg")["msg"] != "across" {}
    }
    for client in clients {
        assert_eq!(client.request_reply("heartbeat", json!({}))["response"]["code"], 200);
    }
}

#[test]
fn a_failover_by_sentinel_harms_nobody() {
    let mut redis = wait(Watched::start());
    let nodes = pair(&redis.config());
    let mut clients =
        [(&nodes[0], "u0"), (&nodes[1], "u1")].map(|(node, user)| Client::login(node, 101, user));
    until_all_is_well(&nodes, &mut clients);
    let before = Latencies::of_chat(&nodes[0], "u0", &mut clients[0], 200);

    redis.master.kill();
    // Who comes meanwhile is known afterwards; who moves is where the newest login is.
    let late = Client::login(&nodes[0], 102, "late");
    let older = Client::login(&nodes[0], 103, "moves");
    let during = Latencies::of_chat(&nodes[0], "u0", &mut clients[0], 200);
    during.expect_as_before(&before);
    let mut newer = Client::login(&nodes[1], 103, "moves");
    eventually("the replica is the master", || {
        // It ends its connections when it is promoted.
        let role = redis.replica.try_ask::<Vec<::redis::Value>>(&::redis::cmd("ROLE"));
        role.is_ok_and(|role| role[0] == ::redis::Value::BulkString(b"master".to_vec()))
    });
    until_all_is_well(&nodes, &mut clients);
    eventually("who came meanwhile is known", || is_online(&nodes[1], 102, "late"));
    eventually("the user is on one node", || {
        nodes.iter().all(|node| list(node, 103) == ["moves"])
            && nodes[0].metric("millgate_users") == 2.0
    });
    for node in &nodes {
        assert!(send(node, 103, "moves", "for the newer"));
        assert_eq!(newer.recv_push("msg")["msg"], "for the newer");
    }
    drop((late, older));
}

#[test]
fn a_slot_of_a_redis_cluster_that_moves_harms_nobody() {
    let shards = wait(Shards::start(3));
    let nodes = pair(&shards.config());
    let mut clients =
        [(&nodes[0], "u0"), (&nodes[1], "u1")].map(|(node, user)| Client::login(node, 101, user));
    until_all_is_well(&nodes, &mut clients);
    let before = Latencies::of_chat(&nodes[0], "u0", &mut clients[0], 200);

    // A user's record moves, the list of nodes, and a node's lease with whatever shares its slot.
    for key in ["acc:user:online:101_u0", "acc:hash:servers"] {
        let to = (shards.owner(key) + 1) % shards.servers.len();
        shards.move_slot(key, to);
        assert!(shards.servers[to].ask::<bool>(&["EXISTS", key]), "{key} has moved");
        Latencies::of_chat(&nodes[0], "u0", &mut clients[0], 200).expect_as_before(&before);
        until_all_is_well(&nodes, &mut clients);
    }
    // Records in a moved slot are written: the user goes and comes back on the other node.
    let [u0, mut u1] = clients;
    u0.close();
    eventually("the logout is known", || {
        nodes.iter().all(|node| !is_online(node, 101, "u0") && list(node, 101) == ["u1"])
    });
    let mut u0 = Client::login(&nodes[1], 101, "u0");
    eventually("the login is known", || is_online(&nodes[0], 101, "u0"));
    assert!(send(&nodes[0], 101, "u0", "moved"));
    assert_eq!(u0.recv_push("msg")["msg"], "moved");
    assert_eq!(u1.request_reply("heartbeat", json!({}))["response"]["code"], 200);
}
