//! What people and machines look at: the state, the metrics, the chat page.

use crate::http::{login_many, quiet_node};
use crate::support::{Client, Node};
use millgate::config::{Log, LogRotation};
use millgate::logging;
use serde_json::{Value, json};
use std::collections::HashSet;

#[test]
fn the_state_is_told_in_numbers_and_names() {
    let node = quiet_node();
    let users = login_many(&node, 101, 40);
    let _ua = Client::login(&node, 102, "ua");
    let stranger = Client::connect(&node);
    node.await_metric("millgate_connections", |count| count == 42.0);
    // Mail lies in its box for a moment: that of canaries, which come by themselves.
    let no_mail = |state: &Value| state["managerInfo"]["chanBroadcastLen"] == 0;
    let state = node.await_data("/system/state", no_mail);
    let counts = &state["managerInfo"];
    assert_eq!((&counts["clientsLen"], &counts["usersLen"]), (&json!(42), &json!(41)), "{state}");
    for queue in ["chanRegisterLen", "chanLoginLen", "chanUnregisterLen"] {
        assert_eq!(counts[queue], 0, "{queue}");
    }
    assert!(state["numCPU"].as_u64() >= Some(1) && state["numGoroutine"].as_u64() >= Some(4));
    assert_eq!((counts.get("clients"), counts.get("users")), (None, None));
    for no in ["isDebug=false", "isDebug=1", "isdebug=true"] {
        let state = node.get_data(&format!("/system/state?{no}"));
        assert_eq!(state["managerInfo"].get("users"), None, "{no}");
    }

    let state = node.get_data("/system/state?isDebug=true");
    let list = |name: &str| {
        let list = state["managerInfo"][name].as_array().expect("a list");
        list.iter().map(|name| name.as_str().expect("text").to_owned()).collect::<HashSet<_>>()
    };
    let mut expected: HashSet<_> = (0..40).map(|n| format!("101_user-{n}")).collect();
    expected.insert("102_ua".into());
    assert_eq!(list("users"), expected);
    let clients = list("clients");
    assert_eq!(clients.len(), 42);
    for client in users.iter().chain([&stranger]) {
        let address = client.socket().local_addr().expect("an address").to_string();
        assert!(clients.contains(&address), "{address}");
    }
}

#[test]
fn metrics_can_be_read_by_a_machine() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    ua.request_reply("heartbeat", json!({}));
    node.await_metric("millgate_connections", |count| count == 1.0);
    let answer = node.request("GET", "/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let mut families = HashSet::new();
    for line in answer.body.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a text");
            assert!(families.insert(name.to_owned()) && text.len() > 10, "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a kind");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let name = sample.split('{').next().expect("a name");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        assert!(families.contains(family.unwrap_or(name)), "{line}");
        assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
    }
    for (metric, value) in [
        ("millgate_connections", 1.0),
        ("millgate_users{app=\"101\"}", 1.0),
        ("millgate_users{app=\"102\"}", 0.0),
        ("millgate_accepts_total", 1.0),
        ("millgate_handshakes_total", 1.0),
        ("millgate_logins_total", 1.0),
        ("millgate_messages_total{direction=\"in\"}", 2.0),
        ("millgate_closes_total", 0.0),
        ("millgate_build_info", 1.0),
    ] {
        let sum: f64 = answer
            .body
            .lines()
            .filter(|line| {
                line.strip_prefix(metric).is_some_and(|rest| rest.starts_with([' ', '{']))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        assert_eq!(sum, value, "{metric} in {}", answer.body);
    }
    assert!(node.metric("process_resident_memory_bytes") > 1e6);
    let turns = |le: &str| {
        node.metric(&format!("millgate_turn_seconds_bucket{{reactor=\"0\",le=\"{le}\"}}"))
    };
    assert!(turns("0.00001") <= turns("0.001") && turns("0.001") <= turns("+Inf"));
}

#[test]
fn every_turn_is_measured() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    node.post_data("/user/sendMessage", &[("appID", "101"), ("userID", "ua"), ("message", "m")]);
    ua.recv_push("msg");
    node.await_metric("millgate_turn_mail_depth_sum", |orders| orders >= 1.0);
    // The time of a turn is known at its end.
    node.await_metric("millgate_turn_seconds_count", |turns| {
        ["millgate_turn_mail_depth_count", "millgate_wheel_lag_seconds_count"]
            .iter()
            .all(|name| turns > 0.0 && node.metric(name) == turns)
    });
    assert_eq!(node.metric("millgate_mailbox_depth"), 0.0, "nothing waits now");
}

