//! Tokens at the login and at the handshake.

use crate::keys::{ask, key};
use crate::support::{Client, Message, Node};
use millgate::auth::{Issuer, Order};
use millgate::config::{Config, Jwt, Secret};
use serde_json::{Value, json};
use std::net::Shutdown;
use std::time::Duration;

const SECRET: &str = "a secret of thirty-two bytes or so";

pub fn jwt() -> Jwt {
    Jwt { secret: Secret::from(SECRET), leeway: Duration::ZERO, ..Jwt::default() }
}

pub fn node(change: impl FnOnce(&mut Config)) -> Node {
    Node::with(|config| {
        config.auth.jwt = Some(jwt());
        change(config);
    })
}

/// A token that is good for so many seconds from now, or was so long ago.
pub fn token_for(user: &str, apps: &[u32], seconds: i64) -> String {
    let now = millgate::clock::unix_seconds();
    let issued = now.saturating_add_signed(seconds.min(0));
    let order = Order {
        user: user.into(),
        apps: apps.to_vec(),
        ttl_seconds: seconds.max(0).unsigned_abs(),
        key_id: None,
    };
    Issuer::new(&jwt(), None).expect("an issuer").sign(&order, issued).expect("a token")
}

pub fn token(user: &str) -> String {
    token_for(user, &[101], 3_600)
}

/// Logs in with this token; returns the code.
pub fn login(client: &mut Client, user: &str, token: &str) -> Value {
    let data = json!({"userID": user, "appID": 101, "serviceToken": token});
    client.request_reply("login", data)["response"]["code"].clone()
}

#[test]
fn a_login_needs_a_token_of_its_user() {
    let node = node(|_| {});
    let mut client = Client::connect(&node);
    assert_eq!(login(&mut client, "ann", &token("bob")), 1003);
    assert_eq!(login(&mut client, "ann", &token("ann")), 200);
    assert_eq!(node.get_data("/user/online?userID=ann")["online"], true);
    assert_eq!(node.metric("millgate_token_faults_total{reason=\"subject\"}"), 1.0);
    let mut other = Client::connect(&node);
    assert_eq!(login(&mut other, "cat", &token_for("cat", &[102], 60)), 1003);
    assert_eq!(login(&mut other, "cat", &token_for("cat", &[102, 101], 60)), 200);
}

#[test]
fn guesses_are_bounded() {
    let node = node(|_| {});
    let mut client = Client::connect(&node);
    assert_eq!(login(&mut client, "ann", ""), 1003);
    assert_eq!(login(&mut client, "ann", "x"), 1003);
    assert_eq!(login(&mut client, "ann", &token_for("ann", &[101], -60)), 1003);
    client.expect_close(3500);
    node.await_metric("millgate_closes_total{cause=\"bad_token\"}", |closes| closes == 1.0);
    for reason in ["missing", "malformed", "expired"] {
        let faults = format!("millgate_token_faults_total{{reason=\"{reason}\"}}");
        assert_eq!(node.metric(&faults), 1.0, "{reason}");
    }
    // All in one segment: what follows the third is not looked at.
    let mut client = Client::connect(&node);
    let guess = json!({"seq": "1", "cmd": "login", "data": {"userID": "a", "appID": 101, "serviceToken": "x"}});
    let frame = crate::support::client_frame(0x81, guess.to_string().as_bytes());
    client.send_raw(&frame.repeat(50));
    for _ in 0..3 {
        assert_eq!(client.recv_json()["response"]["code"], 1003);
    }
    client.expect_close(3500);
    assert_eq!(node.metric("millgate_token_faults_total{reason=\"malformed\"}"), 4.0);
}

/// Guesses are counted up to the next good token, not for the life of a connection.
#[test]
fn a_good_token_ends_the_count_of_bad_ones() {
    let node = node(|_| {});
    let mut client = Client::connect(&node);
    for _ in 0..2 {
        assert_eq!(login(&mut client, "ann", "x"), 1003);
    }
    assert_eq!(login(&mut client, "ann", &token("ann")), 200);
    for _ in 0..2 {
        assert_eq!(login(&mut client, "ann", "x"), 1003);
    }
    client.expect_silence();
    assert_eq!(login(&mut client, "ann", "x"), 1003);
    client.expect_close(3500);
}

