//! A Redis that is away for long.

use crate::latency::Latencies;
use crate::nodes::{cluster, eventually, is_online, list, send};
use crate::process::Process;
use crate::redis::Redis;
use crate::support::{Client, Node};
use millgate::clock::Clock;
use serde_json::json;
use std::time::Duration;

/// How long Redis says nothing.
const AWAY: Duration = Duration::from_secs(30);

/// When everything is as it should be, once it is back.
const CONVERGED: Duration = Duration::from_secs(30);

/// Messages whose time is taken.
const SAMPLE: usize = 200;

/// Two nodes with a user each, and one more in a process, whose memory is nobody else's.
struct Scene {
    nodes: Vec<Node>,
    clients: Vec<Client>,
    process: Process,
    /// Who has come while Redis was away.
    late: Vec<Client>,
}

impl Scene {
    fn start(redis: &Redis) -> Self {
        let nodes = cluster(redis, 2);
        let address = format!("redis.addr={}", redis.addr());
        let quiet = ["announce.exact_up_to=0", "announce.digests_per_second=0"];
        let process = Process::start(&["listen.grpc=127.0.0.1:0", &address, quiet[0], quiet[1]]);
        eventually("all know the process", || {
            nodes.iter().all(|node| node.metric("millgate_peers{state=\"up\"}") == 2.0)
        });
        let clients = (0..2).map(|n| Client::login(&nodes[n], 101, &format!("u{n}"))).collect();
        Self { nodes, clients, process, late: Vec::new() }
    }

    fn all_know(&self, app: u32, user: &str) -> bool {
        self.nodes.iter().all(|node| is_online(node, app, user))
    }

    fn chat(&mut self) -> Latencies {
        Latencies::of_chat(&self.nodes[0], "u0", &mut self.clients[0], SAMPLE)
    }

    fn late_names(&self) -> Vec<String> {
        (0..self.late.len()).map(|n| format!("late-{n:04}")).collect()
    }

    /// What goes on while Redis is away: messages here, answers about others, people who
    /// come and people who go.
    fn one_round(&mut self) {
        let Self { nodes, clients, process, late } = self;
        assert!(nodes.iter().all(is_unready_for_redis));
        assert!(send(&nodes[1], 101, "u1", "here"));
        assert_eq!(clients[1].recv_push("msg")["msg"], "here");
        let clock = Clock::start();
        assert!(!send(&nodes[0], 101, "nobody", "?"), "nobody knows where");
        assert!(clock.now() < Duration::from_secs(2), "{:?}", clock.now());
        let round = late.len();
        late.push(Client::login(&nodes[round % 2], 102, &format!("late-{round:04}")));
        let mut brief = Client::connect_to(process.websocket(), "/acc");
        brief.log_in(102, &format!("brief-{round:04}"));
    }

    /// What waits is what has happened, and no more memory than that is used.
    fn expect_bounded(&self, resident: u64) {
        let rounds = self.late.len() as f64;
        for node in &self.nodes {
            let waiting = node.metric("millgate_presence_waiting");
            assert!((1.0..=rounds + 1.0).contains(&waiting), "{waiting} after {rounds}");
            // The first round begins when `ready.redis_grace` (10 s) is over.
            assert!(node.metric("millgate_presence_lag_seconds") > 15.0);
        }
        eventually("all who were there for a moment wait", || {
            self.process.metric("millgate_presence_waiting") == rounds
        });
        let grown = self.process.resident_bytes().saturating_sub(resident);
        assert!(grown < 32 << 20, "{grown} bytes more");
    }

    fn until_converged(&self) {
        let (clock, came) = (Clock::start(), self.late_names());
        eventually("presence is right", || {
            ["u0", "u1"].iter().all(|user| self.all_know(101, user))
                && self.nodes.iter().all(|node| !is_online(node, 101, "gone"))
                && came.iter().all(|user| self.all_know(102, user))
        });
        eventually("lists are right", || {
            let is_right = |node| list(node, 101) == ["u0", "u1"] && list(node, 102) == came;
            self.nodes.iter().all(is_right)
        });
        eventually("nothing waits", || {
            self.nodes.iter().all(|node| node.metric("millgate_presence_waiting") == 0.0)
                && self.process.metric("millgate_presence_waiting") == 0.0
        });
        eventually("all are ready", || self.nodes.iter().all(|node| node.get("/readyz").0 == 200));
        assert!(clock.now() < CONVERGED, "{:?}", clock.now());
    }

    fn expect_all_connected(&mut self) {
        for client in self.clients.iter_mut().chain(&mut self.late) {
            let beat = client.request_reply("heartbeat", json!({}));
            assert_eq!(beat["response"]["code"], 200);
        }
    }
}

fn is_unready_for_redis(node: &Node) -> bool {
    let (status, why) = node.get("/readyz");
    status == 503 && why.contains("Redis")
}

#[test]
fn a_redis_that_is_frozen_for_30_seconds_harms_nobody() {
    let redis = Redis::start();
    let mut scene = Scene::start(&redis);
    let gone = Client::login(&scene.nodes[1], 101, "gone");
    eventually("all are known", || {
        ["gone", "u0", "u1"].iter().all(|user| scene.all_know(101, user))
    });
    let before = scene.chat();
    let resident = scene.process.resident_bytes();

    redis.freeze();
    let frozen = Clock::start();
    gone.close();
    eventually("both say so", || scene.nodes.iter().all(is_unready_for_redis));
    let mut during = scene.chat();
    while frozen.now() < AWAY {
        scene.one_round();
        during = during.and(scene.chat());
    }
    during.expect_as_before(&before);
    scene.expect_bounded(resident);

    redis.thaw();
    scene.until_converged();
    let Scene { nodes, clients, .. } = &mut scene;
    eventually("messages cross", || send(&nodes[1], 101, "u0", "across"));
    while clients[0].recv_push("msg")["msg"] != "across" {}
    scene.expect_all_connected();
}
