//! What differs beside nodes of gowebsocket, which tell others nothing but through Redis.

use crate::fleet::beside;
use crate::go_node::acc::SendMsgAllReq;
use crate::go_node::{GoNode, dial};
use crate::nodes::{eventually, is_online, join, send};
use crate::process::Process;
use crate::redis::Redis;
use crate::support::{Client, Node};
use millgate::clock::Clock;
use serde_json::json;
use std::sync::mpsc;
use std::time::Duration;

/// One of each, which know each other.
fn pair(redis: &Redis) -> (Node, GoNode) {
    let (go, node) = beside(redis, join);
    (node, go)
}

/// Writes a record as a node of gowebsocket does.
fn write(redis: &Redis, port: u16, user: &str, is_logoff: bool) {
    write_login(redis, port, user, is_logoff, millgate::clock::unix_seconds());
}

/// The same for a user who has logged in at this time.
fn write_login(redis: &Redis, port: u16, user: &str, is_logoff: bool, login: u64) {
    let now = millgate::clock::unix_seconds();
    let record = format!(
        r#"{{"accIp":"127.0.0.1","accPort":"{port}","appID":101,"userID":"{user}","clientIp":"127.0.0.1:1","clientPort":"","loginTime":{login},"heartbeatTime":{now},"logOutTime":0,"qua":"","deviceInfo":"","isLogoff":{is_logoff}}}"#
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
fn a_logout_at_a_node_of_gowebsocket_right_after_a_login_is_made_up_for_at_once() {
    let redis = Redis::start();
    let (node, _go) = pair(&redis);
    let clock = Clock::start();
    for user in ["ua", "ub", "uc", "ud", "ue"] {
        let _client = Client::login(&node, 101, user);
        eventually("it is known", || redis.record(101, user).contains("loginMs"));
        write(&redis, node.grpc().port(), user, true);
        let begun = clock.now();
        eventually("it is online again", || redis.record(101, user).contains("\"isLogoff\":false"));
        let took = clock.now() - begun;
        assert!(took < Duration::from_secs(2), "{user} had to wait for {took:?}");
    }
}

/// An older connection of a user gives a sign of life while the newer login is written.
#[test]
fn a_record_that_a_node_of_gowebsocket_brings_back_is_taken_again() {
    let redis = Redis::start();
    let (node, go) = pair(&redis);
    let _client = Client::login(&node, 101, "ua");
    eventually("it is known", || redis.record(101, "ua").contains("loginMs"));
    let here = format!("\"accPort\":\"{}\"", node.grpc().port());
    go.log_in(101, "ua");
    let login = millgate::clock::unix_seconds();
    write_login(&redis, go.addr.port(), "ua", false, login - 60);
    eventually("the newer login has the record", || redis.record(101, "ua").contains(&here));
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
    let data = node.get_data("/user/list?appID=101");
    assert!(data["partial"].is_null(), "nobody is missing: {data}");
}

/// What may have arrived is not sent a second time, on any way.
#[test]
fn a_late_answer_doubles_no_message() {
    let redis = Redis::start();
    let (node, go) = pair(&redis);
    let mut moved = Client::login(&node, 101, "moved");
    eventually("it is known", || redis.record(101, "moved").contains("loginMs"));
    for user in ["moved", "there"] {
        go.log_in(101, user);
        write(&redis, go.addr.port(), user, false);
    }
    go.room.lock().unwrap().answers_after = Duration::from_millis(1_500);
    for user in ["moved", "there"] {
        let fields = [("appID", "101"), ("userID", user), ("msgID", user), ("message", "once")];
        let data = node.post_data("/user/sendMessage", &fields);
        assert_eq!(data["sendResults"], false);
        let why = data["sendResultsErr"].as_str().unwrap();
        assert!(why.contains("may have arrived"), "{why}");
        assert_eq!(node.post_data("/user/sendMessage", &fields), json!({}), "it is used up");
    }
    let came: Vec<String> =
        go.room.lock().unwrap().messages.iter().map(|call| call.user_id.clone()).collect();
    assert_eq!(came, ["moved", "there"]);
    // That the user has moved may be told; the message does not come.
    while moved.has_something() {
        assert_eq!(moved.recv_json()["cmd"], "displaced");
    }
}

#[test]
fn large_messages_go_both_ways() {
    let redis = Redis::start();
    let (node, go) = pair(&redis);
    let far = join(&redis);
    let mut ua = Client::login(&node, 101, "ua");
    go.log_in(101, "gu");
    write(&redis, go.addr.port(), "gu", false);
    let text = "字".repeat(1_200_000);
    eventually("the other node knows both", || {
        far.metric("millgate_peers{state=\"up\"}") == 2.0
            && is_online(&far, 101, "ua")
            && is_online(&far, 101, "gu")
    });
    let calls = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let to_all = |text: &str| {
        let request = SendMsgAllReq {
            app_id: 101,
            user_id: "gu".into(),
            cms: "msg".into(),
            msg: text.into(),
            ..SendMsgAllReq::default()
        };
        calls.block_on(async {
            let mut client = dial(&node.grpc().to_string()).await.unwrap();
            client.send_msg_all(request).await.map(tonic::Response::into_inner)
        })
    };
    assert_eq!(to_all(&text).unwrap().ret_code, 200);
    assert_eq!(ua.recv_push("msg")["msg"], text);
    // The API of a node, to a user of another one.
    let body = |user: &str| {
        format!(
            "--x\r\nContent-Disposition: form-data; name=\"appID\"\r\n\r\n101\r\n\
             --x\r\nContent-Disposition: form-data; name=\"userID\"\r\n\r\n{user}\r\n\
             --x\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\n{text}\r\n--x--\r\n"
        )
    };
    let send = |user: &str| {
        let kind = "multipart/form-data; boundary=x";
        far.send("/user/sendMessage", kind, &body(user)).json()["data"].clone()
    };
    assert_eq!(send("ua"), json!({"sendResults": true}));
    assert_eq!(ua.recv_push("msg")["msg"], text);
    assert_eq!(send("gu"), json!({"sendResults": true}));
    assert_eq!(go.room.lock().unwrap().messages[0].msg, text);
    let refused = to_all(&"字".repeat(1_400_000)).unwrap();
    assert_eq!(refused.ret_code, 1001);
    assert!(refused.err_msg.contains("limits.http_body_bytes"), "{}", refused.err_msg);
    let refused = to_all(&"字".repeat(2_400_000)).unwrap_err();
    assert!(refused.message().contains("too large"), "{refused}");
    ua.expect_silence();
}

/// It cannot be called by nodes of gowebsocket, and makes their lists unreadable.
#[test]
fn an_address_of_ipv6_beside_nodes_of_gowebsocket_is_warned_of() {
    let redis = Redis::start();
    let go = GoNode::join(&redis.addr());
    let (inbox, _pushes) = mpsc::channel();
    let _client = go.connect(101, "gu", inbox);
    eventually("it lists its own user", || go.list(101) == ["gu"]);
    let addr = format!("redis.addr={}", redis.addr());
    let more = ["listen.grpc=[::1]:0", "cluster.trust_network=true"];
    let process = Process::start(&[&[addr.as_str()], &more[..]].concat());
    let is_meant = |line: &&String| line.contains("cut its address at the first colon");
    let line = process.early_lines().iter().find(is_meant).expect("a warning");
    assert!(line.contains("listen.grpc") && line.contains("\"WARN\""), "{line}");
    assert!(go.list(101).is_empty(), "this is what the warning is about");
    assert!(!go.send_all(101, "gu", "x"));
}
