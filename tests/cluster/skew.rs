//! Nodes whose clocks differ by minutes.

use crate::nodes::{eventually, is_online, join, list, send};
use crate::process::Process;
use crate::redis::Redis;
use crate::support::{Answer, Client};
use millgate::clock::Clock;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::time::Duration;

/// A node in a process whose clock is wrong, and which announces nobody.
fn start(redis: &Redis, offset: &str) -> Process {
    let redis = format!("redis.addr={}", redis.addr());
    let quiet = ["announce.exact_up_to=0", "announce.digests_per_second=0"];
    Process::with_clock(offset, &["listen.grpc=127.0.0.1:0", &redis, quiet[0], quiet[1]])
}

fn get(http: SocketAddr, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    Answer::to(http, request.as_bytes())
}

fn login(process: &Process, user: &str) -> Client {
    let mut client = Client::connect_to(process.websocket(), "/acc");
    client.log_in(101, user);
    client
}

fn sends(process: &Process, user: &str, text: &str) -> bool {
    let body = format!("appID=101&userID={user}&message={text}");
    let head = format!(
        "POST /user/sendMessage HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = Answer::to(process.http(), (head + &body).as_bytes());
    answer.json()["data"]["sendResults"] == true
}

fn lists(process: &Process) -> Vec<String> {
    let data = get(process.http(), "/user/list?appID=101").json()["data"].clone();
    let mut names: Vec<String> = serde_json::from_value(data["userList"].clone()).unwrap();
    names.sort_unstable();
    names
}

/// Minutes of an hour, as a node tells them.
fn minute(http: SocketAddr) -> u32 {
    let answer = get(http, "/healthz");
    // Wed, 25 Nov 2026 22:13:05 GMT
    let date = answer.header("date").expect("a date").to_owned();
    date[20..22].parse().unwrap()
}

#[test]
fn clocks_that_differ_by_a_minute_do_no_harm() {
    let redis = Redis::start();
    let node = join(&redis);
    let (ahead, behind) = (start(&redis, "+60s"), start(&redis, "-60s"));
    let apart = (60 + minute(ahead.http()) - minute(behind.http())) % 60;
    assert!((1..=3).contains(&apart), "the clocks really differ: {apart} minutes");
    eventually("all know each other", || {
        let up = "millgate_peers{state=\"up\"}";
        node.metric(up) == 2.0 && [&ahead, &behind].iter().all(|other| other.metric(up) == 2.0)
    });

    let (mut here, mut early, mut late) =
        (Client::login(&node, 101, "here"), login(&behind, "early"), login(&ahead, "late"));
    let all = ["early", "here", "late"];
    let agreed =
        |all: &[&str]| list(&node, 101) == all && lists(&ahead) == all && lists(&behind) == all;
    eventually("all are known", || all.iter().all(|user| is_online(&node, 101, user)));
    eventually("all list the same", || agreed(&all));
    for (user, client) in [("here", &mut here), ("early", &mut early), ("late", &mut late)] {
        eventually("they are reached from everywhere", || {
            send(&node, 101, user, "x") && sends(&ahead, user, "y") && sends(&behind, user, "z")
        });
        while client.recv_push("msg")["msg"] != "z" {}
    }

    // Whoever moves is where the newer login is, from the fast clock to the slow one and back.
    let mut moved = login(&behind, "late");
    let on = |process: &Process| process.metric("millgate_users");
    eventually("it has moved", || on(&ahead) == 0.0 && on(&behind) == 2.0 && agreed(&all));
    eventually("it is reached", || send(&node, 101, "late", "behind"));
    while moved.recv_push("msg")["msg"] != "behind" {}
    let mut again = login(&ahead, "late");
    eventually("it has moved back", || on(&ahead) == 1.0 && on(&behind) == 1.0 && agreed(&all));
    eventually("it is reached", || send(&node, 101, "late", "ahead"));
    while again.recv_push("msg")["msg"] != "ahead" {}

    // A node that dies is noticed as soon as any other.
    ahead.signal(Signal::KILL);
    let clock = Clock::start();
    while is_online(&node, 101, "late") {
        assert!(clock.now() < Duration::from_secs(15), "a ghost after {:?}", clock.now());
    }
    eventually("it is struck off", || {
        list(&node, 101) == ["early", "here"] && lists(&behind) == ["early", "here"]
    });
    assert!(send(&node, 101, "early", "goes on"));
    while early.recv_push("msg")["msg"] != "goes on" {}
}
