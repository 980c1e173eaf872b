//! Finding connections: whose they are, where from.

use crate::keys::ask;
use crate::support::{Client, Node};
use serde_json::{Value, json};

fn find(node: &Node, query: &str) -> Value {
    node.get_data(&format!("/admin/connections?{query}"))
}

fn users(found: &Value) -> Vec<&str> {
    let list = found["connections"].as_array().expect("a list");
    list.iter().map(|one| one["userID"].as_str().unwrap_or("nobody")).collect()
}

#[test]
fn connections_are_found_by_user_app_address_and_number() {
    let node = Node::start();
    let mut ann = Client::login(&node, 101, "ann");
    let _same_name = Client::login(&node, 102, "ann");
    let _bob = Client::login(&node, 101, "bob");
    let _stranger = Client::connect(&node);
    let found = find(&node, "userID=ann&appID=101");
    let own = ann.socket().local_addr().expect("bound").to_string();
    let one = &found["connections"][0];
    assert_eq!((users(&found), &found["partial"]), (vec!["ann"], &json!(false)), "{found}");
    assert_eq!(
        (&one["client"], &one["waitingBytes"], &one["appID"]),
        (&json!(own), &json!(0), &json!(101))
    );
    assert_eq!(users(&find(&node, "userID=ann")), ["ann", "ann"]);
    let room = find(&node, "appID=101");
    let mut names = users(&room);
    names.sort_unstable();
    assert_eq!(names, ["ann", "bob"]);
    assert_eq!(users(&find(&node, "address=127.0.0.1")).len(), 4);
    assert_eq!(users(&find(&node, "address=203.0.113.7")).len(), 0);
    let conn = one["conn"].as_str().expect("text");
    assert_eq!(users(&find(&node, &format!("conn={conn}"))), ["ann"]);
    assert_eq!(users(&find(&node, "conn=0.99.99")).len(), 0);
    assert_eq!(users(&find(&node, "conn=99.0.0")).len(), 0, "there is no such reactor");
    // Nothing has been done to them.
    assert_eq!(ann.recv_push("enter")["from"], "bob");
    ann.request_reply("ping", json!({}));
}

#[test]
fn a_search_is_bounded_and_for_operators() {
    let node = Node::start();
    let _many: Vec<_> = (0..150).map(|n| Client::login(&node, 103, &format!("u{n}"))).collect();
    let found = find(&node, "appID=103");
    assert_eq!((users(&found).len(), &found["partial"]), (100, &json!(true)));
    for query in ["", "userID=a&conn=0.1.1", "address=x"] {
        let answer = node.request("GET", &format!("/admin/connections?{query}"));
        assert_eq!(answer.status, 400, "{query}");
    }
    let elsewhere = "Sec-Fetch-Site: cross-site\r\n";
    assert_eq!(ask(&node, "GET /admin/connections?appID=103", elsewhere, "").status, 403);
}
