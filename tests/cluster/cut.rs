//! Nodes that are cut off: packets to and from them vanish, as when a cable is pulled.

use crate::network::{Host, Network, as_root};
use crate::nodes::{announce_nobody, eventually, is_online, join_with, list, send};
use crate::redis::Redis;
use crate::support::{Client, Message, Node};
use millgate::clock::Clock;
use std::net::SocketAddr;
use std::time::Duration;

/// A node on a host of its own; its clients are there as well, and reach it whatever is cut.
struct Site {
    node: Node,
    host: Host,
}

impl Site {
    fn at<T>(&self, act: impl FnOnce(&Node) -> T) -> T {
        self.host.inside(|| act(&self.node))
    }

    fn login(&self, user: &str) -> Client {
        self.at(|node| Client::login(node, 101, user))
    }

    fn is_online(&self, user: &str) -> bool {
        self.at(|node| is_online(node, 101, user))
    }

    fn send(&self, user: &str, text: &str) -> bool {
        self.at(|node| send(node, 101, user, text))
    }

    /// Sends to a user who is out of reach; returns how long the `false` took.
    fn send_in_vain(&self, user: &str) -> Duration {
        let clock = Clock::start();
        assert!(!self.send(user, "in vain"));
        let took = clock.now();
        assert!(took < PROMPTLY, "{took:?}");
        took
    }

    /// A message between users of this node, which nobody else has a part in. Others may
    /// have come before.
    fn chat(&self, user: &str, client: &mut Client, text: &str) {
        let clock = Clock::start();
        assert!(self.send(user, text));
        while client.recv_push("msg")["msg"] != text {}
        let took = clock.now();
        assert!(took < PROMPTLY, "{took:?}");
    }

    fn readiness(&self) -> (u16, String) {
        self.at(|node| node.get("/readyz"))
    }
}

/// A second, which nobody may wait longer for another node, and some room for
/// a machine that has other things to do.
const PROMPTLY: Duration = Duration::from_millis(1_700);

/// When a node that says nothing has been struck off.
const GHOSTS_UNTIL: Duration = Duration::from_secs(15);

/// A Redis and some nodes that all know each other, each on a host of its own.
struct Fleet {
    network: Network,
    redis: Redis,
    redis_host: Host,
    sites: Vec<Site>,
}

impl Fleet {
    fn start(size: usize) -> Self {
        let mut network = Network::new();
        let redis_host = network.host();
        let redis = redis_host.inside(|| Redis::on(SocketAddr::new(redis_host.ip, 6379)));
        let site = || {
            let host = network.host();
            let node = host.inside(|| {
                join_with(&redis, |config| {
                    config.listen.grpc = SocketAddr::new(host.ip, 9001);
                    config.cluster.token = "a-token-that-is-long-enough".into();
                    announce_nobody(config);
                })
            });
            Site { node, host }
        };
        let sites = std::iter::repeat_with(site).take(size).collect();
        let fleet = Self { network, redis, redis_host, sites };
        fleet.until_acquainted();
        fleet
    }

    fn until_acquainted(&self) {
        let others = (self.sites.len() - 1) as f64;
        for site in &self.sites {
            eventually("all nodes know each other", || {
                site.at(|node| node.metric("millgate_peers{state=\"up\"}")) == others
            });
        }
    }

    fn until_known(&self, users: &[&str]) {
        for (site, user) in self.sites.iter().flat_map(|site| users.iter().map(move |u| (site, u)))
        {
            eventually("everybody is known everywhere", || site.is_online(user));
        }
    }

    /// All nodes list the same users, each of them once, and are ready.
    fn until_agreed(&self, users: &[&str]) {
        for site in &self.sites {
            eventually("all nodes have the same list", || site.at(|node| list(node, 101)) == users);
            eventually("all nodes are ready", || site.readiness().0 == 200);
        }
    }

    /// Whichever node is asked, a message reaches this client.
    fn all_reach(&self, user: &str, client: &mut Client) {
        for (number, site) in self.sites.iter().enumerate() {
            let text = format!("after all, from {number}");
            eventually("it is taken", || site.send(user, &text));
            // What had an uncertain fate may have come before.
            while client.recv_push("msg")["msg"] != text {}
        }
    }
}

/// It is still connected, and nothing that was sent to the newer login has come to it.
/// What was on its way when the network was cut may have arrived later.
fn expect_open_and_past(client: &mut Client) {
    client.send_frame(0x89, b"fence");
    loop {
        match client.recv() {
            Message::Text(text) => assert!(!text.contains("after all"), "{text}"),
            other => return assert_eq!(other, Message::Pong(b"fence".to_vec())),
        }
    }
}

