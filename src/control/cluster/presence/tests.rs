//! Presence in a real Redis.

use super::super::redis::keys;
use super::super::testing::{RedisServer, Shards, eventually};
use super::*;
use crate::config;
use crate::id::ConnId;
use crate::session::User;
use std::collections::BTreeSet;

const APP: AppId = AppId(101);
const HERE: &str = "10.0.0.1:9001";
const THERE: &str = "10.0.0.2:9001";

/// The presence of one node, without the node.
struct Node {
    presence: Arc<Presence>,
    conflicts: mpsc::Receiver<Conflict>,
    nodes: watch::Sender<Nodes>,
    starts: watch::Sender<Starts>,
    time: Arc<RedisTime>,
    task: tokio::task::JoinHandle<()>,
    serial: u32,
}

impl Node {
    async fn start(server: &RedisServer, here: &str, others: &[&str]) -> Self {
        Self::connect(&server.config(), here, others).await
    }

    async fn connect(config: &config::Redis, here: &str, others: &[&str]) -> Self {
        let metrics = Metrics::new(1);
        let link = |purpose| Link::open(config, purpose, Arc::clone(&metrics)).unwrap();
        let others: BTreeSet<NodeAddr> =
            others.iter().map(|other| NodeAddr::parse(other).unwrap()).collect();
        let (nodes, watched) = watch::channel(Arc::new(others));
        let (starts, started) = watch::channel(Starts::default());
        let (sender, conflicts) = mpsc::channel(16);
        let clock = Clock::start();
        let time = Arc::new(RedisTime::new(clock));
        let presence = Presence::new(Parts {
            writes: link("presence"),
            lookups: link("lookups"),
            here: NodeAddr::parse(here).unwrap(),
            directory: Arc::new(Directory::new(&[101, 102])),
            nodes: watched,
            starts: started,
            is_mixed: watch::channel(false).1,
            time: Arc::clone(&time),
            conflicts: sender,
            clock,
            metrics: Arc::clone(&metrics),
        });
        let running = Arc::clone(&presence);
        let task = tokio::spawn(async move { running.run().await });
        let node = Self { presence, conflicts, nodes, starts, time, task, serial: 0 };
        eventually("Redis is reached", async || {
            node.presence.link.is_up() && node.presence.places.is_up()
        })
        .await;
        node
    }

    fn log_in(&mut self, name: &str) -> Arc<User> {
        self.serial += 1;
        let conn = ConnId { reactor: 0, slot: 0, serial: self.serial };
        let now = self.presence.clock.now();
        let user = Arc::new(User::at(APP, name.into(), conn, now));
        self.presence.directory.login(Arc::clone(&user)).unwrap();
        let client = "203.0.113.7:24442".parse().unwrap();
        self.note(Event::Arrived { user: Arc::clone(&user), client, is_new: true });
        user
    }

    fn log_out(&self, user: &Arc<User>) {
        self.presence.directory.logout(user).unwrap();
        self.note(Event::Departed(Arc::clone(user)));
    }

    fn note(&self, event: Event) {
        self.presence.note(&News { since: self.presence.clock.now(), event });
    }

    async fn conflict(&mut self) -> (String, String, ConflictKind) {
        let next = tokio::time::timeout(super::super::testing::PATIENCE, self.conflicts.recv());
        let Conflict { user, holder, kind, .. } = next.await.unwrap().unwrap();
        (user.into(), holder.to_string(), kind)
    }

