//! HTTP as such: what is refused, what is bounded, and what every answer carries.

use crate::support::{Answer, Client, Node};
use serde_json::{Value, json};

/// Every refusal has the shape of an answer.
fn expect_refusal(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["code"], &body["data"]), (&json!(status), &Value::Null), "{body}");
    assert!(body["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{body}");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

#[test]
fn malformed_bodies_are_refused() {
    let node = Node::start();
    for (kind, body) in [
        ("application/x-www-form-urlencoded", "message=100%"),
        ("application/x-www-form-urlencoded", "message=%zz"),
        ("multipart/form-data", "--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncut",
        ),
        ("multipart/form-data; boundary=x", "no parts at all"),
    ] {
        expect_refusal(&node.send("/user/sendMessage", kind, body), 400);
    }
}

#[test]
fn bodies_are_bounded() {
    let node = Node::with(|config| config.limits.http_body_bytes = 1_000);
    let kind = "application/x-www-form-urlencoded";
    let fitting = format!("message={}", "m".repeat(1_000 - "message=".len()));
    assert_eq!(node.send("/user/sendMessageAll", kind, &fitting).status, 200);
    expect_refusal(&node.send("/user/sendMessageAll", kind, &(fitting + "m")), 413);
    // Announced but never sent: nobody waits for it.
    let huge = "POST /user/sendMessageAll HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n";
    expect_refusal(&node.raw(huge.as_bytes()), 413);
    // Of unknown length, in chunks.
    let chunk = format!("3e9\r\n{}\r\n0\r\n\r\n", "m".repeat(1_001));
    let head = "POST /user/sendMessageAll HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect_refusal(&node.raw((head.to_owned() + &chunk).as_bytes()), 413);
    // Who waits for leave to send gets the answer instead.
    let waiting = "POST /user/sendMessageAll HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n";
    expect_refusal(&node.raw(waiting.as_bytes()), 413);
}

#[test]
fn what_does_not_exist_is_said_so() {
    let node = Node::start();
    for path in ["/user", "/user/list/", "/USER/list", "/home/other.js", "/home/%ff", "/acc"] {
        expect_refusal(&node.request("GET", path), 404);
    }
    for (verb, path, allow) in [
        ("POST", "/user/list?appID=101", "GET,HEAD"),
        ("DELETE", "/user/online", "GET,HEAD"),
        ("PUT", "/system/state", "GET,HEAD"),
        ("GET", "/user/sendMessage", "POST"),
        ("HEAD", "/user/sendMessageAll", "POST"),
        ("OPTIONS", "/user/sendMessageAll", "POST"),
    ] {
        let answer = node.request(verb, path);
        assert_eq!(answer.header("allow"), Some(allow), "{verb} {path}");
        if verb == "HEAD" {
            assert_eq!((answer.status, answer.body.as_str()), (405, ""));
        } else {
            expect_refusal(&answer, 405);
        }
    }
}

#[test]
fn answers_carry_their_headers_and_head_carries_nothing_else() {
    let node = Node::start();
    for path in ["/user/list?appID=101", "/user/online?userID=ua", "/system/state?isDebug=true"] {
        let answer = node.request("GET", path);
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        let head = node.request("HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
    }
    let health = node.request("GET", "/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
}

/// A probe is answered at once, however many connections say nothing.
#[test]
fn idle_connections_keep_nobody_out() {
    let node = Node::start();
    let list = |socket: &mut Client| {
        socket.send_raw(b"GET /user/list?appID=101 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        assert!(socket.read_head().starts_with("HTTP/1.1 200 "));
    };
    let mut held: Vec<Client> = (0..1_024).map(|_| Client::tcp(node.http())).collect();
    let ask = b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for socket in &mut held {
        socket.send_raw(ask);
        assert!(socket.read_head().starts_with("HTTP/1.1 200 "));
    }
    let mut probe = Client::tcp(node.http());
    probe.send_raw(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert!(probe.read_head().starts_with("HTTP/1.0 200 "));
    assert_eq!(held[0].read_to_end(), b"", "the one that waited longest ended for the probe");
    held[1_023].send_raw(ask);
    assert!(held[1_023].read_head().starts_with("HTTP/1.1 200 "));
    // Places for probes alone are left only while the others are busy.
    for _ in 0..40 {
        let mut caller = Client::tcp(node.http());
        list(&mut caller);
        held.push(caller);
    }
}

#[test]
fn readers_that_take_nothing_keep_nobody_out() {
    let node = Node::start();
    // Answers that no buffer holds, asked for in one go and never read.
    let page = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300);
    let _held: Vec<Client> = (0..1_100)
        .map(|_| {
            let mut slow = Client::tcp(node.http());
            slow.send_raw(page.as_bytes());
            slow
        })
        .collect();
    assert_eq!(node.request("GET", "/healthz").status, 200);
}

#[test]
fn a_stop_waits_for_no_idle_connection() {
    let node = Node::start();
    let mut idle = Client::tcp(node.http());
    idle.send_raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(idle.read_head().starts_with("HTTP/1.1 200 "));
    node.stop();
    assert_eq!(idle.read_to_end(), b"ok\n");
}
