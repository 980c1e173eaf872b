//! The HTTP API: each route, and each way to be refused.

use crate::support::{Answer, Client, Node};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Every refusal has the shape of an answer.
fn expect_refusal(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["code"], &body["data"]), (&json!(status), &Value::Null), "{body}");
    assert!(body["msg"].as_str().is_some_and(|msg| !msg.is_empty()), "{body}");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
}

fn names(data: &Value) -> HashSet<&str> {
    let list = data["userList"].as_array().expect("a list");
    let names: HashSet<_> = list.iter().filter_map(Value::as_str).collect();
    assert_eq!(names.len(), list.len(), "nobody twice");
    names
}

fn login_many(node: &Node, app: u32, count: usize) -> Vec<Client> {
    (0..count).map(|n| Client::login(node, app, &format!("user-{n}"))).collect()
}

/// Beyond this size a room is not told of each arrival, which keeps tests quick.
fn quiet_node() -> Node {
    Node::with(|config| config.announce.exact_up_to = 0)
}

#[test]
fn a_list_holds_the_users_of_its_room() {
    let node = Node::start();
    let empty = json!({"userList": [], "userCount": 0});
    assert_eq!(node.get_data("/user/list?appID=101"), empty);
    let _ua = Client::login(&node, 101, "ua");
    let _quoted = Client::login(&node, 101, "\"\\你<");
    let _elsewhere = Client::login(&node, 102, "uc");
    let data = node.get_data("/user/list?appID=101");
    assert_eq!((&data["userCount"], data.get("cursor")), (&json!(2), None));
    assert_eq!(names(&data), HashSet::from(["ua", "\"\\你<"]));
    assert_eq!(node.get_data("/user/list?appID=102"), json!({"userList": ["uc"], "userCount": 1}));
    for query in ["", "?appID=", "?appID=0", "?appID=999", "?appid=101", "?appID=x&appID=101"] {
        assert_eq!(node.get_data(&format!("/user/list{query}")), empty, "{query}");
    }
}

#[test]
fn a_list_can_be_walked_in_parts() {
    let node = quiet_node();
    let _users = login_many(&node, 101, 300);
    let all = node.get_data("/user/list?appID=101");
    assert_eq!((names(&all).len(), &all["userCount"]), (300, &json!(300)));
    let (mut seen, mut pages, mut cursor) = (HashSet::new(), Vec::new(), String::new());
    loop {
        let data = node.get_data(&format!("/user/list?appID=101&limit=70{cursor}"));
        assert_eq!(data["userCount"], 300, "of the room, not of the part");
        pages.push(names(&data).len());
        seen.extend(names(&data).into_iter().map(str::to_owned));
        let Some(next) = data.get("cursor") else { break };
        cursor = format!("&cursor={}", next.as_str().expect("a string"));
    }
    assert_eq!((pages, seen.len()), (vec![70, 70, 70, 70, 20], 300));
    let whole = node.get_data("/user/list?appID=101&limit=300");
    assert_eq!((names(&whole).len(), whole.get("cursor")), (300, None), "nobody is left");
}

#[test]
fn a_part_that_cannot_be_understood_is_refused() {
    let node = Node::start();
    for query in
        ["limit=0", "limit=-1", "limit=x", "limit=", "cursor=", "cursor=zz", "limit=1&cursor=1"]
    {
        let (status, body) = node.get(&format!("/user/list?appID=101&{query}"));
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        let expected = json!({"code": 1001, "msg": "参数不合法", "data": null});
        assert_eq!((status, answer), (200, expected), "{query}");
    }
}

#[test]
fn online_asks_one_app_or_all() {
    let node = Node::start();
    let _ua = Client::login(&node, 102, "ua +");
    for (query, online) in [
        ("appID=102&userID=ua+%2B", true),
        ("appID=101&userID=ua+%2B", false),
        ("appID=0&userID=ua+%2B", true),
        ("userID=ua+%2B", true),
        ("appID=999&userID=ua+%2B", false),
        ("appID=102&userID=ua+%2B&userID=other", true),
    ] {
        let data = node.get_data(&format!("/user/online?{query}"));
        assert_eq!(data, json!({"online": online, "userID": "ua +"}), "{query}");
    }
    assert_eq!(node.get_data("/user/online"), json!({"online": false, "userID": ""}));
    assert_eq!(
        node.get_data("/user/online?userid=ua&appID=102"),
        json!({"online": false, "userID": ""})
    );
}