#[test]
fn lines_that_were_not_logged_are_counted() {
    let full = Log { file: "/dev/full".into(), rotation: LogRotation::Never, ..Log::default() };
    let (dispatch, guard) = logging::dispatch(&full).expect("a device");
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info!("lost");
        tracing::info!("lost as well");
    });
    let node = Node::logging(guard.dropped_lines());
    node.await_metric("millgate_log_lines_dropped_total", |lines| lines == 2.0);
    assert_eq!(Node::start().metric("millgate_log_lines_dropped_total"), 0.0);
}

#[test]
fn the_page_brings_everything_along() {
    let node = Node::with(|config| config.apps.ids = vec![105, 101, 7]);
    let page = node.request("GET", "/home/index?appID=101");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let policy = page.header("content-security-policy").expect("a policy");
    let port = node.websocket().port();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(
        policy.contains(&format!("connect-src 'self' ws://*:{port} wss://*:{port}")),
        "{policy}"
    );
    assert!(page.body.contains("data-app=\"101\""), "{}", page.body);
    assert!(page.body.contains(&format!("data-websocket-port=\"{port}\"")));
    assert!(
        !page.body.contains("http://") || page.body.matches("http://").count() == 1,
        "the icon's namespace only"
    );
    for room in [105, 101, 7] {
        assert!(page.body.contains(&format!("\"index?appID={room}\"")), "{room}");
    }
    for absolute in ["href=\"/", "src=\"/"] {
        assert!(!page.body.contains(absolute), "all names are relative: {}", page.body);
    }
    for asset in ["base.css", "chat.css", "chat.js"] {
        assert!(page.body.contains(&format!("\"{asset}\"")), "{asset}");
        let answer = node.request("GET", &format!("/home/{asset}"));
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, Some("no-cache")),
            "{asset}"
        );
    }
    for module in ["lines", "link", "people", "token"] {
        let answer = node.request("GET", &format!("/home/{module}.js"));
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
    }
    for other in ["/home/index", "/home/index?appID="] {
        assert!(node.request("GET", other).body.contains("data-app=\"105\""), "the first app");
    }
}

#[test]
fn a_room_that_does_not_exist_is_not_another_one() {
    let node = Node::with(|config| config.apps.ids = vec![105, 7]);
    for room in ["999", "0", "x", "%3Cb%3E", "4294967296"] {
        let page = node.request("GET", &format!("/home/index?appID={room}"));
        assert_eq!(page.status, 404, "{room}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.body.contains("There is no room") && !page.body.contains("data-app"));
        assert!(page.body.contains("\"index?appID=105\"") && !page.body.contains("<b>"));
    }
}

#[test]
fn the_page_is_told_where_to_go() {
    let node = Node::with(|config| {
        config.page.websocket_url = "wss://chat.example.com/acc?a=1&b=2".into();
        config.page.http_url = "https://api.example.com/".into();
        config.auth.allowed_origins = vec!["https://a.example".into(), "http://b:1".into()];
    });
    let page = node.request("GET", "/home/index");
    let policy = page.header("content-security-policy").expect("a policy");
    let connect = "connect-src 'self' wss://chat.example.com https://api.example.com;";
    assert!(policy.contains(connect), "{policy}");
    assert!(page.body.contains("data-websocket-url=\"wss://chat.example.com/acc?a=1&amp;b=2\""));
    assert!(page.body.contains("data-http-url=\"https://api.example.com\""));
    assert!(page.body.contains("data-allowed-origins=\"https://a.example http://b:1\""));
}

/// The names in an answer, with those of objects and of the first elements of lists in it.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), shape(value))).collect()
        }
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        Value::Null => Value::Null,
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
    }
}

#[test]
fn examples_in_the_documentation_are_real() {
    let node = Node::start();
    let _users = [Client::login(&node, 101, "ann"), Client::login(&node, 101, "bob")];
    let documents: Value = node.request("GET", "/openapi.json").body.parse().expect("JSON");
    let example = |path: &str, verb: &str| {
        let answer = &documents["paths"][path][verb]["responses"]["200"];
        answer["content"]["application/json"]["example"].clone()
    };
    for (path, query) in [
        ("/user/list", "appID=101"),
        ("/user/online", "appID=101&userID=ann"),
        ("/system/state", "isDebug=true"),
        ("/admin/connections", "userID=ann"),
    ] {
        let answer = node.request("GET", &format!("{path}?{query}"));
        let answer: Value = answer.body.parse().expect("JSON");
        assert_eq!(shape(&answer), shape(&example(path, "get")), "{path}");
    }
    for path in ["/user/sendMessage", "/user/sendMessageAll"] {
        let form = [("appID", "101"), ("userID", "ann"), ("message", "hello")];
        let data = node.post_data(path, &form);
        assert_eq!(shape(&data), shape(&example(path, "post")["data"]), "{path}");
    }
    for part in ["base.css", "docs.css", "docs.js", "markdown.js", "protocol.md"] {
        assert_eq!(node.request("GET", &format!("/docs/{part}")).status, 200, "{part}");
    }
}
