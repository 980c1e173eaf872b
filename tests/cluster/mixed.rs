//! What differs beside nodes of gowebsocket, which tell others nothing but through Redis.

use crate::fleet::beside;
use crate::go_node::GoNode;
use crate::nodes::{eventually, join, send};
use crate::redis::Redis;
use crate::support::{Client, Node};

/// One of each, which know each other.
fn pair(redis: &Redis) -> (Node, GoNode) {
    let (go, node) = beside(redis, join);
    (node, go)
}

/// Writes a record as a node of gowebsocket does.
fn write(redis: &Redis, port: u16, user: &str, is_logoff: bool) {
    let now = millgate::clock::unix_seconds();
    let record = format!(
        r#"{{"accIp":"127.0.0.1","accPort":"{port}","appID":101,"userID":"{user}","clientIp":"127.0.0.1:1","clientPort":"","loginTime":{now},"heartbeatTime":{now},"logOutTime":0,"qua":"","deviceInfo":"","isLogoff":{is_logoff}}}"#
    );
    redis.ask(&["SET", &format!("acc:user:online:101_{user}"), &record]).unwrap();
}

#[test]
fn a_user_who_moves_to_a_node_of_gowebsocket_is_reached_there() {
    let redis = Redis::start();
    let (node, go) = pair(&redis);
    let _old = Client::login(&node, 101, "ua");
    eventually("it is known", || redis.record(101, "ua").contains("loginMs"));
    go.log_in(101, "ua");
    write(&redis, go.addr.port(), "ua", false);
    for n in 0..10 {
        assert!(send(&node, 101, "ua", &n.to_string()));
    }
    let came: Vec<String> =
        go.room.lock().unwrap().messages.iter().map(|call| call.msg.clone()).collect();
    assert_eq!(came, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_late_logout_at_a_node_of_gowebsocket_is_made_up_for_soon() {
    let redis = Redis::start();
    let (node, _go) = pair(&redis);
    let _client = Client::login(&node, 101, "ua");
    eventually("it is known", || redis.record(101, "ua").contains("loginMs"));
    // Such a node marks the record it finds, whoever's it is.
    write(&redis, node.grpc().port(), "ua", true);
    eventually("it is online again", || redis.record(101, "ua").contains("\"isLogoff\":false"));
}

#[test]
fn messages_to_all_do_not_wait_for_a_node_that_has_ended() {
    let redis = Redis::start();
    let (node, go) = pair(&redis);
    let to_all = |app: &str| {
        let fields = [("appID", app), ("userID", "nobody"), ("message", "all")];
        node.post_data("/user/sendMessageAll", &fields)["sendResults"] == true
    };
    assert!(to_all("101"));
    assert!(to_all("999"), "there is no such app, as one node alone answers it");
    drop(go);
    eventually("nobody is there", || to_all("101"));
    for _ in 0..20 {
        assert!(to_all("101"), "and it stays so");
    }
}
