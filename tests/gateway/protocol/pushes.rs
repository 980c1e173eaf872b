//! Who is told of whom, and what exactly.
//!
//! Where something must not come, the node has one reactor: it writes to all
//! members of a room in one turn, so that whoever should have got nothing has
//! got it, if at all, by the time that a rightful receiver has read his.

use crate::support::{Client, Node};
use millgate::config::Displaced;
use serde_json::{Value, json};

fn one_reactor() -> Node {
    Node::with(|config| config.reactor.threads = 1)
}

/// The next message must be this announcement, every field of it; returns its seq.
fn expect_announcement(client: &mut Client, cmd: &str, msg: &str, from: &str) -> u64 {
    let push = client.recv_json();
    let seq = push["seq"].as_str().unwrap_or_default();
    let data = json!({"target": "", "type": "text", "msg": msg, "from": from});
    let response = json!({"code": 200, "codeMsg": "Ok", "data": data});
    assert_eq!(push, json!({"seq": seq, "cmd": cmd, "response": response}));
    assert!(seq.bytes().all(|digit| digit.is_ascii_digit()), "{push}");
    seq.parse().expect("a decimal id")
}

fn expect_enter(client: &mut Client, from: &str) -> u64 {
    expect_announcement(client, "enter", "哈喽~", from)
}

fn expect_exit(client: &mut Client, from: &str) -> u64 {
    expect_announcement(client, "exit", "用户已经离开~", from)
}

fn code(reply: &Value) -> &Value {
    &reply["response"]["code"]
}

#[test]
fn arrivals_and_departures_are_told_to_the_room() {
    for threads in [1, 3] {
        let node = Node::with(|config| config.reactor.threads = threads);
        let mut watchers: Vec<Client> = Vec::new();
        let names: Vec<String> = (0..6).map(|n| format!("\"w\\{n}é")).collect();
        let mut last_seq = 0;
        for name in &names {
            let newcomer = Client::login(&node, 101, name);
            for watcher in &mut watchers {
                let seq = expect_enter(watcher, name);
                assert!(seq >= last_seq, "ids grow");
                last_seq = seq;
            }
            watchers.push(newcomer);
        }
        // By a close, by an end without one, and by a reset.
        watchers.pop().expect("the sixth").close();
        watchers.iter_mut().for_each(|watcher| assert!(expect_exit(watcher, &names[5]) > last_seq));
        drop(watchers.pop());
        watchers.iter_mut().for_each(|watcher| assert!(expect_exit(watcher, &names[4]) > last_seq));
        let mut broken = watchers.pop().expect("the fourth");
        broken.send_frame(0x83, b"");
        watchers.iter_mut().for_each(|watcher| assert!(expect_exit(watcher, &names[3]) > last_seq));
        broken.expect_close(1002);
        watchers.iter_mut().for_each(Client::expect_silence);
    }
}

#[test]
fn only_the_others_of_the_room_are_told() {
    let node = one_reactor();
    let mut stranger = Client::connect(&node);
    let mut elsewhere = Client::login(&node, 102, "u1");
    let mut echo = Client::connect_to(node.websocket(), "/echo");
    let mut witness = Client::login(&node, 101, "witness");
    let mut newcomer = Client::login(&node, 101, "u1");
    expect_enter(&mut witness, "u1");
    newcomer.expect_silence();
    stranger.expect_silence();
    elsewhere.expect_silence();
    newcomer.close();
    expect_exit(&mut witness, "u1");
    for client in [&mut stranger, &mut elsewhere, &mut echo, &mut witness] {
        client.expect_silence();
    }
    // Who never logged in leaves no trace, refused logins included.
    assert_eq!(*code(&stranger.request_reply("login", json!({"userID": "", "appID": 101}))), 1002);
    stranger.close();
    echo.close();
    elsewhere.close();
    witness.expect_silence();
}

#[test]
fn the_same_user_on_two_apps_is_on_two_platforms() {
    let node = one_reactor();
    let mut web = Client::login(&node, 101, "ua");
    let mut phone = Client::login(&node, 102, "ua");
    web.expect_silence();
    let mut on_web = Client::login(&node, 101, "ub");
    expect_enter(&mut web, "ub");
    let mut on_phone = Client::login(&node, 102, "uc");
    expect_enter(&mut phone, "uc");
    web.expect_silence();
    phone.close();
    expect_exit(&mut on_phone, "ua");
    on_web.expect_silence();
    assert_eq!(*code(&web.request_reply("heartbeat", json!({}))), 200);
}

