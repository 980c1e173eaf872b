//! What the admin page draws.

use crate::support::{Client, Node};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

fn state(node: &Node) -> Value {
    node.get_data("/admin/state")
}

#[test]
fn the_node_is_told_in_numbers() {
    let node = Node::start();
    let mut clients = ["ann", "bob"].map(|name| Client::login(&node, 101, name));
    clients[0].recv_push("enter");
    let _elsewhere = Client::login(&node, 104, "ann");
    clients[0].request_reply("ping", json!({}));
    node.await_metric("millgate_connections", |connections| connections == 3.0);
    let told = state(&node);
    assert_eq!((&told["connections"], &told["users"]), (&json!(3), &json!(3)));
    let apps = json!([{"app": 101, "users": 2}, {"app": 104, "users": 1}, {"app": 102, "users": 0}, {"app": 103, "users": 0}]);
    assert_eq!(told["apps"], json!({"count": 4, "largest": apps}));
    assert_eq!((&told["totals"]["logins"], &told["ready"]), (&json!(3), &json!(true)));
    let reactors = told["reactors"].as_array().expect("a list");
    assert_eq!(reactors.len(), 2);
    let connections: u64 = reactors.iter().filter_map(|r| r["connections"].as_u64()).sum();
    assert_eq!(connections, 3);
    let turns = told["turns"]["counts"].as_array().expect("a list");
    assert_eq!(turns.len(), told["turns"]["boundsUs"].as_array().expect("a list").len() + 1);
    assert!(turns.iter().filter_map(Value::as_u64).sum::<u64>() > 0);
    assert_eq!(told["memory"]["kernelOfConnectionsBytes"], 3 * 4_021);
    assert!(told["memory"]["processBytes"].as_u64() > Some(1 << 20), "{told}");
    assert!(told["memory"]["kernelSlabBytes"].as_u64() > Some(1 << 16), "{told}");
    assert_eq!((&told["cluster"], &told["drain"]["stage"]), (&Value::Null, &json!("serving")));
}

#[test]
fn what_still_fits_is_told_with_what_binds() {
    let node = Node::with(|config| config.limits.connections = 10);
    let _clients = [(); 4].map(|()| Client::connect(&node));
    node.await_metric("millgate_connections_that_fit", |fit| fit == 6.0);
    let room = state(&node)["room"].clone();
    assert_eq!((&room["fits"], &room["binds"]), (&json!(6), &json!("limits.connections")));
    let limits = room["limits"].as_array().expect("a list");
    assert!(limits.iter().any(|limit| limit["name"] == "RAM"), "{room}");
}

/// Of those who do not read, the one who is owed most stands first.
#[test]
fn the_largest_backlogs_are_told_and_go_when_they_are_read() {
    let node = Node::with(|config| config.limits.outbox_bytes = 64 << 20);
    let mut slow: Vec<Client> = [("a", 8), ("b", 20)]
        .into_iter()
        .map(|(user, pushes)| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_recv_buffer_size(2_048).expect("a small buffer");
            socket.connect(&node.websocket().into()).expect("connects");
            let mut client = Client::over(socket.into());
            client.upgrade("/acc");
            client.log_in(if user == "a" { 101 } else { 102 }, user);
            let text = "x".repeat(200_000);
            let app = if user == "a" { "101" } else { "102" };
            let fields = [("appID", app), ("userID", user), ("msgID", ""), ("message", &*text)];
            for _ in 0..pushes {
                assert_eq!(node.post_data("/user/sendMessage", &fields)["sendResults"], true);
            }
            client
        })
        .collect();
    let told = node.await_data("/admin/state", |told| {
        told["backlog"]["worst"].as_array().is_some_and(|worst| worst.len() == 2)
    });
    let worst = &told["backlog"]["worst"];
    assert_eq!((&worst[0]["user"], &worst[1]["user"]), (&json!("b"), &json!("a")), "{worst}");
    assert_eq!(worst[0]["app"], 102);
    assert!(worst[0]["bytes"].as_u64() > worst[1]["bytes"].as_u64(), "{worst}");
    let own = slow[1].socket().local_addr().expect("bound").to_string();
    assert_eq!(worst[0]["client"], own);
    for (client, pushes) in slow.iter_mut().zip([8, 20]) {
        (0..pushes).for_each(|_| drop(client.recv_push("msg")));
    }
    node.await_data("/admin/state", |told| told["backlog"]["worst"] == json!([]));
}
