//! Health checks of proxies, which connect and close: no faults, at any listener.

use super::ended;
use crate::support::{Certificate, Client, Node};
use millgate::config::{Listener, Listeners};
use socket2::SockRef;
use std::net::SocketAddr;
use std::time::Duration;

/// `LOCAL` of the PROXY protocol: the proxy speaks for itself.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

const CHECKS: usize = 20;

/// Connects, says this and closes, or resets the connection, many times.
fn check(address: SocketAddr, words: &[u8]) {
    for number in 0..CHECKS {
        let mut client = Client::tcp(address);
        if number % 2 == 0 {
            let reset = SockRef::from(client.socket()).set_linger(Some(Duration::ZERO));
            reset.expect("a reset at the end");
        }
        client.try_send_raw(words);
    }
}

fn listeners(of: &str, places: &[&str]) -> Listeners {
    let files = ["listen.tls_cert", "listen.tls_key"].map(|key| (key.into(), "a.pem".into()));
    let places = (of.into(), format!("{places:?}"));
    let overrides: Vec<_> = files.into_iter().chain([places]).collect();
    let config = millgate::config::Config::load_with(None, [], &overrides).expect("right").config;
    if of == "listen.http" { config.listen.http } else { config.listen.websocket }
}

fn addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(Listener::address).collect()
}

#[test]
fn a_client_that_connects_and_closes_is_no_fault() {
    let certificate = Certificate::new();
    let local = "127.0.0.1:0";
    let websocket = [local, "127.0.0.1:0 tls", "127.0.0.1:0 proxy", "127.0.0.1:0 proxy tls"];
    let node = Node::with(|config| {
        config.listen.websocket = listeners("listen.websocket", &websocket);
        config.listen.http = listeners("listen.http", &[local, "127.0.0.1:0 tls"]);
        config.listen.tls_cert = certificate.file("cert.pem");
        config.listen.tls_key = certificate.file("key.pem");
        config.listen.trusted_proxies = vec!["127.0.0.1".into()];
    });
    let places = node.listeners();
    let mut sent = 0;
    for (listener, address) in places.iter().zip(addresses(&places)) {
        check(address, b"");
        sent += CHECKS;
        if listener.proxy {
            check(address, LOCAL);
            sent += CHECKS;
        }
    }
    node.await_metric("millgate_accepts_total", |accepts| accepts >= sent as f64);
    node.await_metric("millgate_connections", |connections| connections == 0.0);
    let ends = ended(&node, "eof") + ended(&node, "reset");
    assert_eq!(ends, node.metric("millgate_closes_total"));
    assert_eq!(node.metric("millgate_accept_errors_total"), 0.0);
    let api = addresses(node.http_listeners());
    api.iter().for_each(|address| check(*address, b""));
    // One that says something wrong is counted, and comes behind all others.
    let mut wrong = Client::tcp(api[1]);
    wrong.send_raw(b"GET / HTTP/1.1\r\n\r\n");
    wrong.read_to_end();
    node.await_metric("millgate_http_tls_failures_total", |failures| failures >= 1.0);
    assert_eq!(node.metric("millgate_http_tls_failures_total"), 1.0);
}

/// A header that a proxy sends without being trusted is a fault, whatever follows.
#[test]
fn a_check_of_a_stranger_is_refused() {
    let node = Node::with(|config| {
        config.listen.websocket = "127.0.0.1:0 proxy".parse().expect("a listener");
        config.listen.trusted_proxies = vec!["192.0.2.1".into()];
    });
    let mut client = Client::tcp(node.websocket());
    client.send_raw(LOCAL);
    assert_eq!(client.read_to_end(), b"");
    assert_eq!(ended(&node, "proxy_header"), 1.0);
}
