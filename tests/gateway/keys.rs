//! The HTTP API behind keys.

use crate::support::{Answer, Node};
use millgate::auth::new_key;
use millgate::config::Scopes;

/// A key with these scopes, and its line in the configuration.
pub fn key(name: &str, scopes: &str) -> (String, String) {
    let (key, line) = new_key(name, Scopes::parse(scopes).expect("scopes")).expect("a key");
    (key, line.to_string())
}

/// A GET or a POST of a form with this header besides.
pub fn ask(node: &Node, request: &str, header: &str, form: &str) -> Answer {
    let len = form.len();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{header}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len}\r\n\r\n{form}"
    );
    node.raw(head.as_bytes())
}

const ROUTES: [(&str, &str); 7] = [
    ("read", "GET /user/list?appID=101"),
    ("read", "GET /user/online?userID=ann"),
    ("read", "GET /system/state"),
    ("send", "POST /user/sendMessage"),
    ("send", "POST /user/sendMessageAll"),
    ("send", "POST /user/sendMessages"),
    ("metrics", "GET /metrics"),
];

#[test]
fn each_route_wants_a_key_with_its_scope() {
    let keys = ["read", "send", "metrics", "admin"].map(|scope| (scope, key(scope, scope)));
    let node = Node::with(|config| {
        config.auth.keys = keys.iter().map(|(_, (_, line))| line.clone()).collect();
    });
    for (needed, request) in ROUTES {
        for wrong in ["", "X-API-Key: mg_x\r\n", "Authorization: Basic dTpw\r\n", "X-API-Key: \r\n"]
        {
            let answer = ask(&node, request, wrong, "appID=101&userID=ann&message=hi");
            assert_eq!(answer.status, 401, "{request} {wrong}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"millgate\""));
            assert_eq!(answer.json()["code"], 401);
            assert_eq!(answer.json()["data"], serde_json::Value::Null);
        }
        for (scope, (key, _)) in &keys {
            let fits = *scope == needed || (*scope, needed) == ("read", "metrics");
            for header in
                [format!("X-API-Key: {key}\r\n"), format!("Authorization: bearer {key}\r\n")]
            {
                let answer = ask(&node, request, &header, "appID=101&userID=ann&message=hi");
                assert_eq!(answer.status == 403, !fits, "{request} with {scope}: {answer:?}");
                assert_ne!(answer.status, 401, "{request} with {scope}");
                assert!(!answer.body.contains(key.as_str()), "{answer:?}");
            }
        }
    }
}

#[test]
fn pages_and_probes_want_none() {
    let (_, line) = key("a", "read");
    let node = Node::with(|config| config.auth.keys = vec![line]);
    for path in ["/home/index", "/home/chat.js", "/healthz", "/readyz"] {
        assert_ne!(node.request("GET", path).status, 401, "{path}");
    }
    assert_eq!(node.request("GET", "/nowhere").status, 404);
}

#[test]
fn who_is_turned_away_is_counted() {
    let (reader, line) = key("reader", "read");
    let node = Node::with(|config| config.auth.keys = vec![line]);
    assert_eq!(node.request("GET", "/user/list").status, 401);
    assert_eq!(ask(&node, "GET /user/list", "X-API-Key: x\r\n", "").status, 401);
    assert_eq!(ask(&node, "GET /user/list", "X-API-Key: y\r\n", "").status, 401);
    let header = format!("X-API-Key: {reader}\r\n");
    assert_eq!(ask(&node, "POST /user/sendMessage", &header, "").status, 403);
    let page = ask(&node, "GET /metrics", &header, "").body;
    for line in [
        "millgate_calls_denied_total{reason=\"missing\"} 1",
        "millgate_calls_denied_total{reason=\"unknown\"} 2",
        "millgate_calls_denied_total{reason=\"scope\"} 1",
    ] {
        assert!(page.lines().any(|other| other == line), "{line}");
    }
}

/// The answer must arrive, whatever the caller was about to send.
#[test]
fn a_refused_body_does_not_tear_the_answer() {
    let (_, line) = key("a", "read");
    let node = Node::with(|config| config.auth.keys = vec![line]);
    let form = format!("appID=101&userID=ann&message={}", "x".repeat(200_000));
    for _ in 0..20 {
        assert_eq!(ask(&node, "POST /user/sendMessage", "", &form).status, 401);
    }
}

/// Browsers of people on this machine reach the node, so a form of any page could send.
#[test]
fn without_keys_pages_of_other_origins_send_nothing() {
    let node = Node::with(|config| {
        config.auth.allowed_origins = vec!["https://chat.example.org".to_owned()];
    });
    let form = "appID=101&userID=ann&message=hi";
    for (header, status) in [
        ("", 200),
        ("Origin: http://node\r\n", 200),
        ("Origin: https://chat.example.org\r\nSec-Fetch-Site: cross-site\r\n", 200),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        for route in ["/user/sendMessage", "/user/sendMessageAll"] {
            let answer = ask(&node, &format!("POST {route}"), header, form);
            assert_eq!(answer.status, status, "{route} {header}");
        }
    }
}
