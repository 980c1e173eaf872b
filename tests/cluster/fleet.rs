//! A fleet in which nodes of gowebsocket are replaced one by one.

use crate::go_node::{GoNode, acc, dial};
use crate::nodes::{eventually, is_online, join, send};
use crate::redis::Redis;
use crate::support::{Client, Node};
use millgate::clock::unix_seconds;
use serde_json::json;
use std::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A node of gowebsocket that has registered, and one of millgate beside it.
fn fleet(redis: &Redis) -> (GoNode, Node) {
    beside(redis, join)
}

/// The same with a node that joins in its own way.
pub fn beside(redis: &Redis, join: impl FnOnce(&Redis) -> Node) -> (GoNode, Node) {
    let go = GoNode::start(TcpListener::bind("127.0.0.1:0").unwrap());
    let now = unix_seconds().to_string();
    redis.ask(&["HSET", "acc:hash:servers", &go.addr.to_string(), &now]).unwrap();
    let node = join(redis);
    eventually("the node is known", || node.metric("millgate_peers{state=\"up\"}") == 1.0);
    (go, node)
}

/// What such a node writes when a user logs in to it.
pub fn log_in(redis: &Redis, go: &GoNode, app: u32, user: &str) {
    go.log_in(app, user);
    let now = unix_seconds();
    let record = json!({
        "accIp": go.addr.ip().to_string(), "accPort": go.addr.port().to_string(), "appID": app,
        "userID": user, "clientIp": "203.0.113.7:24442", "clientPort": "", "loginTime": now,
        "heartbeatTime": now, "logOutTime": 0, "qua": "", "deviceInfo": "", "isLogoff": false,
    });
    let key = format!("acc:user:online:{app}_{user}");
    assert_eq!(redis.ask(&["SETEX", &key, "86400", &record.to_string()]).unwrap(), "+OK\r\n");
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn messages_reach_users_of_a_go_node() {
    let redis = Redis::start();
    let (go, node) = fleet(&redis);
    let _here = Client::login(&node, 101, "ua");
    log_in(&redis, &go, 101, "gu");
    eventually("the user is found", || is_online(&node, 101, "gu"));
    assert!(send(&node, 101, "gu", "hello"));
    let fields = [("appID", "101"), ("userID", "ua"), ("msgID", "m-1"), ("message", "to all")];
    assert_eq!(node.post_data("/user/sendMessageAll", &fields), json!({"sendResults": true}));
    let room = go.room.lock().unwrap();
    let got = &room.messages[0];
    let told = (got.app_id, got.user_id.as_str(), got.cms.as_str(), got.r#type.as_str());
    assert_eq!(told, (101, "gu", "msg", "text"));
    assert_eq!(got.msg, "hello");
    let got = &room.broadcasts[0];
    let told = (got.app_id, got.seq.as_str(), got.user_id.as_str(), got.cms.as_str());
    assert_eq!(told, (101, "m-1", "ua", "msg"));
    drop(room);
    let data = node.get_data("/user/list?appID=101");
    assert_eq!(data, json!({"userList": ["ua", "gu"], "userCount": 2}));
}

#[test]
fn a_go_node_reaches_users_of_millgate() {
    let redis = Redis::start();
    let (go, node) = fleet(&redis);
    let mut ua = Client::login(&node, 101, "ua");
    let grpc = node.grpc().to_string();
    log_in(&redis, &go, 101, "gu");
    eventually("the user is found", || is_online(&node, 101, "gu"));
    // What it reads in Redis to find the node.
    let (ip, port) = (node.grpc().ip(), node.grpc().port());
    eventually("the record names the node", || {
        let record = redis.record(101, "ua");
        record.contains(&format!("\"accIp\":\"{ip}\",\"accPort\":\"{port}\""))
    });
    let field = ["HEXISTS", "acc:hash:servers", grpc.as_str()];
    assert_eq!(redis.ask(&field).unwrap(), ":1\r\n");
    runtime().block_on(async {
        let mut calls = dial(&grpc).await.unwrap();
        let request = acc::SendMsgReq {
            seq: "s-1".into(),
            app_id: 101,
            user_id: "ua".into(),
            cms: "msg".into(),
            r#type: "text".into(),
            msg: "from Go".into(),
            is_local: false,
        };
        let reply = calls.send_msg(request).await.unwrap().into_inner();
        assert_eq!((reply.ret_code, reply.send_msg_id.as_str()), (200, "s-1"));
        for (user, expected) in [("ua", true), ("gu", true), ("nobody", false)] {
            let request = acc::QueryUsersOnlineReq { app_id: 101, user_id: user.into() };
            let reply = calls.query_users_online(request).await.unwrap().into_inner();
            assert_eq!(reply.online, expected, "{user}");
        }
        let list = acc::GetUserListReq { app_id: 101 };
        let reply = calls.get_user_list(list).await.unwrap().into_inner();
        assert_eq!((reply.ret_code, reply.user_id), (200, vec!["ua".to_owned()]));
        let request = acc::SendMsgAllReq {
            seq: "s-2".into(),
            app_id: 101,
            user_id: "gu".into(),
            cms: "enter".into(),
            r#type: "text".into(),
            msg: "哈喽~".into(),
        };
        assert_eq!(calls.send_msg_all(request).await.unwrap().into_inner().ret_code, 200);
    });
    let data = json!({"target": "", "type": "text", "msg": "from Go", "from": "ua"});
    assert_eq!(ua.recv_push("msg"), data);
    assert_eq!(ua.recv_push("enter")["from"], "gu");
}

/// The newest login holds the user, whichever kind of node it is on.
#[test]
fn a_user_moves_between_the_two_kinds() {
    let redis = Redis::start();
    let (go, node) = fleet(&redis);
    log_in(&redis, &go, 101, "ua");
    eventually("the user is on the Go node", || is_online(&node, 101, "ua"));
    let mut here = Client::login(&node, 101, "ua");
    assert!(send(&node, 101, "ua", "here now"));
    assert_eq!(here.recv_push("msg")["msg"], "here now");
    let port = format!("\"accPort\":\"{}\"", node.grpc().port());
    eventually("the record says so", || redis.record(101, "ua").contains(&port));
    assert!(go.room.lock().unwrap().messages.is_empty());
}