#[test]
fn the_newest_login_takes_the_registration_over() {
    let node = one_reactor();
    let mut witness = Client::login(&node, 101, "witness");
    let mut older = Client::login(&node, 101, "ua");
    expect_enter(&mut witness, "ua");
    let mut newer = Client::login(&node, 101, "ua");
    expect_enter(&mut witness, "ua");
    older.expect_displaced("ua");
    older.expect_silence();

    let mut third = Client::login(&node, 101, "uc");
    expect_enter(&mut witness, "uc");
    expect_enter(&mut newer, "uc");
    // It receives nothing, but it may stay, and it is logged in.
    older.expect_silence();
    assert_eq!(*code(&older.request_reply("heartbeat", json!({}))), 200);
    let again = json!({"userID": "ua", "appID": 101});
    assert_eq!(*code(&older.request_reply("login", again)), 1009);
    let other = json!({"userID": "ux", "appID": 102});
    assert_eq!(*code(&older.request_reply("login", other)), 1009);

    older.close();
    let mut fence = Client::login(&node, 101, "fence");
    for client in [&mut witness, &mut newer, &mut third] {
        expect_enter(client, "fence");
    }
    newer.close();
    for client in [&mut witness, &mut third, &mut fence] {
        expect_exit(client, "ua");
    }
    fence.close();
    expect_exit(&mut witness, "fence");
}

/// A login that says, with `understands`, what its client knows.
fn login_understanding(node: &Node, understands: &Value) -> Client {
    let mut client = Client::connect(node);
    let data = json!({"userID": "ua", "appID": 101, "understands": understands});
    assert_eq!(*code(&client.request_reply("login", data)), 200, "{understands}");
    client
}

#[test]
fn who_is_displaced_is_told_once_and_closed_if_it_understands() {
    let node = Node::with(|config| config.reactor.threads = 3);
    // The reference ignores the key, so no value of it is a mistake.
    for other in
        [json!(null), json!("displaced"), json!({}), json!([7]), json!(["else"]), json!([])]
    {
        let mut older = login_understanding(&node, &other);
        let mut newer = login_understanding(&node, &json!(["else", "displaced"]));
        older.expect_displaced("ua");
        assert_eq!(*code(&older.request_reply("heartbeat", json!({}))), 200);
        older.expect_silence();
        let mut newest = Client::login(&node, 101, "ua");
        newer.expect_displaced("ua");
        newer.expect_close(3504);
        older.expect_silence();
        newest.expect_silence();
    }
    assert_eq!(node.metric("millgate_closes_total{cause=\"displaced\"}"), 6.0);
}

#[test]
fn what_the_displaced_get_is_configured() {
    for (displaced, is_told, is_closed) in
        [(Displaced::Silent, false, false), (Displaced::Close, true, true)]
    {
        let node = Node::with(|config| config.protocol.displaced = displaced);
        let mut older = login_understanding(&node, &json!(null));
        let mut newer = Client::login(&node, 101, "ua");
        if is_told {
            older.expect_displaced("ua");
        }
        if is_closed {
            older.expect_close(3504);
        } else {
            older.expect_silence();
        }
        newer.expect_silence();
    }
}

/// The older connection may be owned by another reactor.
#[test]
fn takeovers_work_across_reactors() {
    let node = Node::with(|config| config.reactor.threads = 4);
    let mut witness = Client::login(&node, 104, "witness");
    let mut holders: Vec<Client> = Vec::new();
    for _ in 0..20 {
        holders.push(Client::login(&node, 104, "ua"));
        expect_enter(&mut witness, "ua");
    }
    let mut registered = holders.pop().expect("twenty");
    let mut newcomer = Client::login(&node, 104, "ub");
    expect_enter(&mut registered, "ub");
    expect_enter(&mut witness, "ub");
    for mut holder in holders {
        assert_eq!(*code(&holder.request_reply("heartbeat", json!({}))), 200);
        holder.close();
    }
    registered.close();
    expect_exit(&mut witness, "ua");
    expect_exit(&mut newcomer, "ua");
    newcomer.close();
    expect_exit(&mut witness, "ub");
}