/// A handshake with these header lines; the head of its answer.
fn handshake(node: &Node, target: &str, lines: &str) -> (Client, String) {
    let mut client = Client::tcp(node.websocket());
    let request = String::from_utf8(Client::request(target)).expect("text");
    client.send_raw(request.replacen("\r\n", &format!("\r\n{lines}"), 1).as_bytes());
    let head = client.read_head();
    (client, head)
}

#[test]
fn a_token_of_the_handshake_lets_its_user_in() {
    let node = node(|_| {});
    let good = token("ann");
    for (target, lines, selects) in [
        ("/acc".to_owned(), format!("Authorization: Bearer {good}\r\n"), false),
        (format!("/acc?x=1&token={good}"), String::new(), false),
        ("/acc".to_owned(), format!("Sec-WebSocket-Protocol: millgate.token, {good}\r\n"), true),
    ] {
        let (mut client, head) = handshake(&node, &target, &lines);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(!head.contains(&good), "the token does not come back: {head}");
        assert_eq!(head.contains("Sec-WebSocket-Protocol: millgate.token\r\n"), selects, "{head}");
        assert_eq!(login(&mut client, "bob", ""), 1003, "for somebody else it is none");
        assert_eq!(login(&mut client, "ann", ""), 200);
    }
}

#[test]
fn a_bad_token_of_the_handshake_is_refused() {
    let node = node(|_| {});
    let old = token_for("ann", &[101], -60);
    for (target, lines) in [
        ("/acc".to_owned(), format!("Authorization: Bearer {old}\r\n")),
        (format!("/acc?token={old}"), String::new()),
        ("/acc".to_owned(), format!("Sec-WebSocket-Protocol: millgate.token, {old}\r\n")),
    ] {
        let (_, head) = handshake(&node, &target, &lines);
        assert!(head.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{head}");
        assert!(head.contains("WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"), "{head}");
        assert!(!head.contains(&old), "{head}");
    }
    assert_eq!(node.metric("millgate_token_faults_total{reason=\"expired\"}"), 3.0);
    assert_eq!(node.metric("millgate_closes_total{cause=\"handshake_refused\"}"), 3.0);
    // Other schemes are between the client and its proxy; the echo endpoint has no users.
    let (_, head) = handshake(&node, "/acc", "Authorization: Basic dTpw\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (_, head) = handshake(&node, "/echo?token=x", "");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[test]
fn where_no_tokens_are_wanted_a_handshake_with_one_is_as_ever() {
    let node = Node::start();
    let (mut client, head) =
        handshake(&node, "/acc?token=x", "Sec-WebSocket-Protocol: millgate.token, x\r\n");
    assert!(
        head.starts_with("HTTP/1.1 101 ") && !head.contains("Sec-WebSocket-Protocol"),
        "{head}"
    );
    client.log_in(101, "ann");
}

#[test]
fn an_end_of_the_token_is_an_end_of_the_connection() {
    let node = node(|_| {});
    // Who never logs in has the time of the token of the handshake.
    let short = token_for("bob", &[101], SOON);
    let (mut idle, _) = handshake(&node, &format!("/acc?token={short}"), "");
    let mut shown = Client::connect(&node);
    assert_eq!(login(&mut shown, "ann", &token_for("ann", &[101], SOON)), 200);
    let mut lasting = Client::connect(&node);
    assert_eq!(login(&mut lasting, "cat", &token("cat")), 200);
    idle.expect_close(3005);
    // The others hear of ann, who hears of them.
    assert_eq!(lasting.recv_push("exit")["from"], "ann");
    assert_eq!(shown.recv_push("enter")["from"], "cat");
    shown.expect_close(3005);
    node.await_metric("millgate_closes_total{cause=\"expired\"}", |closes| closes == 2.0);
    lasting.expect_silence();
}

/// Long enough to log in on a machine that is busy with something else, in seconds.
const SOON: i64 = 4;

#[test]
fn a_new_token_prolongs_the_connection() {
    let node = node(|_| {});
    let mut renewed = Client::connect(&node);
    assert_eq!(login(&mut renewed, "ann", &token_for("ann", &[101], SOON)), 200);
    let mut left = Client::connect(&node);
    assert_eq!(login(&mut left, "bob", &token_for("bob", &[101], SOON + 1)), 200);
    assert_eq!(renewed.recv_push("enter")["from"], "bob");
    let data = json!({"userID": "ann", "appID": 101, "serviceToken": token("ann")});
    let renewal = json!({"seq": "1", "cmd": "login", "data": data}).to_string();
    // In one segment, and so within one second.
    renewed.send_raw(&crate::support::client_frame(0x81, renewal.as_bytes()).repeat(2));
    assert_eq!(renewed.recv_json()["response"]["code"], 200);
    assert_eq!(renewed.recv_json()["response"]["code"], 1004, "one look a second");
    assert_eq!(login(&mut renewed, "bob", &token("bob")), 1009, "nobody becomes somebody else");
    assert_eq!(node.metric("millgate_logins_total"), 2.0, "a renewal is no login");
    // Somebody whose token ends later than ann's first one.
    left.expect_close(3005);
    assert_eq!(renewed.recv_push("exit")["from"], "bob");
    renewed.expect_silence();
}

#[test]
fn a_storm_of_public_key_tokens_is_served_in_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let [public, private] = ["public", "private"].map(|name| directory.path().join(name));
    std::fs::write(&public, pair.public_key_pem()).expect("written");
    std::fs::write(&private, pair.serialize_pem()).expect("written");
    let jwt = Jwt { public_key: public, ..Jwt::default() };
    let issuer = Issuer::new(&jwt, Some(&private)).expect("an issuer");
    let node = Node::with(|config| {
        config.auth.jwt = Some(jwt);
        config.reactor.threads = 1;
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
    });
    let now = millgate::clock::unix_seconds();
    // Far more than a turn verifies; each sends handshake and login in one go.
    let mut clients: Vec<Client> = (0..300)
        .map(|number| {
            let user = format!("user-{number}");
            let order =
                Order { user: user.clone(), apps: vec![101], ttl_seconds: 60, key_id: None };
            let token = issuer.sign(&order, now).expect("a token");
            let data = json!({"userID": user, "appID": 101, "serviceToken": token});
            let login = json!({"seq": "1", "cmd": "login", "data": data}).to_string();
            let mut client = Client::tcp(node.websocket());
            let mut bytes = Client::request("/acc");
            bytes.extend(crate::support::client_frame(0x81, login.as_bytes()));
            client.send_raw(&bytes);
            client
        })
        .collect();
    for client in &mut clients {
        client.read_head();
        assert_eq!(client.recv_json()["response"]["code"], 200);
    }
    assert_eq!(node.get_data("/user/list?appID=101&limit=1")["userCount"], 300);
    // One that leaves while it waits is missed by nobody.
    for client in &clients {
        let _gone = client.socket().shutdown(Shutdown::Both);
    }
    node.await_metric("millgate_connections", |connections| connections == 0.0);
}

#[test]
fn a_user_may_ask_who_is_in_the_own_room() {
    let (_, line) = key("back-end", "read");
    let node = node(|config| config.auth.keys = vec![line]);
    let list = |app: u32, token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        ask(&node, &format!("GET /user/list?appID={app}"), &header, "").status
    };
    assert_eq!(list(101, &token("ann")), 200);
    assert_eq!(list(102, &token("ann")), 401, "not of another room");
    assert_eq!(list(101, &token_for("ann", &[101], -1)), 401);
    let header = format!("Authorization: Bearer {}\r\n", token("ann"));
    for other in
        ["GET /system/state", "GET /user/online?userID=bob&appID=101", "POST /user/sendMessage"]
    {
        assert_eq!(ask(&node, other, &header, "appID=101").status, 401, "{other}");
    }
}

/// The reply to a login comes before anything that it causes.
#[test]
fn messages_arrive_as_without_tokens() {
    let node = node(|_| {});
    let mut ann = Client::connect(&node);
    assert_eq!(login(&mut ann, "ann", &token("ann")), 200);
    let sent = node
        .post_data("/user/sendMessage", &[("appID", "101"), ("userID", "ann"), ("message", "hi")]);
    assert_eq!(sent["sendResults"], true);
    assert_eq!(ann.recv_push("msg")["msg"], "hi");
    ann.send_frame(0x89, b"x");
    assert_eq!(ann.recv(), Message::Pong(b"x".to_vec()));
}
