//! Messages from client to client, over nodes.

use crate::fleet;
use crate::nodes::{acquainted, announce_nobody, eventually, is_online, join_with};
use crate::redis::Redis;
use crate::support::{Client, Node};
use serde_json::json;

fn node(redis: &Redis) -> Node {
    join_with(redis, |config| {
        announce_nobody(config);
        config.auth.send_without_token = true;
    })
}

#[test]
fn clients_of_two_nodes_talk() {
    let redis = Redis::start();
    let nodes = [node(&redis), node(&redis)];
    acquainted(&nodes.iter().collect::<Vec<_>>());
    let mut ann = Client::login(&nodes[0], 101, "ann");
    let mut bob = Client::login(&nodes[1], 101, "bob");
    eventually("bob is known", || is_online(&nodes[0], 101, "bob"));
    let sent = ann.request_reply("send", json!({"userID": "bob", "message": "just you"}));
    assert_eq!(sent["response"]["data"], json!({"sendResults": true}));
    let push = |msg: &str, target: &str| json!({"target": target, "type": "text", "msg": msg, "from": "ann"});
    assert_eq!(bob.recv_push("msg"), push("just you", "bob"));
    let sent = ann.request_reply("send", json!({"message": "hello all"}));
    assert_eq!(sent["response"]["data"], json!({"sendResults": true}));
    assert_eq!(bob.recv_push("msg"), push("hello all", ""));
    ann.expect_silence();
    let sent = ann.request_reply("send", json!({"userID": "nobody", "message": "?"}));
    assert_eq!(sent["response"]["data"], json!({"sendResults": false}));
}

/// A node of gowebsocket can say nobody but the addressee: the author stands before the text.
#[test]
fn a_message_to_a_user_of_gowebsocket_names_its_author() {
    let redis = Redis::start();
    let (go, node) = fleet::beside(&redis, node);
    fleet::log_in(&redis, &go, 101, "cat");
    let mut ann = Client::login(&node, 101, "ann [x]");
    eventually("cat is known", || is_online(&node, 101, "cat"));
    let sent = ann.request_reply("send", json!({"userID": "cat", "message": "hi"}));
    assert_eq!(sent["response"]["data"], json!({"sendResults": true}));
    let messages = go.room.lock().unwrap().messages.clone();
    let [message] = &messages[..] else { panic!("one message: {messages:?}") };
    assert_eq!((&*message.user_id, &*message.msg), ("cat", "[ann [x\\]] hi"));
}