#[test]
fn a_message_reaches_one_user() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    let mut ub = Client::login(&node, 101, "ub");
    ua.recv_push("enter");
    let fields =
        [("appID", "101"), ("userID", "ua"), ("msgID", "m-1"), ("message", "hi <你> \"&\" 100%")];
    assert_eq!(node.post_data("/user/sendMessage", &fields), json!({"sendResults": true}));
    let push = ua.recv_json();
    assert_eq!((&push["cmd"], &push["seq"]), (&json!("msg"), &json!("m-1")));
    assert_eq!(
        push["response"],
        json!({"code": 200, "codeMsg": "Ok", "data":
            {"target": "", "type": "text", "msg": "hi <你> \"&\" 100%", "from": "ua"}})
    );
    ub.expect_silence();
    for nowhere in [[("appID", "102"), ("userID", "ua")], [("appID", "101"), ("userID", "uz")]] {
        assert_eq!(node.post_data("/user/sendMessage", &nowhere), json!({"sendResults": false}));
    }
    ua.expect_silence();
}

#[test]
fn a_message_reaches_everybody_but_its_sender() {
    let node = Node::start();
    let mut users: Vec<_> = ["ua", "ub", "uc"].map(|name| Client::login(&node, 101, name)).into();
    let mut elsewhere = Client::login(&node, 102, "ub");
    for (earlier, user) in users.iter_mut().enumerate() {
        (earlier..2).for_each(|_| drop(user.recv_push("enter")));
    }
    let send = |app: &str, id: &str| {
        let fields = [("appID", app), ("userID", "ua"), ("msgID", id), ("message", "all")];
        node.post_data("/user/sendMessageAll", &fields)
    };
    assert_eq!(send("101", "m-1"), json!({"sendResults": true}));
    for user in &mut users[1..] {
        let push = user.recv_json();
        assert_eq!((&push["cmd"], &push["seq"]), (&json!("msg"), &json!("m-1")));
        assert_eq!(push["response"]["data"]["from"], "ua");
    }
    for nobody in ["0", "", "999", "x"] {
        assert_eq!(send(nobody, ""), json!({"sendResults": true}), "{nobody}");
    }
    users.iter_mut().for_each(Client::expect_silence);
    elsewhere.expect_silence();
}

#[test]
fn a_msg_id_counts_once_for_both_routes_and_an_empty_one_never() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    let to_one = |id: &str| {
        let fields = [("appID", "101"), ("userID", "ua"), ("msgID", id), ("message", "one")];
        node.post_data("/user/sendMessage", &fields)
    };
    let to_all = |id: &str| {
        let fields = [("appID", "101"), ("userID", "ub"), ("msgID", id), ("message", "all")];
        node.post_data("/user/sendMessageAll", &fields)
    };
    let sent = json!({"sendResults": true});
    assert_eq!((to_one("m-1"), to_one("m-1"), to_all("m-1")), (sent.clone(), json!({}), json!({})));
    assert_eq!((to_all("m-2"), to_one("m-2")), (sent.clone(), json!({})));
    assert_eq!((to_one(""), to_one(""), to_all("")), (sent.clone(), sent.clone(), sent));
    for text in ["one", "all", "one", "one", "all"] {
        assert_eq!(ua.recv_push("msg")["msg"], text);
    }
    ua.expect_silence();
    assert_eq!(node.metric("millgate_dedup_entries"), 2.0);
}

