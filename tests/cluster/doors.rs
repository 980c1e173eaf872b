//! Who comes in: nodes with the cluster's token, with certificates of its authority, with both.

use crate::authority::Authority;
use crate::go_node::{acc, dial};
use crate::nodes::{PATIENCE, acquainted, eventually, join_with, send};
use crate::process::{Process, failed_start};
use crate::redis::Redis;
use crate::support::{Client, Node};
use acc::{SendMsgReq, SendMsgRsp};
use millgate::config::Cluster;
use rustix::process::Signal;
use serde_json::Value;
use socket2::SockRef;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use tokio::runtime::Builder;
use tonic::{Code, Status};

const TOKEN: &str = "the-word-of-all-nodes";

fn with_token(token: &str) -> Cluster {
    Cluster { token: token.into(), ..Cluster::default() }
}

/// A certificate of this authority, and trust in that one.
fn with_tls(signed_by: &Authority, trusting: &Authority) -> Cluster {
    let (tls_cert, tls_key) = signed_by.sign("127.0.0.1");
    Cluster { tls_cert, tls_key, tls_ca: trusting.ca(), ..Cluster::default() }
}

fn enter(redis: &Redis, cluster: &Cluster) -> Node {
    join_with(redis, |config| {
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
        config.cluster = cluster.clone();
    })
}

/// A node in a process of its own, whose log can be read when it has ended.
fn enter_aside(redis: &Redis, cluster: &Cluster) -> Process {
    let mut settings = vec![format!("redis.addr={}", redis.addr())];
    settings.extend(["listen.grpc=127.0.0.1:0".into(), "announce.exact_up_to=0".into()]);
    settings.push(format!("cluster.token={}", cluster.token.reveal()));
    let files = [&cluster.tls_cert, &cluster.tls_key, &cluster.tls_ca];
    for (key, file) in ["tls_cert", "tls_key", "tls_ca"].iter().zip(files) {
        settings.push(format!("cluster.{key}={}", file.display()));
    }
    Process::start(&settings.iter().map(String::as_str).collect::<Vec<_>>())
}

fn peers(node: &Node, state: &str) -> f64 {
    node.metric(&format!("millgate_peers{{state=\"{state}\"}}"))
}

/// Lines that say this, as JSON.
fn lines_that_say(lines: &[String], words: &str) -> Vec<Value> {
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["message"].as_str().is_some_and(|m| m.contains(words))).collect()
}

/// Who should not come in.
struct Intruder {
    cluster: Cluster,
    /// Its own door stands open to the members: they may send to its users, it may not to theirs.
    is_open: bool,
}

fn closed(cluster: Cluster) -> Intruder {
    Intruder { cluster, is_open: false }
}

fn open(cluster: Cluster) -> Intruder {
    Intruder { cluster, is_open: true }
}

/// Three nodes reach each other; an intruder reaches none of them. It is counted under
/// `what`, and told by `line` in their log, and by `theirs` in its own.
fn only_members_come_in(
    member: &Cluster,
    intruders: &[Intruder],
    what: &str,
    line: &str,
    theirs: &str,
) {
    let redis = Redis::start();
    let nodes = [enter(&redis, member), enter(&redis, member)];
    let third = enter_aside(&redis, member);
    for node in &nodes {
        eventually("all three know each other", || peers(node, "up") == 2.0);
    }
    let mut ua = Client::login(&nodes[0], 101, "ua");
    eventually("messages cross", || send(&nodes[1], 101, "ua", "hello"));
    assert_eq!(ua.recv_push("msg")["msg"], "hello");
    let refused = format!("millgate_peer_unauthenticated_total{{what=\"{what}\"}}");
    for Intruder { cluster, is_open } in intruders {
        let before: Vec<f64> = nodes.iter().map(|node| node.metric(&refused)).collect();
        let stranger = enter(&redis, cluster);
        eventually("it reaches nobody", || peers(&stranger, "down") == 3.0);
        let mut ux = Client::login(&stranger, 101, "ux");
        for (node, before) in nodes.iter().zip(before) {
            eventually("it was turned away", || node.metric(&refused) > before);
            eventually("the others stay together", || peers(node, "up") >= 2.0);
            assert!(*is_open || !send(node, 101, "ux", "?"));
        }
        assert!(!send(&stranger, 101, "ua", "let me in"));
        assert_eq!(peers(&stranger, "up"), 0.0);
        ua.expect_silence();
        if !is_open {
            ux.expect_silence();
        }
        stranger.stop();
        for node in &nodes {
            eventually("it has gone", || node.metric("millgate_peers") == 2.0);
        }
    }
    let stranger = enter_aside(&redis, &intruders[0].cluster);
    eventually("it is turned away", || stranger.metric("millgate_peers{state=\"down\"}") == 3.0);
    let (lines_of_stranger, lines) = (ended(stranger), ended(third));
    let told = lines_that_say(&lines, line);
    assert!((1..=2).contains(&told.len()), "one line, and one more after a minute: {told:?}");
    assert_eq!(told[0]["from"], "127.0.0.1", "{told:?}");
    let told = lines_that_say(&lines_of_stranger, "peer out of reach");
    assert!(!told.is_empty() && told[0].to_string().contains(theirs), "{told:?}");
    for line in lines.iter().chain(&lines_of_stranger) {
        assert!(!line.contains(TOKEN) && !line.contains("a-guess"), "a secret: {line}");
    }
}

