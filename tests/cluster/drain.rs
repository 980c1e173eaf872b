//! A node of a cluster is drained, slowly; and kicks of users on several nodes.

use crate::nodes::{cluster, eventually, is_online, send};
use crate::redis::Redis;
use crate::support::{Client, Message};
use serde_json::json;

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
fn a_kick_names_the_other_nodes_that_hold_the_user() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let mut here = Client::login(&nodes[0], 101, "ann");
    let mut there = Client::login(&nodes[1], 102, "ann");
    eventually("both are known", || {
        is_online(&nodes[0], 102, "ann") && is_online(&nodes[1], 101, "ann")
    });
    let data = nodes[0].post_data("/admin/kick?userID=ann", &[]);
    assert_eq!(data["here"], true);
    assert_eq!(data["elsewhere"], json!([nodes[1].grpc().to_string()]));
    here.expect_close(3503);
    there.expect_silence();
}