#[test]
fn forms_come_in_two_shapes_and_nothing_else_is_one() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    let part = |name: &str, value: &str| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file =
        "--xyz\r\nContent-Disposition: form-data; name=\"message\"; filename=\"a\"\r\n\r\nfile\r\n";
    let parts = [
        file.to_owned(),
        part("appID", "101"),
        part("userID", "ua"),
        part("msgID", "m-1"),
        part("message", "你\r\n=&%"),
        part("message", "second"),
        "--xyz--\r\n".to_owned(),
    ];
    let answer =
        node.send("/user/sendMessage", "multipart/form-data; boundary=xyz", &parts.concat());
    assert_eq!(answer.json()["data"], json!({"sendResults": true}), "{answer:?}");
    assert_eq!(ua.recv_push("msg")["msg"], "你\r\n=&%");
    let form = "appID=101&userID=ua&message=first+%E4%BD%A0&message=second&appID=102";
    let answer = node.send(
        "/user/sendMessage?userID=other",
        "Application/X-WWW-Form-Urlencoded ; charset=utf-8",
        form,
    );
    assert_eq!(answer.json()["data"], json!({"sendResults": true}));
    assert_eq!(ua.recv_push("msg")["msg"], "first 你");
    for (kind, body) in [
        ("application/json", json!({"appID": 101, "userID": "ua"}).to_string()),
        ("text/plain", form.to_owned()),
        ("application/x-www-form-urlencoded", String::new()),
    ] {
        let answer = node.send(&format!("/user/sendMessage?{form}"), kind, &body);
        assert_eq!(answer.json()["data"], json!({"sendResults": false}), "{kind}");
    }
    ua.expect_silence();
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
    let node = Node::with(|config| config.limits.body_bytes = 1_000);
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
    for path in ["/", "/user", "/user/list/", "/USER/list", "/home/other.js", "/home/%ff", "/acc"] {
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

#[test]
fn the_state_is_told_in_numbers_and_names() {
    let node = quiet_node();
    let users = login_many(&node, 101, 40);
    let _ua = Client::login(&node, 102, "ua");
    let stranger = Client::connect(&node);
    let state = node.get_data("/system/state");
    let manager = &state["managerInfo"];
    assert_eq!((&manager["clientsLen"], &manager["usersLen"]), (&json!(42), &json!(41)), "{state}");
    for queue in ["chanRegisterLen", "chanLoginLen", "chanUnregisterLen", "chanBroadcastLen"] {
        assert_eq!(manager[queue], 0, "{queue}");
    }
    assert!(state["numCPU"].as_u64() >= Some(1) && state["numGoroutine"].as_u64() >= Some(4));
    assert_eq!((manager.get("clients"), manager.get("users")), (None, None));
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
        assert!(page.body.contains(&format!("/home/index?appID={room}\"")), "{room}");
    }
    for asset in page.body.split('"').filter(|text| text.starts_with("/home/chat.")) {
        let answer = node.request("GET", asset);
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, Some("no-cache")),
            "{asset}"
        );
    }
    for module in ["lines", "link", "people"] {
        let answer = node.request("GET", &format!("/home/{module}.js"));
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
    }
    for other in ["/home/index", "/home/index?appID=999"] {
        assert!(node.request("GET", other).body.contains("data-app=\"105\""), "the first app");
    }
}

#[test]
fn the_page_goes_where_it_is_told_to() {
    let node = Node::with(|config| {
        config.page.websocket_url = "wss://chat.example.com/acc?a=1&b=2".into();
        config.page.http_url = "https://api.example.com/".into();
    });
    let page = node.request("GET", "/home/index");
    let policy = page.header("content-security-policy").expect("a policy");
    let connect = "connect-src 'self' wss://chat.example.com https://api.example.com;";
    assert!(policy.contains(connect), "{policy}");
    assert!(page.body.contains("data-websocket-url=\"wss://chat.example.com/acc?a=1&amp;b=2\""));
    assert!(page.body.contains("data-http-url=\"https://api.example.com\""));
}

#[test]
fn connections_above_the_bound_wait_for_their_turn() {
    let node = Node::start();
    let mut held: Vec<Client> = (0..1_024).map(|_| Client::tcp(node.http())).collect();
    let mut waiting = Client::tcp(node.http());
    waiting.send_raw(b"GET /healthz HTTP/1.0\r\n\r\n");
    for socket in &mut held {
        for _ in 0..2 {
            socket.send_raw(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(socket.read_head().starts_with("HTTP/1.1 200 "));
        }
    }
    waiting.expect_nothing_yet();
    held.pop();
    assert!(waiting.read_head().starts_with("HTTP/1.0 200 "));
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