fn ended(process: Process) -> Vec<String> {
    process.signal(Signal::TERM);
    process.ended_within(PATIENCE).1
}

#[test]
fn a_token_keeps_those_out_who_have_none_or_a_wrong_one() {
    let intruders = [closed(with_token("a-guess")), open(with_token(""))];
    let line = "its cluster.token is missing or wrong";
    only_members_come_in(&with_token(TOKEN), &intruders, "token", line, "token of this cluster");
}

#[test]
fn certificates_keep_those_out_whose_authority_is_another() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let member = with_tls(&ours, &ours);
    let intruders =
        [with_tls(&theirs, &theirs), with_tls(&theirs, &ours), Cluster::default()].map(closed);
    only_members_come_in(&member, &intruders, "certificate", "no TLS between nodes", "ertificate");
}

/// A balancer that connects and closes, or resets the connection, is no intruder.
#[test]
fn a_health_check_is_not_counted_as_a_node_without_a_certificate() {
    let ours = Authority::new();
    let redis = Redis::start();
    let node = enter(&redis, &with_tls(&ours, &ours));
    for is_reset in [true, false].repeat(10) {
        let socket = TcpStream::connect(node.grpc()).unwrap();
        if is_reset {
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    let refused = "millgate_peer_unauthenticated_total{what=\"certificate\"}";
    // It says something that is no TLS, and comes behind all others.
    let mut wrong = TcpStream::connect(node.grpc()).unwrap();
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    eventually("it is counted", || node.metric(refused) >= 1.0);
    assert_eq!(node.metric(refused), 1.0);
}

#[test]
fn with_both_a_certificate_alone_is_not_enough() {
    let ours = Authority::new();
    let certified = with_tls(&ours, &ours);
    let member = Cluster { token: TOKEN.into(), ..certified.clone() };
    let intruders = [open(certified)];
    let line = "its cluster.token is missing or wrong";
    only_members_come_in(&member, &intruders, "token", line, "token of this cluster");
}

#[test]
fn with_both_a_token_alone_is_not_enough() {
    let ours = Authority::new();
    let member = Cluster { token: TOKEN.into(), ..with_tls(&ours, &ours) };
    let redis = Redis::start();
    let nodes = [enter(&redis, &member), enter(&redis, &member)];
    acquainted(&nodes.iter().collect::<Vec<_>>());
    let stranger = enter(&redis, &with_token(TOKEN));
    eventually("it reaches nobody", || peers(&stranger, "down") == 2.0);
    for node in &nodes {
        eventually("it sees a third one", || node.metric("millgate_peers") == 2.0);
        eventually("and only the other member is reached", || peers(node, "up") == 1.0);
    }
}

/// The call that a node of gowebsocket makes.
fn send_as_go(node: &Node) -> Result<SendMsgRsp, Status> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let unreachable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let mut client = dial(&node.grpc().to_string()).await.map_err(unreachable)?;
        let request = SendMsgReq {
            app_id: 101,
            user_id: "ua".into(),
            cms: "msg".into(),
            msg: "from go".into(),
            ..SendMsgReq::default()
        };
        client.send_msg(request).await.map(tonic::Response::into_inner)
    })
}

#[test]
fn a_go_node_is_let_in_only_where_the_network_is_trusted() {
    let redis = Redis::start();
    let open = enter(&redis, &Cluster::default());
    let mut ua = Client::login(&open, 101, "ua");
    assert_eq!(send_as_go(&open).unwrap().ret_code, 200);
    assert_eq!(ua.recv_push("msg")["msg"], "from go");
    let guarded = enter(&redis, &with_token(TOKEN));
    let mut ua = Client::login(&guarded, 101, "ua");
    let refused = send_as_go(&guarded).unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("token of this cluster"), "{refused}");
    let ours = Authority::new();
    let certified = enter(&redis, &with_tls(&ours, &ours));
    let _ua = Client::login(&certified, 101, "ua");
    send_as_go(&certified).unwrap_err();
    ua.expect_silence();
}

#[test]
fn without_token_and_certificates_grpc_opens_to_no_network() {
    let redis = Redis::start();
    let redis = format!("redis.addr={}", redis.addr());
    let everywhere = "listen.grpc=0.0.0.0:0";
    let (status, lines) = failed_start(&[&redis, everywhere]);
    assert!(!status.success());
    assert_eq!(lines.len(), 1, "{lines:?}");
    for words in ["listen.grpc", "strangers", "cluster.token", "cluster.trust_network"] {
        assert!(lines[0].contains(words), "{lines:?}");
    }
    let trusting = Process::start(&[&redis, everywhere, "cluster.trust_network=true"]);
    let told = ended(trusting);
    assert_eq!(lines_that_say(&told, "gRPC has neither token nor TLS").len(), 1, "{told:?}");
    let guarded = Process::start(&[&redis, everywhere, "cluster.token=something"]);
    let told = ended(guarded);
    assert!(lines_that_say(&told, "neither token nor TLS").is_empty(), "{told:?}");
}
