//! Which pages may connect, and what every answer tells browsers.

use crate::keys::{ask, key};
use crate::support::{Client, Node};

fn listing(origins: &[&str]) -> Node {
    Node::with(|config| {
        config.auth.allowed_origins = origins.iter().map(|&origin| origin.to_owned()).collect();
    })
}

/// The status of a handshake with these header lines.
fn handshake(node: &Node, path: &str, lines: &str) -> String {
    let mut client = Client::tcp(node.websocket());
    let request = String::from_utf8(Client::request(path)).expect("text");
    client.send_raw(request.replacen("\r\n", &format!("\r\n{lines}"), 1).as_bytes());
    let head = client.read_head();
    head.lines().next().expect("a line").to_owned()
}

const GRANTED: &str = "HTTP/1.1 101 Switching Protocols";

#[test]
fn only_listed_pages_connect() {
    let node = listing(&["https://chat.example.org", "https://*.example.net:*"]);
    for good in
        ["https://chat.example.org", "https://a.example.net", "https://b.a.example.net:8443"]
    {
        assert_eq!(handshake(&node, "/acc", &format!("Origin: {good}\r\n")), GRANTED, "{good}");
    }
    assert_eq!(handshake(&node, "/acc", ""), GRANTED, "what is no browser sends none");
    let foreign = [
        "https://evil.example",
        "http://chat.example.org",
        "https://example.net",
        "https://chat.example.org.evil.example",
        "null",
        "",
        "https://chat.example.org\r\nOrigin: https://chat.example.org",
    ];
    for (index, origin) in foreign.into_iter().enumerate() {
        for path in ["/acc", "/echo"] {
            let line = handshake(&node, path, &format!("Origin: {origin}\r\n"));
            assert_eq!(line, "HTTP/1.1 403 Forbidden", "{path} {origin:?}");
        }
        assert_eq!(node.metric("millgate_foreign_origins_total"), (2 * index + 2) as f64);
    }
}

#[test]
fn without_a_list_all_pages_connect() {
    let node = Node::start();
    for origin in ["https://evil.example", "null", "?"] {
        assert_eq!(handshake(&node, "/acc", &format!("Origin: {origin}\r\n")), GRANTED);
    }
    assert_eq!(node.metric("millgate_foreign_origins_total"), 0.0);
}

#[test]
fn a_pattern_holds_for_the_api_as_well() {
    let node = listing(&["https://*.example.org"]);
    for (origin, named) in [
        ("https://a.example.org", true),
        ("https://example.org", false),
        ("https://evil.example", false),
    ] {
        let answer = ask(&node, "GET /user/list?appID=101", &format!("Origin: {origin}\r\n"), "");
        let expected = named.then_some(origin);
        assert_eq!(answer.header("access-control-allow-origin"), expected, "{origin}");
    }
}

/// Pages of listed origins read a refusal too, or their scripts could not tell what is wrong.
#[test]
fn a_refusal_is_read_by_listed_pages() {
    let (_, line) = key("a", "read");
    let node = Node::with(|config| {
        config.auth.keys = vec![line];
        config.auth.allowed_origins = vec!["https://a.example".into()];
    });
    let answer = ask(&node, "GET /user/list", "Origin: https://a.example\r\n", "");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    let asks = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n\
                Access-Control-Request-Headers: x-api-key\r\n";
    let preflight = ask(&node, "OPTIONS /user/sendMessage", asks, "");
    assert_eq!(preflight.status, 200, "a preflight has no key");
}

#[test]
fn no_answer_can_be_framed_or_sniffed() {
    let node = Node::start();
    for path in ["/home/index", "/home/chat.js", "/user/list?appID=101", "/metrics", "/nowhere"] {
        let answer = node.request("GET", path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        let powers = answer.header("permissions-policy").expect("a policy");
        assert!(powers.contains("camera=()") && powers.contains("geolocation=()"), "{powers}");
    }
}
