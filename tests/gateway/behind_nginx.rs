//! A real nginx in front of the gateway, with the configuration that is shipped.

use crate::support::nginx::{HTTP, Nginx, STREAM};
use crate::support::{Client, Node};
use serde_json::json;
use std::path::Path;
use tempfile::TempDir;

/// Where a gateway listens for nginx, and how the shipped file reaches it.
struct Behind {
    folder: TempDir,
    node: Node,
}

impl Behind {
    /// A gateway on a unix socket, whose listener has these words besides.
    fn start(words: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("websocket.sock");
        let listener = format!("unix:{} mode=0666{words}", socket.display());
        let node = Node::with(|config| {
            config.listen.websocket = listener.parse().expect("a listener");
            config.listen.trusted_proxies = vec!["unix".into()];
        });
        Self { folder, node }
    }

    fn socket(&self) -> String {
        format!("unix:{}", self.folder.path().join("websocket.sock").display())
    }

    fn through_http(&self) -> Nginx {
        let text = HTTP
            .replace("unix:/run/millgate/websocket.sock", &self.socket())
            .replace("127.0.0.1:8080", &self.node.http().to_string());
        Nginx::http(&text)
    }

    fn through_stream(&self) -> Nginx {
        Nginx::stream(&STREAM.replace("unix:/run/millgate/stream.sock", &self.socket()))
    }

    /// Where the gateway believes its clients to be.
    fn clients(&self) -> String {
        self.node.get_data("/system/state?isDebug=true")["managerInfo"]["clients"].to_string()
    }
}

fn shake(client: &mut Client, headers: &str) {
    let request = String::from_utf8(Client::request("/acc")).expect("ASCII");
    client.send_raw(request.replacen("\r\n", &format!("\r\n{headers}"), 1).as_bytes());
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[test]
fn people_chat_through_it_and_keep_their_addresses() {
    let behind = Behind::start("");
    let nginx = behind.through_http();
    let mut ann = Client::from([127, 0, 0, 7], nginx.address);
    shake(&mut ann, "");
    ann.log_in(101, "ann");
    // What a client says about itself stands to the left of what nginx saw.
    let mut liar = Client::from([127, 0, 0, 8], nginx.address);
    shake(&mut liar, "X-Forwarded-For: 203.0.113.9, 127.0.0.1\r\nForwarded: for=203.0.113.9\r\n");
    liar.log_in(101, "liar");
    assert_eq!(ann.recv_push("enter")["from"], "liar");
    let fields = [("appID", "101"), ("userID", "ann"), ("msgID", "m-1"), ("message", "hello")];
    assert_eq!(behind.node.post_data("/user/sendMessage", &fields), json!({"sendResults": true}));
    assert_eq!(ann.recv_push("msg")["msg"], "hello");
    let clients = behind.clients();
    assert!(clients.contains("127.0.0.7") && clients.contains("127.0.0.8"), "{clients}");
    assert!(!clients.contains("203.0.113.9"), "{clients}");
}

#[test]
fn the_same_without_a_word_of_http() {
    let behind = Behind::start(" proxy");
    let nginx = behind.through_stream();
    let mut ann = Client::from([127, 0, 0, 7], nginx.address);
    shake(&mut ann, "");
    ann.log_in(101, "ann");
    assert_eq!(ann.request_reply("ping", json!({}))["response"]["data"], "pong");
    let clients = behind.clients();
    assert!(clients.contains("127.0.0.7"), "{clients}");
}

#[test]
fn only_the_page_is_open_to_the_world() {
    let behind = Behind::start("");
    let nginx = behind.through_http();
    let ask = |path: &str| {
        let mut client = Client::tcp(nginx.address);
        client.send_raw(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        client.read_head()
    };
    assert!(ask("/home/index").starts_with("HTTP/1.1 200 "));
    let front = ask("/");
    assert!(
        front.starts_with("HTTP/1.1 302 ") && front.contains("Location: /home/index\r\n"),
        "{front}"
    );
    for closed in ["/user/list?appID=101", "/metrics", "/admin", "/home/../metrics", "/acc/x"] {
        assert!(ask(closed).starts_with("HTTP/1.1 404 "), "{closed}");
    }
}

#[test]
fn a_reload_of_nginx_costs_a_reconnect() {
    let behind = Behind::start("");
    let nginx = behind.through_http();
    let mut ann = Client::from([127, 0, 0, 7], nginx.address);
    shake(&mut ann, "");
    ann.log_in(101, "ann");
    nginx.reload();
    // The old worker ends a second later and takes its clients with it.
    assert_eq!(ann.read_to_end(), b"");
    let mut again = Client::from([127, 0, 0, 7], nginx.address);
    shake(&mut again, "");
    again.log_in(101, "ann");
    behind.node.await_metric("millgate_connections", |connections| connections == 1.0);
}

#[test]
fn two_thousand_at_once() {
    let behind = Behind::start("");
    let nginx = behind.through_http();
    let mut clients: Vec<Client> = (0..2_000)
        .map(|number: u16| {
            let [high, low] = number.to_be_bytes();
            let mut client = Client::from([127, 1, high, low.max(1)], nginx.address);
            shake(&mut client, "");
            client
        })
        .collect();
    behind.node.await_metric("millgate_connections", |connections| connections == 2_000.0);
    for client in &mut clients {
        assert_eq!(client.request_reply("ping", json!({}))["response"]["data"], "pong");
    }
}

#[test]
fn the_shipped_files_agree_with_the_defaults() {
    let defaults = millgate::config::Config::default();
    let idle = defaults.heartbeat.idle_timeout.as_secs();
    for text in [HTTP, STREAM] {
        let timeouts = text.lines().filter_map(|line| {
            let line = line.trim();
            let is_timeout = ["proxy_read_timeout", "proxy_send_timeout", "proxy_timeout"]
                .iter()
                .any(|name| line.starts_with(name));
            is_timeout.then(|| line.split([' ', 's']).filter_map(|word| word.parse().ok()).next())
        });
        let timeouts: Vec<u64> = timeouts.flatten().collect();
        assert!(!timeouts.is_empty() && timeouts.iter().all(|time| *time > idle), "{timeouts:?}");
    }
    assert!(HTTP.contains(&format!("location = {} ", defaults.listen.path)));
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/nginx/nginx.conf").exists());
}
