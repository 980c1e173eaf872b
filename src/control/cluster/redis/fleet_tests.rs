//! A link against several servers: a Redis Cluster whose slots move and whose
//! masters die, and Sentinels that fail over.

use super::super::super::testing::{RedisServer, Shards, eventually, free_port};
use super::*;

fn increments(count: usize) -> Vec<Cmd> {
    let increment = |n| {
        let mut command = redis::cmd("INCR");
        command.arg(format!("key-{n}"));
        command
    };
    (0..count).map(increment).collect()
}

async fn all_well(link: &Link, count: usize) -> bool {
    let answers = link.ask_all(&increments(count)).await;
    answers.is_ok_and(|answers| answers.len() == count && answers.iter().all(Result::is_ok))
}

async fn connected(config: &config::Redis) -> Link {
    let link = Link::open(config, "test", Metrics::new(1)).unwrap();
    eventually("the link is up", async || link.is_up()).await;
    link
}

#[tokio::test]
async fn a_cluster_is_written_to_as_a_whole_and_a_moved_slot_is_followed() {
    let shards = Shards::start(3).await;
    let link = connected(&shards.config()).await;
    assert!(all_well(&link, 300).await);
    for server in &shards.servers {
        assert!(server.ask::<usize>(&["DBSIZE"]) > 50, "all have their share");
    }
    let from = shards.owner("key-1");
    let to = (from + 1) % 3;
    shards.move_slot("key-1", to);
    eventually("the moved key is written", async || all_well(&link, 300).await).await;
    assert!(
        shards.servers[to].get("key-1").is_some_and(|count| count.parse::<u32>().unwrap() >= 2)
    );
}

/// It would refuse the keys of the other servers, one by one and for ever.
#[tokio::test]
async fn one_server_of_a_cluster_is_not_taken_for_all() {
    let shards = Shards::start(3).await;
    let config = config::Redis { mode: RedisMode::Standalone, ..shards.servers[0].config() };
    let link = Link::open(&config, "test", Metrics::new(1)).unwrap();
    eventually("it is said", async || {
        link.trouble().is_some_and(|why| why.contains("set redis.mode = \"cluster\""))
    })
    .await;
    assert!(!link.is_up());
    let alone = Shards::start(1).await;
    connected(&config::Redis { mode: RedisMode::Standalone, ..alone.servers[0].config() }).await;
}

#[tokio::test]
async fn a_dead_master_takes_only_its_own_keys_with_it() {
    let mut shards = Shards::start(3).await;
    let link = connected(&shards.config()).await;
    assert!(all_well(&link, 100).await);
    let (dead, frozen) = (0, 1);
    let others_go_on = async || {
        let answers = link.ask_all(&increments(100)).await.unwrap_or_default();
        (30..100).contains(&answers.iter().filter(|answer| answer.is_ok()).count())
    };
    shards.servers[dead].kill();
    eventually("the others go on without the dead one", others_go_on).await;
    shards.servers[dead].restart().await;
    eventually("all is well again", async || all_well(&link, 100).await).await;
    shards.servers[frozen].freeze();
    eventually("the others go on without the stopped one", others_go_on).await;
    assert!(link.is_up());
    shards.servers[frozen].thaw();
    eventually("all is well at last", async || all_well(&link, 100).await).await;
}

#[tokio::test]
async fn sentinels_name_the_master_and_the_next_one() {
    let mut master = RedisServer::start(&[]).await;
    let of_master = ["--replicaof", "127.0.0.1", &master.port.to_string()];
    let replica = RedisServer::start(&of_master).await;
    let sentinel = RedisServer::sentinel(master.port).await;
    eventually("the Sentinel knows the replica", async || {
        let replicas: Vec<Value> = sentinel.ask(&["SENTINEL", "REPLICAS", "mymaster"]);
        !replicas.is_empty()
    })
    .await;
    let nobody = free_port();
    let config = config::Redis {
        addr: format!("127.0.0.1:{nobody},127.0.0.1:{}", sentinel.port),
        mode: RedisMode::Sentinel,
        ..config::Redis::default()
    };
    let link = connected(&config).await;
    link.ask::<String>(redis::cmd("SET").arg("a").arg("1")).await.unwrap();
    assert_eq!(master.get("a").as_deref(), Some("1"));
    eventually("the replica has it too", async || replica.get("a").is_some()).await;
    master.kill();
    eventually("a write gets through", async || {
        link.ask::<String>(redis::cmd("SET").arg("b").arg("1")).await.is_ok()
    })
    .await;
    assert_eq!(replica.get("b").as_deref(), Some("1"), "it is the master now");
}

/// An old master that is cut off from the Sentinels alone goes on as if nothing had happened.
#[tokio::test]
async fn a_master_that_the_sentinels_have_given_up_is_left() {
    let (old, new) = (RedisServer::start(&[]).await, RedisServer::start(&[]).await);
    let sentinel = RedisServer::sentinel(old.port).await;
    let config = config::Redis { mode: RedisMode::Sentinel, ..sentinel.config() };
    let link = connected(&config).await;
    sentinel.ask::<()>(&["SENTINEL", "REMOVE", "mymaster"]);
    let port = new.port.to_string();
    sentinel.ask::<()>(&["SENTINEL", "MONITOR", "mymaster", "127.0.0.1", &port, "1"]);
    eventually("the new master is written to", async || {
        // Between two masters a call fails.
        let _set = link.ask::<String>(redis::cmd("SET").arg("a").arg("1")).await;
        new.get("a").is_some()
    })
    .await;
}
