//! What agents and coordinators refuse, in one line each.

use crate::agent::Agent;
use crate::lab::{Echo, bench, refusal};
use std::io::{Read, Write};
use std::net::TcpStream;

const KEY: &str = "a key of more than sixteen bytes";

#[test]
fn an_agent_that_others_reach_needs_a_key() {
    let mut open = bench(&["agent", "--listen", "0.0.0.0:0"]);
    let output = open.output().unwrap();
    assert_eq!(output.status.code(), Some(104));
    assert!(refusal(&output).contains("needs a key"));
    let output = open.env("MILLGATE_BENCH_KEY", "short").output().unwrap();
    assert_eq!(output.status.code(), Some(104));
    assert!(refusal(&output).contains("at least 16 bytes"));
}

#[test]
fn another_key_opens_nothing() {
    let agent = Agent::start(Some(KEY));
    for key in [None, Some("another key of more than sixteen bytes")] {
        let mut lead = bench(&["hold", "--agents", &agent.address]);
        key.map(|key| lead.env("MILLGATE_BENCH_KEY", key));
        let output = lead.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(refusal(&output).contains("has another key"));
    }
}

/// What an agent says to bytes after its greeting.
fn after_greeting(agent: &Agent, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(&agent.address).unwrap();
    let mut heard = String::new();
    // It may hang up before it has read all: that is its right.
    let _sent = stream.write_all(bytes);
    let _reset = stream.read_to_string(&mut heard);
    heard
}

#[test]
fn strangers_are_hung_up_on() {
    let agent = Agent::start(None);
    let request = format!("POST / HTTP/1.1\r\nHost: {}\r\n\r\n{}", agent.address, "x".repeat(200));
    let heard = after_greeting(&agent, request.as_bytes());
    assert!(heard.lines().count() <= 1 && heard.starts_with("millgate-agent/1 "), "{heard}");
    // A greeting, and then a job whose seal is none.
    let greeting = format!("millgate-agent/1 {}\n", "0".repeat(32));
    let job = format!("{} {{\"job\":[\"hold\"]}}\n", "0".repeat(64));
    let heard = after_greeting(&agent, format!("{greeting}{job}").as_bytes());
    assert!(!heard.contains("pong") && !heard.contains("meet"), "{heard}");
}

#[test]
fn a_line_without_an_end_is_not_kept() {
    let agent = Agent::start(None);
    let mut stream = TcpStream::connect(&agent.address).unwrap();
    stream.write_all(format!("millgate-agent/1 {}\n", "0".repeat(32)).as_bytes()).unwrap();
    let block = [b'x'; 1 << 16];
    let sent = (0..1_000).take_while(|_| stream.write_all(&block).is_ok()).count();
    assert!(sent < 1_000, "64 MB were taken");
}

#[test]
fn what_cannot_be_shared_is_refused_before_anybody_is_called() {
    for (line, word) in [
        (&["hold", "-c", "1", "--agents", "127.0.0.1:1,127.0.0.1:1"][..], "less than one"),
        (&["hold", "--agent-key-file", "/nowhere", "--agents", "127.0.0.1:1"], "/nowhere"),
    ] {
        let output = bench(line).output().unwrap();
        assert_eq!(output.status.code(), Some(104));
        assert!(refusal(&output).contains(word), "{line:?}");
    }
    let output = bench(&["hold", "--agents", "127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(refusal(&output).contains("agent 127.0.0.1:1: "));
}

#[test]
fn what_a_generator_refuses_is_told_with_its_agent() {
    let (agent, server) = (Agent::start(None), Echo::start());
    let line = ["echo", "--url", &server.url, "--size", "3", "--agents", &agent.address];
    let output = bench(&line).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap();
    assert!(last.contains(&agent.address) && last.contains("--size"), "{said}");
}
