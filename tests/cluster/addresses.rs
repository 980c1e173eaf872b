//! Nodes, and a Redis, at addresses of all kinds.

use crate::authority::Authority;
use crate::nodes::{PATIENCE, acquainted, eventually, is_online, join_with, send};
use crate::process::Process;
use crate::redis::Redis;
use crate::support::{Client, Node};
use millgate::config::{Cluster, Config};
use rustix::process::Signal;
use serde_json::Value;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

fn quiet(redis: &Redis, change: impl FnOnce(&mut Config)) -> Node {
    join_with(redis, |config| {
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
        change(config);
    })
}

/// Both nodes share users, lists and messages.
fn expect_one_cluster(nodes: &[Node; 2]) {
    acquainted(&[&nodes[0], &nodes[1]]);
    let mut clients = [(0, "ua"), (1, "ub")].map(|(n, name)| Client::login(&nodes[n], 101, name));
    eventually("both are known everywhere", || {
        nodes.iter().all(|node| ["ua", "ub"].iter().all(|user| is_online(node, 101, user)))
    });
    // A busy machine may break a connection between them; it comes back.
    eventually("messages cross", || send(&nodes[0], 101, "ub", "over there"));
    eventually("messages cross back", || send(&nodes[1], 101, "ua", "and back"));
    assert_eq!(clients[1].recv_push("msg")["msg"], "over there");
    assert_eq!(clients[0].recv_push("msg")["msg"], "and back");
    for node in nodes {
        eventually("the list is that of both", || {
            node.get_data("/user/list?appID=101")["userCount"] == 2
        });
        eventually("it is ready", || node.get("/readyz").0 == 200);
    }
}

/// Where nodes say that others reach them.
fn servers(redis: &Redis) -> String {
    redis.ask(&["HKEYS", "acc:hash:servers"]).unwrap()
}

#[test]
fn a_cluster_over_ipv6() {
    let redis = Redis::start();
    let loopback = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let nodes = [(); 2].map(|()| quiet(&redis, |config| config.listen.grpc = loopback));
    expect_one_cluster(&nodes);
    for node in &nodes {
        let address = format!("[::1]:{}", node.grpc().port());
        assert!(servers(&redis).contains(&address), "{address}: {}", servers(&redis));
    }
    let record = redis.record(101, "ua");
    assert!(record.contains("\"accIp\":\"[::1]\""), "others dial ip:port: {record}");
}

#[test]
fn mutual_tls_over_ipv6() {
    let (redis, ours) = (Redis::start(), Authority::new());
    let nodes = [(); 2].map(|()| {
        quiet(&redis, |config| {
            config.listen.grpc = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
            config.cluster = certified(&ours, "::1");
        })
    });
    expect_one_cluster(&nodes);
}

fn certified(authority: &Authority, host: &str) -> Cluster {
    let (tls_cert, tls_key) = authority.sign(host);
    Cluster { tls_cert, tls_key, tls_ca: authority.ca(), ..Cluster::default() }
}

/// Certificates name hosts more often than addresses.
#[test]
fn nodes_that_are_reached_by_name() {
    let (redis, ours) = (Redis::start(), Authority::new());
    let nodes = [(); 2].map(|()| {
        let port = free_port();
        quiet(&redis, |config| {
            config.listen.grpc = SocketAddr::from(([127, 0, 0, 1], port));
            config.cluster = certified(&ours, "localhost");
            config.cluster.advertise = format!("localhost:{port}");
        })
    });
    expect_one_cluster(&nodes);
    assert!(servers(&redis).contains("localhost:"), "{}", servers(&redis));
}

#[test]
fn a_redis_that_is_reached_by_name() {
    let redis = Redis::start();
    let by_name = redis.addr().replace("127.0.0.1", "localhost");
    let nodes = [(); 2].map(|()| {
        quiet(&redis, |config| {
            config.redis.as_mut().expect("it is in a cluster").addr = by_name.clone();
        })
    });
    expect_one_cluster(&nodes);
}

#[test]
fn a_redis_that_refuses_the_login_is_told_once_and_shown() {
    let redis = Redis::start();
    redis.ask(&["CONFIG", "SET", "requirepass", "the-right-one"]).unwrap();
    let addr = format!("redis.addr={}", redis.addr());
    let settings = [addr.as_str(), "listen.grpc=127.0.0.1:0", "redis.password=a-guess"];
    let process = Process::start(&settings);
    let readiness = || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let agent: ureq::Agent = config.into();
        let mut answer = agent.get(format!("http://{}/readyz", process.http())).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let why = "Redis is not reachable: it refuses the login (redis.username, redis.password";
    eventually("it says why", || {
        let (status, text) = readiness();
        status == 503 && text.contains(why)
    });
    // It goes on to try, and says nothing more about it.
    let before = process.metric("millgate_redis_errors_total");
    eventually("it goes on to try", || {
        process.metric("millgate_redis_errors_total") > before + 3.0
    });
    let mut client = Client::connect_to(process.websocket(), "/acc");
    client.log_in(101, "ua");
    process.signal(Signal::TERM);
    let (_, lines) = process.ended_within(PATIENCE);
    let told: Vec<&String> =
        lines.iter().filter(|line| line.contains("refuses the login")).collect();
    assert_eq!(told.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(told[0]).unwrap();
    assert_eq!(line["level"], "WARN");
    assert!(!lines.iter().any(|line| line.contains("a-guess")), "{lines:?}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
