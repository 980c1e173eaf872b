//! Where the API is served: several places, unix sockets, TLS.

use crate::support::{Answer, Certificate, Client, Node};
use millgate::config::{Config, Listener, Listeners};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn served_at(listeners: &[String]) -> Listeners {
    let files = ["listen.tls_cert", "listen.tls_key"].map(|key| (key.into(), "a.pem".into()));
    let places = ("listen.http".into(), format!("{listeners:?}"));
    let overrides: Vec<_> = files.into_iter().chain([places]).collect();
    Config::load_with(None, [], &overrides).expect("right").config.listen.http
}

fn node_with_tls(certificate: &Certificate) -> Node {
    Node::with(|config| {
        config.listen.http = served_at(&["127.0.0.1:0".into(), "127.0.0.1:0 tls".into()]);
        config.listen.tls_cert = certificate.file("cert.pem");
        config.listen.tls_key = certificate.file("key.pem");
    })
}

fn safe_place(node: &Node) -> SocketAddr {
    let safe = node.http_listeners().iter().find(|listener| listener.tls);
    safe.and_then(Listener::address).expect("an address")
}

fn ask(node: &Node, tls: Arc<ClientConfig>, request: &[u8]) -> Answer {
    Answer::over(Client::tcp(safe_place(node)).with_tls(tls), request)
}

#[test]
fn all_places_serve_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let unix = format!("unix:{} mode=0600", path.display());
    let node = Node::with(|config| {
        config.listen.http = served_at(&["127.0.0.1:0".into(), "[::1]:0".into(), unix.clone()]);
    });
    let places = node.http_listeners();
    let addresses: Vec<SocketAddr> = places.iter().filter_map(Listener::address).collect();
    assert!(addresses.iter().all(|address| address.port() != 0), "{addresses:?}");
    assert_eq!((addresses.len(), node.http()), (2, addresses[0]));
    assert_eq!(places[2].to_string(), unix);
    for address in addresses {
        assert_eq!(Answer::to(address, HEALTH).body, "ok\n");
    }
    assert_eq!(Answer::over(Client::unix(&path), HEALTH).body, "ok\n");
    node.stop();
    assert!(!path.exists(), "the file goes with the node");
}

/// A proxy may be behind it, as behind loopback.
#[test]
fn a_unix_socket_needs_a_key_for_orders_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let unix = format!("unix:{}", path.display());
    let node = Node::with(|config| config.listen.http = served_at(&[unix]));
    let state = |key: &str| {
        let head = format!("GET /admin/state HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n");
        Answer::over(Client::unix(&path), (head + "Connection: close\r\n\r\n").as_bytes()).status
    };
    assert_eq!(state(""), 401);
    assert_eq!(state(node.admin_key()), 200);
}

#[test]
fn a_client_that_stays_holds_nobody_up_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let unix = format!("unix:{}", path.display());
    let node = Node::with(|config| config.listen.http = served_at(&[unix]));
    let mut idle = Client::unix(&path);
    idle.send_raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(idle.read_head().starts_with("HTTP/1.1 200"));
    node.stop();
    assert_eq!(idle.read_to_end(), b"ok\n");
}

#[test]
fn calls_go_over_both_versions_of_tls() {
    let certificate = Certificate::new();
    let node = node_with_tls(&certificate);
    let mut ann = Client::login(&node, 101, "ann");
    for version in [&TLS13, &TLS12] {
        let tls = certificate.trusting(&[version], &["h2", "http/1.1"]);
        let body = "appID=101&userID=ann&message=hi";
        let len = body.len();
        let request = format!(
            "POST /user/sendMessage HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len}\r\n\r\n{body}"
        );
        let answer = ask(&node, tls, request.as_bytes());
        assert_eq!(answer.json()["data"], json!({"sendResults": true}));
        assert_eq!(ann.recv_push("msg")["msg"], "hi");
    }
    assert_eq!(node.metric("millgate_http_tls_failures_total"), 0.0);
}

#[test]
fn a_certificate_is_renewed_by_a_reload() {
    let certificate = Certificate::new();
    let node = node_with_tls(&certificate);
    let old = certificate.trusting(&[&TLS13], &[]);
    assert_eq!(ask(&node, old, HEALTH).status, 200);
    certificate.renew();
    assert_eq!(node.post("/admin/reload", &[]).0, 200);
    let new = certificate.trusting(&[&TLS13], &[]);
    assert_eq!(ask(&node, new, HEALTH).status, 200);
}

#[test]
fn what_is_no_tls_is_closed_and_counted() {
    let certificate = Certificate::new();
    let node = node_with_tls(&certificate);
    // A connection without a byte is a health check.
    for garbage in [b"", HEALTH, &[0x16, 3, 1, 0xff, 0xff, 0, 0]] {
        let mut client = Client::tcp(safe_place(&node));
        client.send_raw(garbage);
        client.end_sending();
        client.read_to_end();
    }
    node.await_metric("millgate_http_tls_failures_total", |count| count == 2.0);
    assert_eq!(ask(&node, certificate.trusting(&[&TLS13], &[]), HEALTH).status, 200);
    assert_eq!(node.metric("millgate_http_tls_failures_total"), 2.0);
}

#[test]
fn a_place_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let _taken = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut config = Config::default();
    config.listen.websocket = "127.0.0.1:0".parse().unwrap();
    let unix = format!("unix:{}", path.display());
    config.listen.http = served_at(std::slice::from_ref(&unix));
    let error = millgate::gateway::Gateway::start(config, Default::default()).unwrap_err();
    let expected = format!(
        "cannot listen for HTTP on {unix} (listen.http): another process listens there already"
    );
    assert_eq!(error.to_string(), expected);
    assert!(Path::new(&path).exists(), "it is somebody else's");
}
