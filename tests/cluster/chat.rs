//! Users of different nodes.

use crate::nodes::{acquainted, announcing_cluster, cluster, eventually, is_online, join, send};
use crate::redis::Redis;
use crate::support::{Client, Node};
use serde_json::json;

/// Presence is written behind: a moment later everybody knows.
fn known_everywhere(nodes: &[Node], app: u32, user: &str) {
    eventually("the login is known everywhere", || {
        nodes.iter().all(|node| is_online(node, app, user))
    });
}

#[test]
fn a_node_that_is_alone_so_far_shows_its_metrics() {
    let redis = Redis::start();
    let node = join(&redis);
    let (status, page) = node.get("/metrics");
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("millgate_peers{state=\"up\"} 0"), "{page}");
}

#[test]
fn users_reach_each_other_across_nodes() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 3);
    let mut ua = Client::login(&nodes[0], 101, "ua");
    let mut ub = Client::login(&nodes[1], 101, "ub");
    known_everywhere(&nodes, 101, "ua");
    known_everywhere(&nodes, 101, "ub");
    assert!(nodes.iter().all(|node| !is_online(node, 102, "ua")), "another platform");
    assert!(nodes.iter().all(|node| is_online(node, 0, "ua")), "any platform");
    for (n, node) in nodes.iter().enumerate() {
        let text = format!("\"hello\" {n}");
        assert!(send(node, 101, "ua", &text) && send(node, 101, "ub", &text));
        for (client, from) in [(&mut ua, "ua"), (&mut ub, "ub")] {
            let data = json!({"target": "", "type": "text", "msg": text, "from": from});
            assert_eq!(client.recv_push("msg"), data);
        }
        assert!(!send(node, 101, "nobody", "?"));
    }
    ub.close();
    eventually("the logout is known everywhere", || {
        nodes.iter().all(|node| !is_online(node, 101, "ub"))
    });
    assert!(nodes.iter().all(|node| !send(node, 101, "ub", "?")));
}

#[test]
fn arrivals_and_departures_are_told_on_all_nodes() {
    let redis = Redis::start();
    let nodes = announcing_cluster(&redis, 2);
    let mut ua = Client::login(&nodes[0], 101, "ua");
    for n in 0..10 {
        let name = format!("u{n}");
        let other = Client::login(&nodes[1], 101, &name);
        let hello = json!({"target": "", "type": "text", "msg": "哈喽~", "from": name});
        assert_eq!(ua.recv_push("enter"), hello);
        // Its own end may come after news of ua: it is not waited for.
        drop(other);
        let bye = json!({"target": "", "type": "text", "msg": "用户已经离开~", "from": name});
        assert_eq!(ua.recv_push("exit"), bye);
    }
}

#[test]
fn messages_to_all_reach_every_node_once() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 3);
    let names = ["ua", "ub", "uc"];
    let mut clients: Vec<Client> =
        nodes.iter().zip(names).map(|(node, name)| Client::login(node, 103, name)).collect();
    for n in 0..20 {
        let text = n.to_string();
        let fields =
            [("appID", "103"), ("userID", "ub"), ("message", text.as_str()), ("msgID", "")];
        let sent = nodes[n % 3].post_data("/user/sendMessageAll", &fields);
        assert_eq!(sent, json!({"sendResults": true}));
        for index in [0, 2] {
            assert_eq!(clients[index].recv_push("msg")["msg"], text);
        }
    }
    let fence = [("appID", "103"), ("userID", "ua"), ("message", "fence")];
    nodes[2].post_data("/user/sendMessageAll", &fence);
    assert_eq!(clients[1].recv_push("msg")["msg"], "fence", "its own messages left it out");
}

#[test]
fn a_msg_id_is_used_once_in_the_cluster() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let mut ua = Client::login(&nodes[0], 101, "ua");
    known_everywhere(&nodes, 101, "ua");
    let fields = [("appID", "101"), ("userID", "ua"), ("message", "1"), ("msgID", "m-1")];
    assert_eq!(nodes[1].post_data("/user/sendMessage", &fields), json!({"sendResults": true}));
    assert_eq!(nodes[0].post_data("/user/sendMessage", &fields), json!({}));
    assert_eq!(ua.recv_push("msg")["msg"], "1");
    assert!(send(&nodes[0], 101, "ua", "2"));
    assert_eq!(ua.recv_push("msg")["msg"], "2");
}

#[test]
fn the_newest_login_holds_the_user_on_whatever_node() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let mut older = Client::login(&nodes[0], 101, "ua");
    known_everywhere(&nodes, 101, "ua");
    let mut newer = Client::login(&nodes[1], 101, "ua");
    eventually("the older login is over", || nodes[0].metric("millgate_users") == 0.0);
    for node in &nodes {
        assert!(send(node, 101, "ua", "for the newer"));
        assert_eq!(newer.recv_push("msg")["msg"], "for the newer");
    }
    // As on one node: it stays open and may speak, but receives nothing more.
    older.expect_displaced("ua");
    let beat = older.request_reply("heartbeat", json!({}));
    assert_eq!(beat["response"]["code"], 200);
    older.close();
    assert!(send(&nodes[0], 101, "ua", "still"));
    assert_eq!(newer.recv_push("msg")["msg"], "still");
}

#[test]
fn a_list_is_that_of_all_nodes() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 3);
    let _clients: Vec<Client> =
        (0..30).map(|n| Client::login(&nodes[n % 3], 104, &format!("u{n:02}"))).collect();
    let expected: Vec<String> = (0..30).map(|n| format!("u{n:02}")).collect();
    for node in &nodes {
        let data = node.get_data("/user/list?appID=104");
        let mut names: Vec<String> = serde_json::from_value(data["userList"].clone()).unwrap();
        names.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(data["userCount"], 30);
        assert_eq!(data.get("partial"), None);
    }
    // In parts, from node to node.
    let (mut names, mut cursor) = (Vec::<String>::new(), String::new());
    loop {
        let data = nodes[1].get_data(&format!("/user/list?appID=104&limit=7{cursor}"));
        assert_eq!(data["userCount"], 30);
        let part: Vec<String> = serde_json::from_value(data["userList"].clone()).unwrap();
        assert!(part.len() <= 7);
        names.extend(part);
        let Some(next) = data.get("cursor") else { break };
        cursor = format!("&cursor={}", next.as_str().unwrap());
    }
    names.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn a_node_that_stops_leaves_nothing_behind() {
    let redis = Redis::start();
    let mut nodes = cluster(&redis, 2);
    let third = join(&redis);
    acquainted(&[&nodes[0], &nodes[1], &third]);
    let client = Client::login(&third, 101, "ua");
    known_everywhere(&nodes, 101, "ua");
    third.stop();
    drop(client);
    eventually("the user is gone everywhere", || {
        nodes.iter().all(|node| !is_online(node, 101, "ua"))
    });
    assert!(redis.record(101, "ua").contains("\"isLogoff\":true"));
    eventually("the others have noticed", || {
        nodes.iter().all(|node| node.metric("millgate_peers") == 1.0)
    });
    let last = nodes.pop().unwrap();
    nodes.clear();
    last.stop();
    assert_eq!(redis.ask(&["HLEN", "acc:hash:servers"]).unwrap(), ":0\r\n");
}
