//! The HTTP API: each route in `/user`.

use crate::support::{Client, Node};
use serde_json::{Value, json};
use std::collections::HashSet;

fn names(data: &Value) -> HashSet<&str> {
    let list = data["userList"].as_array().expect("a list");
    let names: HashSet<_> = list.iter().filter_map(Value::as_str).collect();
    assert_eq!(names.len(), list.len(), "nobody twice");
    names
}

pub fn login_many(node: &Node, app: u32, count: usize) -> Vec<Client> {
    (0..count).map(|n| Client::login(node, app, &format!("user-{n}"))).collect()
}

/// Beyond this size a room is not told of each arrival, which keeps tests quick.
pub fn quiet_node() -> Node {
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
    for (app, user) in [("102", "ua"), ("101", "uz")] {
        let nowhere = [("appID", app), ("userID", user), ("message", "x")];
        assert_eq!(node.post_data("/user/sendMessage", &nowhere), json!({"sendResults": false}));
    }
    ua.expect_silence();
}

fn send_batch(node: &Node, messages: &Value) -> (u16, Value) {
    let answer = node.send(
        "/user/sendMessages",
        "application/json",
        &json!({"messages": messages}).to_string(),
    );
    (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
}

#[test]
fn many_messages_go_in_one_request() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    let mut ub = Client::login(&node, 102, "ub");
    let to = |app: u32, user: &str, id: &str| json!({"appID": app, "userID": user, "msgID": id, "message": id});
    let mut messages: Vec<Value> = (0..400).map(|n| to(101, "ua", &format!("a-{n}"))).collect();
    messages.push(to(102, "ub", "b"));
    messages.push(to(101, "ub", "nowhere"));
    messages.push(to(102, "ub", "b"));
    messages.push(json!({"appID": 102, "userID": "ub", "message": "\"<你>\""}));
    let (status, answer) = send_batch(&node, &messages.into());
    assert_eq!((status, &answer["code"]), (200, &json!(200)), "{answer}");
    let results = answer["data"]["results"].as_array().expect("results");
    assert_eq!(results.len(), 404);
    assert!(results[..401].iter().all(|result| *result == json!({"sendResults": true})));
    let last = [json!({"sendResults": false}), json!({}), json!({"sendResults": true})];
    assert_eq!(results[401..], last, "nobody there, a msgID again, no msgID");
    for n in 0..400 {
        assert_eq!(ua.recv_json()["seq"], format!("a-{n}"));
    }
    assert_eq!(ub.recv_json()["response"]["data"]["msg"], "b");
    assert_eq!(ub.recv_json()["response"]["data"]["msg"], "\"<你>\"");
    ua.expect_silence();
    ub.expect_silence();
    assert_eq!(send_batch(&node, &json!([])).1["data"], json!({"results": []}));
}

#[test]
fn a_message_that_cannot_be_understood_costs_no_other_of_its_batch() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    let good = json!({"appID": 101, "userID": "ua", "message": "hi"});
    for bad in [
        json!({"userID": "ua", "message": "hi"}),
        json!({"appID": "101", "userID": "ua", "message": "hi"}),
        json!({"appID": 101, "userID": "ua"}),
        json!({"appID": -1, "userID": "ua", "message": "hi"}),
        json!(7),
    ] {
        let (status, answer) = send_batch(&node, &json!([bad, good]));
        assert_eq!((status, &answer["code"]), (200, &json!(200)), "{bad}");
        let results = &answer["data"]["results"];
        assert_eq!(results[1], json!({"sendResults": true}), "{bad}");
        assert_eq!(
            (&results[0]["sendResults"], &results[0]["code"]),
            (&json!(false), &json!(1001))
        );
        let why = results[0]["sendResultsErr"].as_str().expect("a reason");
        assert!(why.contains("column"), "{answer}");
        assert_eq!(ua.recv_json()["response"]["data"]["msg"], "hi");
    }
    // A mark in front, and members that nobody knows.
    let marked = format!(
        "\u{feff}{}",
        json!({"messages": [{"appID": 101, "userID": "ua", "message": "hi", "more": {}}], "v": 2})
    );
    let answer = node.send("/user/sendMessages", "Application/JSON; charset=\"utf-8\"", &marked);
    assert_eq!(answer.json()["data"]["results"], json!([{"sendResults": true}]));
    assert_eq!(ua.recv_json()["response"]["data"]["msg"], "hi");
    // Half an emoji, which JSON.stringify writes when a text was cut.
    let body = r#"{"messages":[{"appID":101,"userID":"ua","message":"cut \ud83d"}]}"#;
    let answer = node.send("/user/sendMessages", "application/json", body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(ua.recv_json()["response"]["data"]["msg"], "cut \u{fffd}");
    let (status, answer) = send_batch(&node, &vec![good.clone(); 1_001].into());
    assert_eq!(status, 400);
    assert_eq!(answer["msg"], "1001 messages in one request, 1000 at most");
    let body = json!({"messages": [good]}).to_string();
    for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
        assert_eq!(node.send("/user/sendMessages", content_type, &body).status, 415);
    }
    ua.expect_silence();
    assert_eq!(send_batch(&node, &vec![good; 1_000].into()).0, 200);
    ua.recv_json();
}

