//! Whom the header lines of a handshake name, and who may say so.

use super::{clients, own_address};
use crate::support::{Client, Node};

fn trusting(proxies: &[&str]) -> Node {
    let proxies = proxies.iter().map(|proxy| (*proxy).to_owned()).collect();
    Node::with(|config| config.listen.trusted_proxies = proxies)
}

fn forwarded(client: &mut Client, lines: &str) {
    let request = String::from_utf8(Client::request("/acc")).expect("ASCII");
    client.send_raw(request.replace("Host:", &format!("{lines}Host:")).as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_trusted_proxy_names_the_client() {
    let node = trusting(&["127.0.0.1", "10.0.0.0/8"]);
    for (lines, expected) in [
        ("X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"),
        // What the client made up stands before what the proxy has seen.
        ("X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\n", "203.0.113.7"),
        (
            "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.7, 10.0.0.2\r\n",
            "203.0.113.7",
        ),
        (
            "Forwarded: for=198.51.100.1, for=\"[2001:db8::1]:4711\";proto=https\r\n",
            "[2001:db8::1]:4711",
        ),
        ("Forwarded: for=198.51.100.1\r\nX-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"),
    ] {
        let mut client = Client::tcp(node.websocket());
        forwarded(&mut client, lines);
        assert_eq!(clients(&node), [expected], "{lines}");
        client.close();
    }
    // Garbage names nobody, and the proxy is all that is known.
    for lines in ["X-Forwarded-For: nonsense\r\n", "Forwarded: for=_hidden\r\n", ""] {
        let mut client = Client::tcp(node.websocket());
        forwarded(&mut client, lines);
        assert_eq!(clients(&node), [own_address(&client)], "{lines}");
        client.close();
    }
}

#[test]
fn others_are_not_believed() {
    for node in [Node::start(), trusting(&["10.0.0.0/8", "unix"])] {
        let mut client = Client::tcp(node.websocket());
        forwarded(&mut client, "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\n");
        assert_eq!(clients(&node), [own_address(&client)]);
    }
}

#[test]
fn a_unix_socket_is_trusted_only_by_name() {
    for (trusted, expected) in [("unix", "203.0.113.7"), ("10.0.0.0/8", "unix")] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ws.sock");
        let node = Node::with(|config| {
            config.listen.websocket = format!("unix:{}", path.display()).parse().expect("right");
            config.listen.trusted_proxies = vec![trusted.to_owned()];
        });
        let mut client = Client::unix(&path);
        forwarded(&mut client, "X-Forwarded-For: 203.0.113.7\r\n");
        assert_eq!(clients(&node), [expected]);
    }
}