#[test]
fn a_node_that_is_cut_off_makes_nobody_wait_and_leaves_no_ghosts() {
    as_root("cut::a_node_that_is_cut_off_makes_nobody_wait_and_leaves_no_ghosts", || {
        let fleet = Fleet::start(3);
        let [a, b, c] = &fleet.sites[..] else { unreachable!("three") };
        let (mut ua, mut ub, mut uc) = (a.login("ua"), b.login("ub"), c.login("uc"));
        // Each logs in on the other side meanwhile, one into the cut-off node and one out of it.
        let (mut out_older, mut in_older) = (b.login("out"), a.login("in"));
        fleet.until_known(&["ua", "ub", "uc", "out", "in"]);

        fleet.network.cut_off(&b.host);
        let clock = Clock::start();
        a.send_in_vain("ub");
        let mut out_newer = a.login("out");
        let mut in_newer = b.login("in");
        while a.is_online("ub") || c.is_online("ub") {
            a.send_in_vain("ub");
            c.send_in_vain("ub");
            a.chat("ua", &mut ua, "goes on");
            b.chat("ub", &mut ub, "here as well");
            assert!(c.send("ua", "across"));
            assert_eq!(ua.recv_push("msg")["msg"], "across");
            assert!(clock.now() < GHOSTS_UNTIL, "a ghost after {:?}", clock.now());
        }
        b.send_in_vain("ua");
        assert_eq!(list_at(a), ["in", "out", "ua", "uc"]);
        let (status, why) = b.readiness();
        assert!(status == 503 && why.contains("Redis"), "{status} {why}");
        assert_eq!(a.readiness().0, 200, "one that is cut off does not take others with it");

        fleet.network.mend();
        fleet.until_acquainted();
        fleet.until_agreed(&["in", "out", "ua", "ub", "uc"]);
        for (user, newer) in [("out", &mut out_newer), ("in", &mut in_newer), ("ub", &mut ub)] {
            fleet.all_reach(user, newer);
        }
        for client in [&mut ua, &mut uc, &mut out_older, &mut in_older] {
            expect_open_and_past(client);
        }
    });
}

fn list_at(site: &Site) -> Vec<String> {
    site.at(|node| list(node, 101))
}

#[test]
fn a_node_that_is_cut_off_from_redis_alone_goes_on_and_comes_back() {
    as_root("cut::a_node_that_is_cut_off_from_redis_alone_goes_on_and_comes_back", || {
        let fleet = Fleet::start(2);
        let [a, b] = &fleet.sites[..] else { unreachable!("two") };
        let (mut ua, mut ub) = (a.login("ua"), b.login("ub"));
        let mut older = b.login("uc");
        fleet.until_known(&["ua", "ub", "uc"]);

        fleet.network.cut_between(&b.host, &fleet.redis_host);
        let clock = Clock::start();
        let mut newer = a.login("uc");
        while a.is_online("ub") {
            // While it counts as alive, its users are reached.
            let _reached = a.send("ub", "?");
            b.chat("ub", &mut ub, "here as well");
            assert!(clock.now() < GHOSTS_UNTIL, "a ghost after {:?}", clock.now());
        }
        a.send_in_vain("ub");
        a.chat("ua", &mut ua, "goes on");
        let (status, why) = b.readiness();
        assert!(status == 503 && why.contains("Redis"), "{status} {why}");
        assert_eq!(a.readiness().0, 200);

        fleet.network.mend();
        fleet.until_acquainted();
        fleet.until_agreed(&["ua", "ub", "uc"]);
        fleet.all_reach("uc", &mut newer);
        fleet.all_reach("ub", &mut ub);
        expect_open_and_past(&mut older);
    });
}

#[test]
fn two_nodes_that_cannot_reach_each_other_agree_when_they_can() {
    as_root("cut::two_nodes_that_cannot_reach_each_other_agree_when_they_can", || {
        let fleet = Fleet::start(2);
        let [a, b] = &fleet.sites[..] else { unreachable!("two") };
        let (mut ua, mut older) = (a.login("ua"), b.login("ub"));
        fleet.until_known(&["ua", "ub"]);

        fleet.network.cut_between(&a.host, &b.host);
        a.send_in_vain("ub");
        b.send_in_vain("ua");
        let mut newer = a.login("ub");
        eventually("the record is that of the newer login", || {
            let here = format!("\"accIp\":\"{}\"", a.host.ip);
            fleet.redis_host.inside(|| fleet.redis.record(101, "ub")).contains(&here)
        });
        a.chat("ub", &mut newer, "here");
        a.chat("ua", &mut ua, "goes on");
        assert!(b.send("ub", "there"), "nobody could tell this node");
        assert_eq!(older.recv_push("msg")["msg"], "there");

        fleet.network.mend();
        fleet.until_acquainted();
        fleet.until_agreed(&["ua", "ub"]);
        fleet.all_reach("ub", &mut newer);
        expect_open_and_past(&mut older);
    });
}