/// Names of the API have the bounds that names of clients have.
#[test]
fn names_that_no_user_can_have_are_refused() {
    let node = Node::start();
    let (user, id) = ("u".repeat(20), "m".repeat(256));
    let code = |answer: &Value| answer["code"].clone();
    let post = |fields: &[(&str, &str)], route: &str| -> Value {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = node.send(route, "application/x-www-form-urlencoded", &body.join("&"));
        serde_json::from_str(&answer.body).expect("JSON")
    };
    let long_user = [("appID", "101"), ("userID", &*user), ("message", "x")];
    let answer = post(&long_user, "/user/sendMessage");
    assert_eq!(code(&answer), 1002, "{answer}");
    assert_eq!(answer["data"]["sendResults"], false, "{answer}");
    // Who sends to all need not be a client.
    assert_eq!(code(&post(&long_user, "/user/sendMessageAll")), 200);
    let long_id = [("appID", "101"), ("userID", "ua"), ("msgID", &*id), ("message", "x")];
    for route in ["/user/sendMessage", "/user/sendMessageAll"] {
        assert_eq!(code(&post(&long_id, route)), 1001, "{route}");
    }
    let longest = [("appID", "101"), ("userID", "ua"), ("msgID", &id[1..]), ("message", "x")];
    assert_eq!(code(&post(&longest, "/user/sendMessage")), 200);
    let (_, answer) = send_batch(&node, &json!([{"appID": 101, "userID": user, "message": "x"}]));
    assert_eq!(answer["data"]["results"][0]["code"], 1002, "{answer}");
    assert_eq!(node.metric("millgate_names_refused_total"), 4.0);
}

