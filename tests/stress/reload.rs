//! SIGHUP, and a grace after SIGTERM, on the real program.

use crate::crowd::{eventually, logged_in};
use crate::process::Process;
use crate::support::{Answer, Client};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::time::Duration;

fn code_of_login(process: &Process, app: u32) -> i64 {
    let mut client = Client::connect_to(process.websocket(), "/acc");
    let reply = client.request_reply("login", json!({"userID": "ann", "appID": app}));
    reply["response"]["code"].as_i64().expect("a number")
}

#[test]
fn sighup_reads_the_file_again_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("millgate.toml");
    fs::write(&file, "[apps]\nids = [7]\n").unwrap();
    let process = Process::with_file(&file, &["limits.user_id_bytes=5"]);
    assert_eq!((code_of_login(&process, 7), code_of_login(&process, 8)), (200, 1003));

    fs::write(
        &file,
        "[apps]\nids = [7, 8]\n[limits]\nuser_id_bytes = 1\n[cluster]\ntoken = \"sesame\"\n",
    )
    .unwrap();
    process.signal(Signal::HUP);
    let line = process.await_line("read again");
    assert!(line.contains("apps.ids") && line.contains("cluster.token"), "{line}");
    assert!(!line.contains("sesame") && !line.contains("user_id_bytes"), "{line}");
    assert_eq!(code_of_login(&process, 8), 200, "and flags go over the file as before");

    fs::write(&file, "[apps]\nids = []\n[limits]\nhandshake_bytes = 1\n").unwrap();
    process.signal(Signal::HUP);
    let lines = [process.await_line("was not taken"), process.await_line("was not taken")];
    for key in ["apps.ids", "limits.handshake_bytes"] {
        assert!(lines.iter().any(|line| line.contains(key)), "{lines:?}");
    }
    assert_eq!((code_of_login(&process, 7), code_of_login(&process, 8)), (200, 200));

    let key = process.admin_key();
    let post = format!(
        "POST /admin/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{key}\r\n"
    );
    let answer = Answer::to(process.http(), post.as_bytes());
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("apps.ids") && answer.body.contains("handshake_bytes"),
        "{}",
        answer.body
    );
    fs::remove_file(&file).unwrap();
    assert_eq!(Answer::to(process.http(), post.as_bytes()).status, 400);
    assert_eq!(code_of_login(&process, 8), 200);
    process.terminate();
    assert!(process.ended_within(Duration::from_secs(20)).0.success());
}

#[test]
fn a_grace_after_sigterm_keeps_serving_and_a_second_signal_ends_at_once() {
    let process = Process::start(&["stop.grace=1h"]);
    let mut clients = logged_in(process.websocket(), 101, 0..1);
    process.terminate();
    eventually("it is not ready", || process.metric("millgate_ready") == 0.0);
    clients[0].expect_silence();
    assert_eq!(code_of_login(&process, 102), 200);
    process.terminate();
    let (status, _) = process.ended_within(Duration::from_secs(20));
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_signal_after_a_drain_that_was_taken_back_is_the_first_again() {
    let process = Process::start(&["stop.grace=2s"]);
    let mut clients = logged_in(process.websocket(), 101, 0..1);
    process.terminate();
    eventually("it is not ready", || process.metric("millgate_ready") == 0.0);
    let key = process.admin_key();
    let delete = format!(
        "DELETE /admin/drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}\r\n"
    );
    assert_eq!(Answer::to(process.http(), delete.as_bytes()).status, 200);
    eventually("it is ready again", || process.metric("millgate_ready") == 1.0);
    process.terminate();
    clients[0].expect_close(1012);
    drop(clients);
    assert!(process.ended_within(Duration::from_secs(20)).0.success());
}
