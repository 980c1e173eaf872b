//! Clients that mean harm: each is answered or cut off, and a bystander on the
//! same reactor notices nothing.

use crate::support::{Client, Message, Node};
use serde_json::json;

fn node() -> Node {
    Node::with(|config| config.reactor.threads = 1)
}

/// Asserts that somebody else is served all the while.
struct Bystander(Client);

impl Bystander {
    fn of(node: &Node) -> Self {
        Self(Client::login(node, 104, "bystander"))
    }

    fn is_served(&mut self) {
        assert_eq!(self.0.request_reply("ping", json!({}))["response"]["data"], "pong");
    }
}

fn request(data: &str) -> String {
    format!("{{\"seq\":\"1\",\"cmd\":\"login\",\"data\":{data}}}")
}

#[test]
fn bombs_of_json_are_answered_like_anything_else() {
    let node = node();
    let mut bystander = Bystander::of(&node);
    let mut client = Client::connect(&node);
    let deep = "[".repeat(60_000);
    let balanced = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let digits = format!("{{\"userID\":\"a\",\"appID\":{}}}", "9".repeat(60_000));
    let exponent = "{\"userID\":\"a\",\"appID\":1e999999999}".to_owned();
    let twice = format!("{{{}\"userID\":\"a\",\"appID\":101}}", "\"userID\":\"b\",".repeat(4_000));
    let escapes = format!("{{\"userID\":\"{}\",\"appID\":101}}", "\\ud800".repeat(10_000));
    for bomb in [deep, balanced, digits, exponent, escapes] {
        for _ in 0..20 {
            client.send_text(&request(&bomb));
        }
        for _ in 0..20 {
            match client.recv() {
                Message::Text(text) if text == "数据不合法" => {}
                Message::Text(text) => assert!(!text.contains("\"code\":200"), "{text}"),
                other => panic!("{other:?} to {}", &bomb[..40]),
            }
        }
        bystander.is_served();
    }
    // The last of a key counts, however many there are.
    client.send_text(&request(&twice));
    assert_eq!(client.recv_json()["response"]["code"], 200);
    assert_eq!(node.get_data("/user/online?appID=101&userID=a")["online"], true);
}

#[test]
fn paths_lead_nowhere_but_to_pages() {
    let node = node();
    for path in [
        "/home/../../etc/passwd",
        "/home/..%2f..%2fetc%2fpasswd",
        "/home/%2e%2e/%2e%2e/etc/passwd",
        "/home//etc/passwd",
        "/home/chat.js%00.css",
        "/home/chat.js/../../Cargo.toml",
        "/docs/..%2fopenapi.json",
        "/docs/%2e%2e%2f%2e%2e%2fCargo.toml",
        "/home/index%0d%0aX-Evil:%20yes",
    ] {
        let answer = node
            .raw(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.body.contains("root:") && !answer.body.contains("[package]"), "{path}");
        assert_eq!(answer.header("x-evil"), None, "{path}");
    }
}

#[test]
fn thousands_who_connect_and_say_nothing_are_in_nobodys_way() {
    let node = Node::with(|config| {
        config.reactor.threads = 1;
        config.limits.handshake_timeout = std::time::Duration::from_secs(2);
    });
    let mut bystander = Bystander::of(&node);
    let silent: Vec<Client> = (0..3_000).map(|_| Client::tcp(node.websocket())).collect();
    bystander.is_served();
    node.await_metric("millgate_closes_total{cause=\"handshake_timeout\"}", |closed| {
        closed == 3_000.0
    });
    bystander.is_served();
    node.await_metric("millgate_connections", |connections| connections == 1.0);
    drop(silent);
}

#[test]
fn a_name_that_is_a_script_stays_a_name() {
    let node = node();
    let mut ann = Client::login(&node, 101, "ann");
    let mut evil = Client::connect(&node);
    let name = "<script>x()</script";
    evil.log_in(101, name);
    assert_eq!(ann.recv_push("enter")["from"], name);
    let answer = node.request("GET", "/user/list?appID=101");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}