    async fn locates(&self, name: &str, located: Located) {
        eventually(&format!("{name} is {located:?}"), async || {
            self.presence.locate(APP, name).await == located
        })
        .await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn there() -> Located {
    Located::At(NodeAddr::parse(THERE).unwrap())
}

/// A user's record: at which node, and whether logged off.
fn record(server: &RedisServer, name: &str) -> Option<(String, bool)> {
    let text = server.get(&keys::user(APP, name))?;
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    let text = |name: &str| record[name].as_str().unwrap().to_owned();
    Some((format!("{}:{}", text("accIp"), text("accPort")), record["isLogoff"].as_bool().unwrap()))
}

async fn has_record(server: &RedisServer, name: &str, at: &str, is_logoff: bool) {
    eventually(&format!("{name} is at {at}, off: {is_logoff}"), async || {
        record(server, name) == Some((at.to_owned(), is_logoff))
    })
    .await;
}

#[tokio::test]
async fn logins_and_logouts_reach_redis_and_are_found() {
    let server = RedisServer::start(&[]).await;
    let mut there_node = Node::start(&server, THERE, &[HERE]).await;
    let here = Node::start(&server, HERE, &[THERE]).await;
    let user = there_node.log_in("ua");
    has_record(&server, "ua", THERE, false).await;
    here.locates("ua", there()).await;
    assert_eq!(here.presence.locate(APP, "nobody").await, Located::Nowhere);
    here.nodes.send_replace(Arc::default());
    assert_eq!(here.presence.locate(APP, "ua").await, Located::Unknown, "who lives is not known");
    here.time.set_ms(server.time() * 1_000, here.time.since_start());
    assert_eq!(here.presence.locate(APP, "ua").await, Located::Nowhere, "its node is dead");
    here.nodes.send_replace(Arc::new(BTreeSet::from([NodeAddr::parse(THERE).unwrap()])));
    there_node.log_out(&user);
    has_record(&server, "ua", THERE, true).await;
    here.locates("ua", Located::Nowhere).await;
}

#[tokio::test]
async fn what_an_earlier_process_said_at_the_same_address_is_no_longer_true() {
    let server = RedisServer::start(&[]).await;
    let mut there_node = Node::start(&server, THERE, &[]).await;
    let here = Node::start(&server, HERE, &[THERE]).await;
    there_node.log_in("ua");
    here.locates("ua", there()).await;
    let started = |at| Arc::new([(NodeAddr::parse(THERE).unwrap(), at)].into_iter().collect());
    here.starts.send_replace(started(server.time() - 5));
    assert_eq!(here.presence.locate(APP, "ua").await, there());
    here.starts.send_replace(started(server.time() + 1));
    assert_eq!(here.presence.locate(APP, "ua").await, Located::Nowhere);
}

#[tokio::test]
async fn the_newer_login_has_the_record_and_the_older_node_hears_of_it() {
    let server = RedisServer::start(&[]).await;
    let mut old = Node::start(&server, THERE, &[HERE]).await;
    let mut new = Node::start(&server, HERE, &[THERE]).await;
    old.log_in("ua");
    has_record(&server, "ua", THERE, false).await;
    new.log_in("ua");
    assert_eq!(new.conflict().await, ("ua".into(), THERE.into(), ConflictKind::Arrived));
    old.presence.sweep();
    assert_eq!(old.conflict().await, ("ua".into(), HERE.into(), ConflictKind::Kept));
    assert_eq!(record(&server, "ua"), Some((HERE.into(), false)));
    old.presence.claim(APP, "ua");
    while old.conflict().await.2 == ConflictKind::Kept {}
    has_record(&server, "ua", THERE, false).await;
}

#[tokio::test]
async fn the_record_of_a_dead_node_is_taken_without_asking() {
    let server = RedisServer::start(&[]).await;
    let mut dead = Node::start(&server, THERE, &[]).await;
    dead.log_in("ua");
    has_record(&server, "ua", THERE, false).await;
    drop(dead);
    let mut here = Node::start(&server, HERE, &[]).await;
    let conn = ConnId { reactor: 0, slot: 0, serial: 1 };
    here.presence.directory.login(Arc::new(User::new(APP, "ua".into(), conn)));
    here.presence.sweep();
    has_record(&server, "ua", HERE, false).await;
    assert!(here.conflicts.try_recv().is_err());
}

#[tokio::test]
async fn what_happened_without_redis_is_told_when_it_is_back_empty() {
    let mut server = RedisServer::start(&[]).await;
    let mut here = Node::start(&server, HERE, &[THERE]).await;
    let left = here.log_in("left");
    for n in 0..2_000 {
        here.log_in(&format!("u{n}"));
    }
    has_record(&server, "u1999", HERE, false).await;
    server.kill();
    eventually("it is noticed", async || !here.presence.link.is_up()).await;
    here.log_out(&left);
    here.log_in("late");
    assert_eq!(here.presence.locate(APP, "ua").await, Located::Unknown);
    assert_eq!(here.presence.first_seen("m1").await, None);
    server.restart().await;
    has_record(&server, "late", HERE, false).await;
    eventually("everybody is there", async || server.ask::<usize>(&["DBSIZE"]) == 2_001).await;
    assert_eq!(record(&server, "left"), None, "an empty Redis need not know who left");
}

#[tokio::test]
async fn a_stopped_redis_learns_who_left_meanwhile() {
    let server = RedisServer::start(&[]).await;
    let mut here = Node::start(&server, HERE, &[THERE]).await;
    let (gone, back) = (here.log_in("gone"), here.log_in("back"));
    has_record(&server, "back", HERE, false).await;
    server.freeze();
    here.log_out(&gone);
    here.log_out(&back);
    eventually("it is noticed", async || !here.presence.link.is_up()).await;
    let _again = here.log_in("back");
    server.thaw();
    has_record(&server, "gone", HERE, true).await;
    eventually("nothing waits", async || here.presence.state().backlog.is_idle()).await;
    assert_eq!(record(&server, "back"), Some((HERE.into(), false)));
}

#[tokio::test]
async fn lost_events_are_made_up_for_by_a_sweep() {
    let server = RedisServer::start(&[]).await;
    let here = Node::start(&server, HERE, &[]).await;
    let conn = ConnId { reactor: 0, slot: 0, serial: 1 };
    here.presence.directory.login(Arc::new(User::new(APP, "ua".into(), conn)));
    here.presence.metrics.shared.events_lost.fetch_add(1, Ordering::Relaxed);
    has_record(&server, "ua", HERE, false).await;
    assert!(here.presence.metrics.cluster.swept.load(Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn everybody_is_written_off_at_the_end() {
    let server = RedisServer::start(&[]).await;
    let mut here = Node::start(&server, HERE, &[]).await;
    let users: Vec<_> = (0..3_000).map(|n| here.log_in(&format!("u{n}"))).collect();
    eventually("everybody is there", async || server.ask::<usize>(&["DBSIZE"]) == 3_000).await;
    let patience = super::super::testing::PATIENCE;
    let (left, ()) = tokio::join!(here.presence.write_off_all(patience), async {
        // The reactors are being emptied meanwhile.
        for user in users.iter().take(500) {
            here.log_out(user);
        }
    });
    assert_eq!(left, 0);
    for n in [0, 499, 500, 2_999] {
        assert_eq!(record(&server, &format!("u{n}")), Some((HERE.into(), true)), "u{n}");
    }
}

#[tokio::test]
async fn a_farewell_without_redis_ends_in_time() {
    let mut server = RedisServer::start(&[]).await;
    let mut here = Node::start(&server, HERE, &[]).await;
    here.log_in("ua");
    has_record(&server, "ua", HERE, false).await;
    server.kill();
    assert_eq!(here.presence.write_off_all(Duration::from_millis(100)).await, 1);
}

#[tokio::test]
async fn a_message_id_is_new_once_in_the_whole_cluster() {
    let server = RedisServer::start(&[]).await;
    let (a, b) = (Node::start(&server, HERE, &[]).await, Node::start(&server, THERE, &[]).await);
    assert_eq!(a.presence.first_seen("m1").await, Some(true));
    assert_eq!(b.presence.first_seen("m1").await, Some(false));
    let seconds: i64 = server.ask(&["TTL", &keys::seen("m1")]);
    assert!((43_100..=43_200).contains(&seconds));
    b.presence.forget_seen("m1").await;
    assert_eq!(a.presence.first_seen("m1").await, Some(true));
}

#[tokio::test]
async fn conflicts_that_nobody_takes_are_counted() {
    let server = RedisServer::start(&[]).await;
    let mut there_node = Node::start(&server, THERE, &[]).await;
    let mut here = Node::start(&server, HERE, &[THERE]).await;
    for n in 0..40 {
        there_node.log_in(&format!("u{n}"));
    }
    has_record(&server, "u39", THERE, false).await;
    for n in 0..40 {
        here.log_in(&format!("u{n}"));
    }
    let stats = &here.presence.metrics.cluster;
    eventually("all conflict", async || stats.conflicts.load(Ordering::Relaxed) == 40).await;
    assert_eq!(stats.conflicts_dropped.load(Ordering::Relaxed), 40 - 16);
}

#[tokio::test]
async fn a_redis_cluster_holds_everybody_and_a_part_of_it_may_die() {
    let mut shards = Shards::start(3).await;
    let mut there_node = Node::connect(&shards.config(), THERE, &[]).await;
    let here = Node::connect(&shards.config(), HERE, &[THERE]).await;
    for n in 0..600 {
        there_node.log_in(&format!("u{n}"));
    }
    let written = |shards: &Shards| -> usize {
        shards.servers.iter().map(|server| server.ask::<usize>(&["DBSIZE"])).sum()
    };
    eventually("everybody is there", async || written(&shards) == 600).await;
    here.locates("u0", there()).await;
    shards.servers[1].kill();
    there_node.log_in("late");
    there_node.presence.sweep();
    let errors = &there_node.presence.metrics.cluster.redis_errors;
    eventually("something fails", async || errors.load(Ordering::Relaxed) > 0).await;
    shards.servers[1].restart().await;
    eventually("everybody is there again", async || written(&shards) == 601).await;
}
