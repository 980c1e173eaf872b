//! The configuration is read again while everybody stays.

use crate::support::{Client, Node};
use serde_json::{Value, json};
use std::time::Duration;

fn login_code(client: &mut Client, app: u32, user: &str) -> Value {
    let reply = client.request_reply("login", json!({"userID": user, "appID": app}));
    reply["response"]["code"].clone()
}

#[test]
fn an_app_comes_and_goes_and_nobody_is_disconnected() {
    let node = Node::start();
    let mut client = Client::connect(&node);
    assert_eq!(login_code(&mut client, 555, "ann"), 1003);
    let done = node.reload(|config| config.apps.ids.push(555));
    assert_eq!(done, json!({"changed": ["apps.ids"], "needsRestart": [], "notices": []}));
    assert_eq!(login_code(&mut client, 555, "ann"), 200);
    let mut other = Client::login(&node, 555, "bob");
    assert_eq!(client.recv_push("enter")["from"], "bob");
    assert!(node.request("GET", "/home/index?appID=555").body.contains("Room 555"));

    node.reload(|config| config.apps.ids.retain(|id| *id != 555));
    let mut late = Client::connect(&node);
    assert_eq!(login_code(&mut late, 555, "carl"), 1003);
    // Who is in it stays, and is reached, until leaving.
    let fields = [("appID", "555"), ("userID", "ann"), ("msgID", ""), ("message", "still here?")];
    assert_eq!(node.post_data("/user/sendMessage", &fields)["sendResults"], true);
    assert_eq!(client.recv_push("msg")["msg"], "still here?");
    let fields = [("appID", "555"), ("userID", "ann"), ("msgID", ""), ("message", "all?")];
    assert_eq!(node.post_data("/user/sendMessageAll", &fields)["sendResults"], true);
    assert_eq!(other.recv_push("msg")["msg"], "all?");
    node.reload(|config| config.apps.ids.push(555));
    assert_eq!(login_code(&mut late, 555, "carl"), 200, "and back again");
}

#[test]
fn limits_hold_for_those_who_are_connected() {
    let node = Node::start();
    let mut client = Client::login(&node, 101, "ann");
    let long = "x".repeat(300);
    client.send_text(&long);
    client.recv();
    let done = node.reload(|config| {
        config.limits.message_bytes = 200;
        config.limits.user_id_bytes = 3;
        config.limits.http_body_bytes = 100;
    });
    assert_eq!(
        done["changed"],
        json!(["limits.http_body_bytes", "limits.message_bytes", "limits.user_id_bytes"])
    );
    let mut other = Client::connect(&node);
    assert_eq!(login_code(&mut other, 101, "four"), 1002);
    assert_eq!(login_code(&mut other, 101, "bob"), 200);
    client.recv_push("enter");
    client.send_text(&long);
    client.expect_close(1009);
    let fields = [("appID", "101"), ("userID", "bob"), ("msgID", ""), ("message", &*long)];
    assert_eq!(node.post("/user/sendMessage", &fields).0, 413);
}

#[test]
fn a_shorter_time_out_reaches_those_who_were_filed_for_a_longer_one() {
    let node = Node::with(|config| config.limits.handshake_timeout = Duration::from_secs(600));
    let mut silent = Client::login(&node, 101, "silent");
    let mut begun = Client::tcp(node.websocket());
    begun.send_raw(b"GET /acc");
    node.await_metric("millgate_connections", |connections| connections == 2.0);
    node.reload(|config| {
        config.heartbeat.idle_timeout = Duration::from_secs(1);
        config.limits.handshake_timeout = Duration::from_secs(1);
    });
    silent.expect_close(3012);
    assert_eq!(begun.read_to_end(), b"");
}

#[test]
fn origins_count_from_the_next_request_on() {
    let node = Node::start();
    let asked = || {
        let request = "GET /healthz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
                       Origin: https://chat.example.org\r\n\r\n";
        let answer = node.raw(request.as_bytes());
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(asked(), None);
    let origin = "https://chat.example.org".to_owned();
    node.reload(|config| config.auth.allowed_origins.push(origin.clone()));
    assert_eq!(asked(), Some(origin));
    node.reload(|config| config.auth.allowed_origins.clear());
    assert_eq!(asked(), None);
}

#[test]
fn what_cannot_change_is_named_each_time_and_stays() {
    let node = Node::start();
    let (websocket, http) = (node.websocket(), node.http());
    for _ in 0..2 {
        let done = node.reload(|config| {
            config.reactor.threads = 7;
            config.listen.http = "127.0.0.1:1".parse().unwrap();
            config.control.threads = 3;
        });
        let restart = json!(["control.threads", "listen.http", "reactor.threads"]);
        assert_eq!(done, json!({"changed": [], "needsRestart": restart, "notices": []}));
    }
    assert_eq!((node.websocket(), node.http()), (websocket, http));
    Client::connect(&node).expect_silence();
}

#[test]
fn more_apps_than_ever_fit_are_refused_as_a_whole() {
    let node = Node::start();
    node.reload(|config| config.apps.ids = (1_000..5_000).collect());
    let (status, text) = node.try_reload(|config| {
        config.apps.ids = (10_000..11_000).collect();
        config.limits.user_id_bytes = 1;
    });
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("apps"), "{text}");
    let mut client = Client::connect(&node);
    assert_eq!(login_code(&mut client, 10_000, "a"), 1003);
    assert_eq!(login_code(&mut client, 1_000, "a-longer-name"), 200, "nothing has changed");
}