#[test]
fn a_msg_id_that_reached_nobody_may_be_used_again_if_configured() {
    for only_delivered in [false, true] {
        let node = Node::with(|config| config.dedup.only_delivered = only_delivered);
        let fields = [("appID", "101"), ("userID", "ua"), ("msgID", "m-1"), ("message", "x")];
        assert_eq!(node.post_data("/user/sendMessage", &fields), json!({"sendResults": false}));
        let mut ua = Client::login(&node, 101, "ua");
        let again = node.post_data("/user/sendMessage", &fields);
        if only_delivered {
            assert_eq!(again, json!({"sendResults": true}));
            assert_eq!(ua.recv_json()["seq"], "m-1");
        } else {
            assert_eq!(again, json!({}), "as in the reference");
        }
        assert_eq!(node.post_data("/user/sendMessage", &fields), json!({}));
        ua.expect_silence();
    }
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
fn what_failed_says_why_and_may_be_tried_again_under_its_msg_id() {
    let node = Node::with(|config| {
        config.limits.outbox_bytes = 4_096;
        config.limits.http_body_bytes = 8_192;
    });
    let mut ua = Client::login(&node, 101, "ua");
    let failed = json!({
        "sendResults": false,
        "sendResultsErr": "the message is larger than limits.http_body_bytes",
    });
    for (route, user, id) in
        [("/user/sendMessage", "ua", "m-1"), ("/user/sendMessageAll", "ub", "m-2")]
    {
        let send = |text: &str| {
            let fields = [("appID", "101"), ("userID", user), ("msgID", id), ("message", text)];
            let part = |(name, value)| {
                format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            };
            let body = fields.map(part).concat() + "--x--\r\n";
            node.send(route, "multipart/form-data; boundary=x", &body).json()["data"].clone()
        };
        // JSON writes six bytes for each.
        let long = "\u{1}".repeat(4_096);
        assert_eq!((send(&long), send(&long)), (failed.clone(), failed.clone()), "{route}");
        assert_eq!(send("short"), json!({"sendResults": true}), "{route}");
        assert_eq!(ua.recv_push("msg")["msg"], "short");
        assert_eq!(send("again"), json!({}), "now it is used up");
    }
    ua.expect_silence();
}

#[test]
fn what_one_caller_sends_arrives_in_its_order() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    for n in 0..300 {
        let text = n.to_string();
        let (route, user) = match n % 3 {
            0 => ("/user/sendMessageAll", "ub"),
            _ => ("/user/sendMessage", "ua"),
        };
        node.post_data(route, &[("appID", "101"), ("userID", user), ("message", &text)]);
    }
    for n in 0..300 {
        assert_eq!(ua.recv_push("msg")["msg"], n.to_string());
    }
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
        assert_eq!(answer.json()["code"], 1001, "{kind}");
        assert_eq!(answer.json()["data"]["sendResultsErr"], "message is missing", "{kind}");
    }
    ua.expect_silence();
}

/// The reference does not say what these come to. Whatever it says stays as it is: a user who is
/// nowhere is `false`, a message to all of an app that does not exist is `true`.
#[test]
fn what_is_missing_has_a_code() {
    let node = Node::start();
    let mut ua = Client::login(&node, 101, "ua");
    let form = "application/x-www-form-urlencoded";
    let to_one = [
        ("appID=101&userID=ua", 1001, "message is missing"),
        ("", 1001, "message is missing"),
        ("appID=101&message=x", 1002, "userID is missing"),
        ("appID=101&userID=&message=x", 1002, "userID is missing"),
        ("appID=999&userID=ua&message=x", 1003, "there is no such app"),
        ("userID=ua&message=x", 1003, "appID is missing"),
        ("appID=x&userID=ua&message=x", 1003, "appID is missing"),
    ];
    let to_all = [("appID=101", 1001, "message is missing")];
    for (route, cases) in
        [("/user/sendMessage", to_one.as_slice()), ("/user/sendMessageAll", &to_all)]
    {
        for (body, code, why) in cases {
            // A msgID is not used up by what cannot be sent.
            let answer = node.send(route, form, &format!("{body}&msgID=m-1"));
            assert_eq!((answer.status, &answer.json()["code"]), (200, &json!(code)), "{body}");
            let data = answer.json()["data"].clone();
            assert_eq!((&data["sendResults"], &data["code"]), (&json!(false), &json!(code)));
            assert!(data["sendResultsErr"].as_str().expect("words").contains(why), "{data}");
        }
    }
    let items = json!([
        {"appID": 101, "userID": "ua"},
        {"appID": 101, "userID": "", "message": "x"},
        {"userID": "ua", "message": "x"},
        {"appID": 999, "userID": "ua", "message": "x"},
        {"appID": 101, "userID": "ua", "message": "batch"},
    ]);
    let (_, answer) = send_batch(&node, &items);
    let codes: Vec<_> = answer["data"]["results"].as_array().expect("a list").iter().collect();
    let codes: Vec<_> = codes.iter().map(|result| result["code"].as_u64()).collect();
    assert_eq!(codes, [Some(1001), Some(1002), Some(1001), Some(1003), None]);
    assert_eq!(ua.recv_push("msg")["msg"], "batch");
    // An empty text is a text.
    let answer = node.send("/user/sendMessage", form, "appID=101&userID=ua&message=&msgID=m-1");
    assert_eq!(answer.json()["data"], json!({"sendResults": true}));
    assert_eq!(ua.recv_push("msg")["msg"], "");
    ua.expect_silence();
}
