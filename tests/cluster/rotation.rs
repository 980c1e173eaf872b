//! Tokens and certificates between nodes are replaced while the nodes run.

use crate::authority::Authority;
use crate::nodes::{acquainted, announce_nobody, eventually, join_with, list, send};
use crate::redis::Redis;
use crate::support::{Client, Node};
use millgate::config::{Cluster, Config};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

fn enter(redis: &Redis, cluster: &Cluster) -> Node {
    join_with(redis, |config| {
        announce_nobody(config);
        config.cluster = cluster.clone();
    })
}

/// Messages and questions cross in both directions.
fn all_goes_on(nodes: &[Node; 2], clients: &mut [Client; 2]) {
    for (from, client) in nodes.iter().zip(clients.iter_mut().rev()) {
        let user = if from.http() == nodes[0].http() { "ub" } else { "ua" };
        assert!(send(from, 101, user, "hello"));
        assert_eq!(client.recv_push("msg")["msg"], "hello");
        assert_eq!(list(from, 101), ["ua", "ub"]);
    }
}

fn breaks(nodes: &[Node; 2]) -> f64 {
    nodes.iter().map(|node| node.metric("millgate_peer_breaks_total")).sum()
}

fn cannot_enter(redis: &Redis, cluster: &Cluster, members: &[Node; 2]) {
    let stranger = enter(redis, cluster);
    eventually("it reaches nobody", || stranger.metric("millgate_peers{state=\"down\"}") == 2.0);
    stranger.stop();
    for node in members {
        eventually("it has gone", || node.metric("millgate_peers") == 1.0);
    }
}

fn can_enter(redis: &Redis, cluster: &Cluster, members: &[Node; 2]) {
    let newcomer = enter(redis, cluster);
    acquainted(&[&newcomer, &members[0], &members[1]]);
    newcomer.stop();
    for node in members {
        eventually("it has gone", || node.metric("millgate_peers") == 1.0);
    }
}

fn tokens(token: &str, previous_token: &str) -> Cluster {
    Cluster { token: token.into(), previous_token: previous_token.into(), ..Cluster::default() }
}

#[test]
fn a_token_is_replaced_node_by_node_without_a_gap() {
    let redis = Redis::start();
    let nodes = [(); 2].map(|()| enter(&redis, &tokens("old", "")));
    acquainted(&[&nodes[0], &nodes[1]]);
    let mut clients = [Client::login(&nodes[0], 101, "ua"), Client::login(&nodes[1], 101, "ub")];
    eventually("both are known", || list(&nodes[0], 101) == ["ua", "ub"]);
    // All accept the new one, then all send it, then none accepts the old one.
    for (token, previous) in [("old", "new"), ("new", "old"), ("new", "")] {
        let before = breaks(&nodes);
        for node in &nodes {
            let told = node.reload(|config| config.cluster = tokens(token, previous));
            assert_eq!(told["needsRestart"], json!([]), "{told}");
            assert!(told["changed"].to_string().contains("cluster."), "{told}");
            all_goes_on(&nodes, &mut clients);
        }
        assert_eq!(breaks(&nodes), before, "connections that are open stay");
        if !previous.is_empty() {
            // Either kind of node that has not been reloaded yet, or has been already.
            can_enter(&redis, &tokens("old", "new"), &nodes);
            can_enter(&redis, &tokens("new", "old"), &nodes);
        }
    }
    cannot_enter(&redis, &tokens("old", ""), &nodes);
    cannot_enter(&redis, &tokens("old", "new"), &nodes);
    all_goes_on(&nodes, &mut clients);
}

/// The files of one node: what they hold changes, their names do not.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn sign(&self, by: &Authority) {
        let (cert, key) = by.sign("127.0.0.1");
        fs::copy(cert, self.path("cert.pem")).unwrap();
        fs::copy(key, self.path("key.pem")).unwrap();
    }

    fn trust(&self, authorities: &[&Authority]) {
        let text = authorities.iter().map(|it| fs::read_to_string(it.ca()).unwrap());
        fs::write(self.path("ca.pem"), text.collect::<String>()).unwrap();
    }

    fn cluster(&self) -> Cluster {
        Cluster {
            tls_cert: self.path("cert.pem"),
            tls_key: self.path("key.pem"),
            tls_ca: self.path("ca.pem"),
            ..Cluster::default()
        }
    }
}

fn member_of(signed_by: &Authority, trusting: &[&Authority]) -> Files {
    let files = Files::new();
    files.sign(signed_by);
    files.trust(trusting);
    files
}

#[test]
fn certificates_and_their_authority_are_replaced_by_reloads() {
    let redis = Redis::start();
    let (old, new) = (Authority::new(), Authority::new());
    let files = [member_of(&old, &[&old]), member_of(&old, &[&old])];
    let nodes = [0, 1].map(|index: usize| enter(&redis, &files[index].cluster()));
    acquainted(&[&nodes[0], &nodes[1]]);
    let mut clients = [Client::login(&nodes[0], 101, "ua"), Client::login(&nodes[1], 101, "ub")];
    eventually("both are known", || list(&nodes[0], 101) == ["ua", "ub"]);
    let reload_all = |clients: &mut [Client; 2]| {
        let before = breaks(&nodes);
        for node in &nodes {
            node.reload(|_| {});
            all_goes_on(&nodes, clients);
        }
        assert_eq!(breaks(&nodes), before, "connections that are open stay");
    };
    cannot_enter(&redis, &member_of(&new, &[&old, &new]).cluster(), &nodes);
    files.iter().for_each(|files| files.trust(&[&old, &new]));
    reload_all(&mut clients);
    // What the nodes show is still old: it comes in, and calls nodes that it trusts.
    can_enter(&redis, &member_of(&new, &[&old, &new]).cluster(), &nodes);
    files.iter().for_each(|files| files.sign(&new));
    reload_all(&mut clients);
    // They show new ones, as servers and as clients: nothing old is needed to know them.
    can_enter(&redis, &member_of(&new, &[&new]).cluster(), &nodes);
    files.iter().for_each(|files| files.trust(&[&new]));
    reload_all(&mut clients);
    cannot_enter(&redis, &member_of(&old, &[&old, &new]).cluster(), &nodes);

    // Without a reload the next connection goes by what the files say.
    files.iter().for_each(|files| files.trust(&[&old, &new]));
    can_enter(&redis, &member_of(&old, &[&old, &new]).cluster(), &nodes);
    files.iter().for_each(|files| files.sign(&old));
    can_enter(&redis, &member_of(&old, &[&old]).cluster(), &nodes);
    all_goes_on(&nodes, &mut clients);

    // A bad file leaves all as it was.
    fs::write(files[0].path("ca.pem"), "nothing").unwrap();
    can_enter(&redis, &member_of(&old, &[&old]).cluster(), &nodes);
    let (status, problems) = nodes[0].try_reload(|_| {});
    assert_eq!(status, 400, "{problems}");
    assert!(problems.contains("cluster.tls_ca: ") && problems.contains("ca.pem"), "{problems}");
    all_goes_on(&nodes, &mut clients);
    // TLS begins and ends with a start.
    let told = nodes[1].reload(|config: &mut Config| config.cluster = tokens("a-token", ""));
    let waiting = json!(["cluster.tls_ca", "cluster.tls_cert", "cluster.tls_key"]);
    assert_eq!(told["needsRestart"], waiting, "{told}");
}