#[test]
fn a_large_room_gets_a_digest() {
    let node = Node::with(|config| config.announce.exact_up_to = 2);
    let mut first = Client::login(&node, 101, "u1");
    let mut second = Client::login(&node, 101, "u2");
    expect_enter(&mut first, "u2");
    let mut third = Client::login(&node, 101, "u3");
    for client in [&mut first, &mut second, &mut third] {
        let push = client.recv_json();
        let data = json!({"joined": 1, "left": 0, "online": 3});
        let response = json!({"code": 200, "codeMsg": "Ok", "data": data});
        assert_eq!(push, json!({"seq": push["seq"], "cmd": "presence", "response": response}));
        assert!(push["seq"].as_str().is_some_and(|seq| seq.parse::<u64>().is_ok()), "{push}");
    }
    // Other rooms are as small as before.
    let mut other = Client::login(&node, 102, "u1");
    Client::login(&node, 102, "u2").close();
    expect_enter(&mut other, "u2");
    expect_exit(&mut other, "u2");
    // Four are left, then three: told in one digest or two, and in no other way.
    let fourth = Client::login(&node, 101, "u4");
    let fifth = Client::login(&node, 101, "u5");
    fifth.close();
    let (mut joined, mut left, mut online) = (0, 0, 0);
    while (joined, left) != (2, 1) {
        let data = first.recv_push("presence");
        joined += data["joined"].as_u64().expect("a number");
        left += data["left"].as_u64().expect("a number");
        online = data["online"].as_u64().expect("a number");
    }
    assert_eq!(online, 4);
    drop(fourth);
}

#[test]
fn a_room_that_shrinks_is_told_exactly_again() {
    let node = Node::with(|config| {
        config.announce.exact_up_to = 2;
        config.announce.digests_per_second = 0;
        config.reactor.threads = 1;
    });
    let mut first = Client::login(&node, 101, "u1");
    let mut second = Client::login(&node, 101, "u2");
    expect_enter(&mut first, "u2");
    let third = Client::login(&node, 101, "u3");
    let fourth = Client::login(&node, 101, "u4");
    // Three are left, which is above two; then two are.
    third.close();
    fourth.close();
    expect_exit(&mut first, "u4");
    expect_exit(&mut second, "u4");
    first.expect_silence();
    second.expect_silence();
}

#[test]
fn announcements_can_be_turned_off() {
    let node = Node::with(|config| {
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
        config.reactor.threads = 1;
    });
    let mut watcher = Client::login(&node, 101, "u1");
    let other = Client::login(&node, 101, "u2");
    other.close();
    let mut last = Client::login(&node, 101, "u3");
    watcher.expect_silence();
    last.expect_silence();
}

#[test]
fn a_message_reaches_the_addressee_on_the_platform_named() {
    let node = one_reactor();
    let mut stranger = Client::connect(&node);
    let mut phone = Client::login(&node, 102, "ua");
    let mut older = Client::login(&node, 101, "ua");
    let mut web = Client::login(&node, 101, "ua");
    let mut other = Client::login(&node, 101, "ub");
    expect_enter(&mut web, "ub");
    let text = "\"你好\" <b>\\ \u{1f600}\n";
    older.expect_displaced("ua");
    let fields = [("appID", "101"), ("userID", "ua"), ("msgID", "m-1"), ("message", text)];
    assert_eq!(node.post_data("/user/sendMessage", &fields), json!({"sendResults": true}));
    let data = json!({"target": "", "type": "text", "msg": text, "from": "ua"});
    let response = json!({"code": 200, "codeMsg": "Ok", "data": data});
    assert_eq!(web.recv_json(), json!({"seq": "m-1", "cmd": "msg", "response": response}));
    for client in [&mut stranger, &mut phone, &mut older, &mut other, &mut web] {
        client.expect_silence();
    }
}

#[test]
fn a_message_to_all_reaches_every_user_of_the_app_but_the_sender() {
    let node = one_reactor();
    let mut stranger = Client::connect(&node);
    let mut elsewhere = Client::login(&node, 102, "ub");
    let mut older = Client::login(&node, 101, "ub");
    let mut sender = Client::login(&node, 101, "ua");
    expect_enter(&mut older, "ua");
    let mut newer = Client::login(&node, 101, "ub");
    expect_enter(&mut sender, "ub");
    older.expect_displaced("ub");
    let fields = [("appID", "101"), ("userID", "ua"), ("msgID", "m-2"), ("message", "hello")];
    assert_eq!(node.post_data("/user/sendMessageAll", &fields), json!({"sendResults": true}));
    let data = json!({"target": "", "type": "text", "msg": "hello", "from": "ua"});
    let response = json!({"code": 200, "codeMsg": "Ok", "data": data});
    assert_eq!(newer.recv_json(), json!({"seq": "m-2", "cmd": "msg", "response": response}));
    for client in [&mut stranger, &mut elsewhere, &mut older, &mut sender, &mut newer] {
        client.expect_silence();
    }
}
