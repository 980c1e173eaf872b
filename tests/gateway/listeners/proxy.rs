//! A listener for proxies that tell with a PROXY header whom they speak for.

use super::{clients, ended, own_address};
use crate::support::{Client, Node};
use std::time::Duration;

fn node(change: impl FnOnce(&mut millgate::config::Config)) -> Node {
    Node::with(|config| {
        config.listen.websocket = "127.0.0.1:0 proxy".parse().expect("a listener");
        change(config);
    })
}

const TEXT: &[u8] = b"PROXY TCP4 203.0.113.7 127.0.0.1 24442 8089\r\n";

fn binary(command: u8) -> Vec<u8> {
    let addresses = b"\xcb\x00\x71\x08\x0a\x00\x00\x01\x5f\x7a\x1f\x99";
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, 0x11, 0, 12][..], addresses].concat()
}

/// An address has its connections from the moment in which its proxy names it, not only when it
/// has shaken hands.
#[test]
fn connections_of_a_told_address_count_before_the_handshake() {
    let node = node(|config| config.limits.connections_per_address = 1);
    let mut first = Client::tcp(node.websocket());
    first.send_raw(TEXT);
    let received = "millgate_bytes_total{direction=\"in\"}";
    node.await_metric(received, |bytes| bytes >= TEXT.len() as f64);
    let mut second = Client::tcp(node.websocket());
    second.try_send_raw(&[TEXT, &Client::request("/acc")].concat());
    assert!(second.read_head().starts_with("HTTP/1.1 503 "));
    let mut other = Client::tcp(node.websocket());
    other.send_raw(&binary(0x21));
    other.upgrade("/acc");
    drop((first, second));
    node.await_metric("millgate_connections", |connections| connections == 1.0);
    let mut third = Client::tcp(node.websocket());
    third.send_raw(TEXT);
    third.upgrade("/acc");
}

/// Where proxies are listed, others count from the moment in which they are accepted.
#[test]
fn who_is_no_proxy_counts_from_the_beginning() {
    let node = node(|config| {
        config.limits.connections_per_address = 1;
        config.listen.trusted_proxies = vec!["192.0.2.1".into()];
    });
    let _idle = Client::tcp(node.websocket());
    node.await_metric("millgate_connections", |connections| connections == 1.0);
    let mut second = Client::tcp(node.websocket());
    assert!(second.read_head().starts_with("HTTP/1.1 503 "));
}

#[test]
fn the_client_is_who_the_proxy_says() {
    let node = node(|_| {});
    let mut told = Vec::new();
    for header in [TEXT, &binary(0x21)] {
        let mut client = Client::tcp(node.websocket());
        client.send_raw(header);
        client.upgrade("/acc");
        client.expect_silence();
        told.push(client);
    }
    // A health check speaks for itself.
    let mut check = Client::tcp(node.websocket());
    check.send_raw(&binary(0x20));
    check.upgrade("/acc");
    let mut expected =
        ["203.0.113.7:24442".to_owned(), "203.0.113.8:24442".to_owned(), own_address(&check)];
    expected.sort();
    assert_eq!(clients(&node), expected);
}

#[test]
fn header_and_request_may_come_in_any_pieces() {
    let node = node(|_| {});
    for header in [TEXT, &binary(0x21)] {
        let all = [header, &Client::request("/acc")].concat();
        for cut in [1, 5, header.len() - 1, header.len(), header.len() + 1, all.len()] {
            let mut client = Client::tcp(node.websocket());
            client.send_raw(&all[..cut]);
            // So that the node has read the first piece before the second comes.
            node.await_metric("millgate_connections", |count| count > 0.0);
            client.send_raw(&all[cut..]);
            assert!(client.read_head().starts_with("HTTP/1.1 101 "), "cut at {cut}");
            client.close();
        }
        let mut client = Client::tcp(node.websocket());
        client.send_in_pieces(&all, 1);
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
        client.close();
    }
}

#[test]
fn who_comes_without_a_header_is_refused() {
    let node = node(|_| {});
    let endless = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    let request = Client::request("/acc");
    let refused: [&[u8]; 6] = [
        &request,
        b"\x16\x03\x01\x02\x00\x01",
        b"PROXY TCP4 localhost 127.0.0.1 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31",
        &endless,
        b"\xff",
    ];
    for (index, bytes) in refused.iter().enumerate() {
        let mut client = Client::tcp(node.websocket());
        client.try_send_raw(bytes);
        assert_eq!(client.read_to_end(), b"");
        assert_eq!(ended(&node, "proxy_header"), index as f64 + 1.0, "{bytes:?}");
    }
}

#[test]
fn a_header_has_its_time() {
    let node = node(|config| config.limits.handshake_timeout = Duration::from_secs(1));
    let mut silent = Client::tcp(node.websocket());
    let mut begun = Client::tcp(node.websocket());
    begun.send_raw(b"PROXY TCP4");
    assert_eq!(silent.read_to_end(), b"");
    assert_eq!(begun.read_to_end(), b"");
    assert_eq!(ended(&node, "handshake_timeout"), 2.0);
}

#[test]
fn where_proxies_are_listed_only_they_are_believed() {
    let trusting = |entry: &str| {
        let entry = entry.to_owned();
        node(|config| config.listen.trusted_proxies = vec![entry])
    };
    let node = trusting("127.0.0.0/8");
    let mut client = Client::tcp(node.websocket());
    client.send_raw(TEXT);
    client.upgrade("/acc");
    assert_eq!(clients(&node), ["203.0.113.7:24442"]);
    let node = trusting("10.0.0.0/8");
    let mut client = Client::tcp(node.websocket());
    client.try_send_raw(&[TEXT, &Client::request("/acc")].concat());
    assert_eq!(client.read_to_end(), b"");
    assert_eq!(ended(&node, "proxy_header"), 1.0);
}

/// Whom the header names is no proxy, so nobody believes what it forwards.
#[test]
fn a_client_behind_a_proxy_cannot_forward_itself() {
    let node = node(|config| {
        config.listen.trusted_proxies = ["127.0.0.1", "10.0.0.0/8"].map(str::to_owned).to_vec();
    });
    let forged = String::from_utf8(Client::request("/acc")).expect("ASCII");
    let forged = forged.replace("Host:", "X-Forwarded-For: 198.51.100.1\r\nHost:");
    let mut client = Client::tcp(node.websocket());
    client.send_raw(&[TEXT, forged.as_bytes()].concat());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(clients(&node), ["203.0.113.7:24442"]);
    // A trusted proxy behind the other one is believed.
    let header = "PROXY TCP4 10.0.0.7 127.0.0.1 24442 8089\r\n";
    let mut other = Client::tcp(node.websocket());
    other.send_raw(&[header.as_bytes(), forged.as_bytes()].concat());
    assert!(other.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(clients(&node), ["198.51.100.1", "203.0.113.7:24442"]);
}
