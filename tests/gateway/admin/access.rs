//! Operators have keys, and keys and tokens change while the node runs.

use crate::keys::{ask, key};
use crate::support::{Client, Node};
use crate::tokens::{jwt, login, token};
use std::net::SocketAddr;

fn header(key: &str) -> String {
    format!("X-API-Key: {key}\r\n")
}

#[test]
fn where_there_are_keys_an_operator_has_one() {
    let (admin, line) = key("admin", "admin");
    let (reader, other) = key("reader", "read+send+metrics");
    let node = Node::with(|config| config.auth.keys = vec![line, other]);
    let mut client = Client::login(&node, 101, "ann");
    for request in ["GET /admin/state", "POST /admin/kick?userID=ann", "POST /admin/drain"] {
        assert_eq!(ask(&node, request, "", "").status, 401, "{request}");
        assert_eq!(ask(&node, request, &header("mg_x"), "").status, 401, "{request}");
        assert_eq!(ask(&node, request, &header(&reader), "").status, 403, "{request}");
    }
    client.expect_silence();
    assert_eq!(ask(&node, "GET /admin", "", "").status, 200, "the page holds nothing");
    assert_eq!(ask(&node, "GET /admin/state", &header(&admin), "").status, 200);
    assert_eq!(ask(&node, "GET /user/list", &header(&admin), "").status, 403);
    let elsewhere = format!("{}Sec-Fetch-Site: cross-site\r\n", header(&admin));
    assert_eq!(ask(&node, "POST /admin/kick?userID=ann", &elsewhere, "").status, 403);
    assert_eq!(ask(&node, "POST /admin/kick?userID=ann", &header(&admin), "").status, 200);
    client.expect_close(3503);
}

/// What anybody on this machine may do, strangers may not.
#[test]
fn an_open_api_is_not_open_to_orders() {
    let node = Node::with(|config| {
        config.listen.http = SocketAddr::from(([0, 0, 0, 0], 0)).into();
        config.auth.open_api = true;
    });
    let port = node.http().port();
    let request = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        crate::support::Answer::to(address, head.as_bytes()).status
    };
    assert_eq!(request("/user/list?appID=101"), 200);
    assert_eq!(request("/admin/state"), 401);
}

#[test]
fn keys_and_tokens_are_read_again() {
    let (admin, line) = key("admin", "admin+read");
    let node = Node::start();
    let mut ann = Client::login(&node, 101, "ann");
    let changed = node.reload(|config| {
        config.auth.keys = vec![line];
        config.auth.jwt = Some(jwt());
    });
    let named = changed["changed"].to_string();
    for key in ["auth.keys", "auth.jwt.secret"] {
        assert!(named.contains(key), "{named}");
    }
    assert_eq!(ask(&node, "GET /user/list?appID=101", "", "").status, 401);
    assert_eq!(ask(&node, "GET /user/list?appID=101", &header(&admin), "").status, 200);
    // Who was in stays, and may show a token later.
    assert_eq!(login(&mut ann, "ann", &token("ann")), 200);
    let mut bob = Client::connect(&node);
    assert_eq!(login(&mut bob, "bob", ""), 1003);
    assert_eq!(login(&mut bob, "bob", &token("bob")), 200);
    assert_eq!(ann.recv_push("enter")["from"], "bob");
}

#[test]
fn a_file_that_cannot_be_read_changes_nothing() {
    let node = Node::start();
    let (status, answer) = node.try_reload(|config| {
        config.limits.user_id_bytes = 3;
        config.auth.jwt =
            Some(millgate::config::Jwt { public_key: "/nowhere/key".into(), ..jwt() });
    });
    assert!(status != 200 || !answer.contains("\"code\":200"), "{answer}");
    assert!(answer.contains("auth.jwt.public_key: /nowhere/key: No such file"), "{answer}");
    Client::login(&node, 101, "four");
}

/// The address stays, so the keys must.
#[test]
fn an_api_that_others_reach_keeps_its_keys() {
    let (admin, line) = key("admin", "admin");
    let node = Node::with(|config| {
        config.listen.http = SocketAddr::from(([0, 0, 0, 0], 0)).into();
        config.auth.keys = vec![line];
    });
    node.write(|config| {
        config.listen.http = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        config.auth.keys.clear();
    });
    let address = SocketAddr::from(([127, 0, 0, 1], node.http().port()));
    let request = format!(
        "POST /admin/reload HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: 0\r\n{}\r\n",
        header(&admin)
    );
    let answer = crate::support::Answer::to(address, request.as_bytes());
    assert!(answer.body.contains("where strangers could send to every user"), "{answer:?}");
    let request = "GET /user/list HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
    assert_eq!(crate::support::Answer::to(address, request.as_bytes()).status, 401, "as before");
}
