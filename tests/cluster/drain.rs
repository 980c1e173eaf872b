//! A node of a cluster is drained, slowly; and kicks of users on several nodes.

use crate::nodes::{
    acquainted, announce_nobody, cluster, eventually, is_online, join, join_with, send,
};
use crate::redis::Redis;
use crate::support::{Client, Message, Node};
use millgate::clock::unix_seconds;
use serde_json::{Value, json};
use std::net::TcpListener;

/// As long as the end is far, who has not been told is reached from other nodes.
#[test]
fn users_of_a_node_that_drains_slowly_are_reached_until_they_are_told() {
    let redis = Redis::start();
    let mut nodes = cluster(&redis, 2);
    let (other, node) = (nodes.remove(1), nodes.remove(0));
    let mut clients: Vec<Client> =
        (0..40).map(|n| Client::login(&node, 101, &format!("u{n}"))).collect();
    eventually("all are known", || (0..40).all(|n| is_online(&other, 101, &format!("u{n}"))));
    node.post_data("/admin/drain?rate=1&deadline=1h", &[]);
    let is_told = |client: &Client| client.has_something();
    eventually("it closes", || clients.iter().any(is_told));
    let still = clients.iter().rposition(|client| !is_told(client)).expect("not all at once");
    assert!(send(&other, 101, &format!("u{still}"), "still there?"));
    assert_eq!(clients[still].recv_push("msg")["msg"], "still there?");
    let told = clients.iter().position(is_told).expect("one was");
    eventually("who is told has gone for all", || !is_online(&other, 101, &format!("u{told}")));
    node.post_data("/admin/drain?rate=0&deadline=20s", &[]);
    for client in &mut clients {
        assert!(matches!(client.recv(), Message::Close(Some((1012, _)))));
    }
    drop(clients);
    node.ended();
    eventually("the node has gone", || other.metric("millgate_peers") == 0.0);
}

#[test]
fn a_kick_reaches_all_nodes_unless_it_is_kept_here() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let other = nodes[1].grpc().to_string();
    let mut here = Client::login(&nodes[0], 101, "ann");
    let mut there = Client::login(&nodes[1], 102, "ann");
    let mut bystander = Client::login(&nodes[1], 102, "anna");
    eventually("both are known", || {
        is_online(&nodes[0], 102, "ann") && is_online(&nodes[1], 101, "ann")
    });
    let data = nodes[0].post_data("/admin/kick?userID=ann&onlyHere=true", &[]);
    assert_eq!((&data["here"], &data["elsewhere"]), (&json!(true), &json!([other])));
    assert_eq!(data["nodes"], Value::Null);
    here.expect_close(3503);
    there.expect_silence();
    let data = nodes[0].post_data("/admin/kick?userID=ann&reason=see%20you", &[]);
    assert_eq!(data["nodes"][&other]["refused"], 0, "{data}");
    assert_eq!(there.recv(), Message::Close(Some((3503, "see you".to_owned()))));
    bystander.expect_silence();
}

#[test]
fn apps_and_addresses_are_kicked_on_all_nodes_and_connections_on_their_own() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let mut in_app = Client::login(&nodes[1], 101, "ann");
    let mut in_another = Client::login(&nodes[1], 102, "bob");
    nodes[0].post_data("/admin/kick?appID=101", &[]);
    in_app.expect_close(3503);
    let data = nodes[0].post_data("/admin/kick?conn=0.0.1", &[]);
    assert_eq!(data["nodes"], Value::Null, "it is one of this node");
    in_another.expect_silence();
    nodes[0].post_data("/admin/kick?address=127.0.0.0/8", &[]);
    in_another.expect_close(3503);
}

/// A node that cannot be asked is named, and holds nobody up.
#[test]
fn a_kick_says_which_node_did_not_answer() {
    let redis = Redis::start();
    let node = join(&redis);
    // The kernel accepts for it, and nobody reads.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = deaf.local_addr().unwrap().to_string();
    redis.ask(&["HSET", "acc:hash:servers", &silent, &unix_seconds().to_string()]).unwrap();
    eventually("it is looked for", || {
        let data = node.post_data("/admin/kick?userID=ann", &[]);
        data["nodes"][&silent]["error"].is_string()
    });
}

/// Nodes tell each other where clients reach them, and whether they may come.
#[test]
fn clients_are_sent_to_nodes_that_take_them() {
    let redis = Redis::start();
    let nodes = ["a", "b", "c"].map(|name| {
        join_with(&redis, |config| {
            announce_nobody(config);
            config.cluster.client_url = format!("wss://{name}.example.org/acc");
        })
    });
    acquainted(&nodes.iter().collect::<Vec<_>>());
    let [a, b, c] = nodes;
    let others = |node: &Node| node.get_data("/admin/state")["drain"]["otherNodes"].clone();
    let mut both = [json!("wss://b.example.org/acc"), json!("wss://c.example.org/acc")];
    eventually("both take clients", || {
        let mut known = others(&a).as_array().expect("a list").clone();
        known.sort_by_key(Value::to_string);
        known == both
    });
    c.post_data("/admin/drain?grace=1h", &[]);
    both[1] = json!([both[0]]);
    eventually("one of them is about to stop", || others(&a) == both[1]);
    let mut client = Client::login(&a, 101, "ann");
    a.post_data("/admin/drain?deadline=20s", &[]);
    let Message::Close(Some((1012, reason))) = client.recv() else { panic!("no goodbye") };
    let reason: Value = serde_json::from_str(&reason).unwrap();
    assert_eq!(reason["reconnect"]["url"], both[0]);
    drop(client);
    a.ended();
    eventually("it has gone, and is no place to go to", || others(&b) == json!([]));
}
