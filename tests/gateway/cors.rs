//! What pages of other origins may do: the listed ones read answers, the others nothing.

use crate::support::{Answer, Node};

const LISTED: &str = "https://chat.example.org";

fn node() -> Node {
    Node::with(|config| {
        config.auth.allowed_origins = vec!["http://localhost:8080".into(), LISTED.into()];
    })
}

/// A request as a browser sends it for a page of this origin.
fn from(node: &Node, origin: &str, request: &str, more: &str) -> Answer {
    let head = format!(
        "{request} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nOrigin: {origin}\r\n{more}\r\n"
    );
    node.raw(head.as_bytes())
}

fn preflight(node: &Node, origin: &str) -> Answer {
    let asks =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
    from(node, origin, "OPTIONS /user/sendMessage", asks)
}

#[test]
fn a_listed_origin_is_named_in_every_answer() {
    let node = node();
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n";
    for origin in [LISTED, "http://localhost:8080"] {
        for (request, more, status) in [
            ("GET /user/list?appID=101", "", 200),
            ("POST /user/sendMessage", form, 200),
            ("GET /user/sendMessage", "", 405),
            ("GET /nowhere", "", 404),
        ] {
            let answer = from(&node, origin, request, more);
            assert_eq!(answer.status, status, "{request}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{request}");
            assert_eq!(answer.header("access-control-allow-credentials"), None, "{request}");
            assert!(varies(&answer), "{answer:?}");
        }
    }
}

#[test]
fn a_preflight_of_a_listed_origin_is_answered() {
    let answer = preflight(&node(), LISTED);
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED));
    let methods = answer.header("access-control-allow-methods").expect("methods");
    assert!(methods.contains("GET") && methods.contains("POST"), "{methods}");
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("content-type,authorization,x-api-key")
    );
    assert_eq!(answer.header("access-control-max-age"), Some("600"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(varies(&answer), "{answer:?}");
}

#[test]
fn no_other_origin_is_named() {
    let node = node();
    for origin in ["https://evil.example", "http://chat.example.org", "null", "*"] {
        for answer in [preflight(&node, origin), from(&node, origin, "GET /user/list", "")] {
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
            assert!(varies(&answer), "a cache must not hand this to the listed ones");
        }
    }
}

#[test]
fn without_a_list_nothing_is_said() {
    let node = Node::start();
    let answer = preflight(&node, LISTED);
    assert_eq!(answer.status, 405);
    for answer in [answer, from(&node, LISTED, "GET /user/list", "")] {
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

fn varies(answer: &Answer) -> bool {
    answer.header("vary").is_some_and(|names| names.eq_ignore_ascii_case("origin"))
}
