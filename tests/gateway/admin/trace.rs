//! The flight recorder, as its caller reads it.

use crate::support::{Client, Node};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::time::Duration;

/// A trace that is being read.
pub struct Trace(BufReader<ureq::BodyReader<'static>>);

impl Trace {
    /// Begins one; who is meant and is here is watched when the first line comes.
    pub fn begin(node: &Node, fields: &[(&str, &str)]) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30)));
        let agent: ureq::Agent = config.build().into();
        let url = format!("http://{}/admin/trace", node.http());
        let request = agent.post(url).header("X-API-Key", node.admin_key());
        let response = request.send_form(fields.iter().copied()).expect("an answer");
        Self(BufReader::new(response.into_body().into_reader()))
    }

    /// The next line, whatever it is; `None` at the end.
    pub fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).expect("a line in time");
        (read > 0).then(|| serde_json::from_str(&line).expect("JSON"))
    }

    /// The next line, which must tell of this; signs of life are passed over.
    pub fn line(&mut self, event: &str) -> Value {
        loop {
            let line = self.next().expect("another line");
            if line["event"] != "alive" {
                assert_eq!(line["event"], event, "{line}");
                return line;
            }
        }
    }
}

#[test]
fn frames_are_told_both_ways_with_their_sizes_alone() {
    let node = Node::start();
    let mut client = Client::login(&node, 101, "ann");
    let mut other = Client::login(&node, 102, "bob");
    let mut trace = Trace::begin(&node, &[("userID", "ann"), ("appID", "101")]);
    let begin = trace.line("begin");
    assert_eq!((&begin["userID"], &begin["appID"]), (&json!("ann"), &json!(101)));
    let own = client.socket().local_addr().expect("bound").to_string();
    assert_eq!((&begin["client"], &begin["waitingBytes"]), (&json!(own), &json!(0)));
    other.request_reply("ping", json!({}));
    client.send_text(r#"{"seq":"1","cmd":"ping"}"#);
    let reply = client.recv_json().to_string();
    let received = trace.line("in");
    assert_eq!((&received["kind"], &received["bytes"]), (&json!("text"), &json!(24)));
    assert_eq!(received.get("content"), None, "not without leave: {received}");
    let sent = trace.line("out");
    assert_eq!((&sent["kind"], &sent["bytes"]), (&json!("text"), &json!(reply.len())));
    let fields = [("appID", "101"), ("userID", "ann"), ("msgID", "m"), ("message", "hello")];
    node.post_data("/user/sendMessage", &fields);
    client.recv_push("msg");
    let push = trace.line("out");
    assert_eq!((&push["kind"], &push["waitingBytes"]), (&json!("text"), &json!(0)));
    client.send_frame(0x89, b"fence");
    assert_eq!(trace.line("in")["kind"], "ping");
    assert_eq!(trace.line("out")["kind"], "pong");
    client.recv();
    client.close();
    assert_eq!(trace.line("in")["kind"], "close");
    assert_eq!(trace.line("out")["kind"], "close");
    assert_eq!(trace.line("close")["cause"], "client_close");
}

#[test]
fn contents_are_told_where_that_is_allowed() {
    let node = Node::with(|config| config.admin.trace_content = true);
    let mut trace = Trace::begin(&node, &[("userID", "ann")]);
    let mut client = Client::login(&node, 101, "ann");
    // Watched from the login on: it is the answer to it that comes next.
    assert_eq!(trace.line("begin")["userID"], "ann");
    assert!(trace.line("out")["content"].as_str().expect("text").contains("\"login\""));
    client.send_text(r#"{"cmd":"ping","seq":"</script>"}"#);
    assert_eq!(trace.line("in")["content"], r#"{"cmd":"ping","seq":"</script>"}"#);
    node.reload(|config| config.admin.trace_content = false);
    let mut blind = Trace::begin(&node, &[("userID", "ann")]);
    blind.line("begin");
    client.recv();
    client.send_text("x");
    assert_eq!(blind.line("in").get("content"), None);
}

#[test]
fn a_network_is_watched_from_the_handshake_on() {
    let node = Node::start();
    let mut trace = Trace::begin(&node, &[("address", "127.0.0.1"), ("limit", "4")]);
    let client = Client::login(&node, 101, "ann");
    assert_eq!(trace.line("begin").get("userID"), None);
    assert_eq!(trace.line("out")["kind"], "http");
    assert_eq!(trace.line("in")["kind"], "text");
    assert_eq!(trace.line("login")["userID"], "ann");
    let end = trace.line("end");
    assert_eq!((&end["why"], &end["lost"]), (&json!("limit"), &json!(0)));
    assert_eq!(trace.next(), None);
    drop(client);
}

#[test]
fn a_trace_ends_by_its_time_or_with_the_node() {
    let node = Node::start();
    let mut short = Trace::begin(&node, &[("userID", "nobody"), ("seconds", "0")]);
    assert_eq!(short.line("end")["why"], "seconds");
    let mut long = Trace::begin(&node, &[("userID", "nobody"), ("seconds", "1h")]);
    node.post_data("/admin/drain", &[("grace", "0")]);
    assert_eq!(long.line("end")["why"], "the node has stopped");
}

#[test]
fn there_are_few_traces_at_once_and_a_place_is_free_when_a_caller_goes() {
    let node = Node::start();
    let mut client = Client::login(&node, 101, "ann");
    let traces: Vec<Trace> = (0..4)
        .map(|_| {
            let mut trace = Trace::begin(&node, &[("userID", "ann")]);
            trace.line("begin");
            trace
        })
        .collect();
    assert_eq!(node.post("/admin/trace", &[("userID", "ann")]).0, 429);
    drop(traces);
    // The server notices when it has something to tell them.
    for _ in 0..2_000 {
        client.expect_silence();
        if node.post("/admin/trace", &[("userID", "ann"), ("seconds", "0")]).0 == 200 {
            return;
        }
    }
    panic!("no place becomes free");
}

#[test]
fn a_trace_says_whom_it_means() {
    let node = Node::start();
    for fields in
        [&[][..], &[("userID", "a"), ("limit", "many")], &[("userID", "a"), ("seconds", "2h")]]
    {
        assert_eq!(node.post("/admin/trace", fields).0, 400, "{fields:?}");
    }
}
