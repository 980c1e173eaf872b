//! More comes and goes than can be kept for a Redis that is away.

use crate::process::Process;
use crate::redis::Redis;
use crate::support::{Client, client_frame};
use millgate::clock::Clock;
use millgate::limits::PRESENCE_WAITING_MAX;
use serde_json::json;
use socket2::SockRef;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Users who come and go meanwhile.
const VISITORS: usize = PRESENCE_WAITING_MAX + 5_000;

/// Users who stay.
const STAYERS: usize = 50;

/// Threads that let them come.
const DOORS: usize = 4;

/// Longer than anything should take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !is_so() {
        assert!(clock.now() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// Logs in, sees the answer, and is gone with a reset.
fn visit(address: SocketAddr, user: &str) {
    let mut socket = TcpStream::connect(address).unwrap();
    SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let login = json!({"seq": "1", "cmd": "login", "data": {"userID": user, "appID": 101}});
    let login = client_frame(0x81, login.to_string().as_bytes());
    socket.write_all(&[Client::request("/acc"), login].concat()).unwrap();
    let (mut came, mut chunk) = (Vec::new(), [0; 1_024]);
    while !came.windows(10).any(|ten| ten == b"\"code\":200") {
        let n = socket.read(&mut chunk).unwrap();
        assert!(n > 0, "{:?}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&chunk[..n]);
    }
}

#[test]
fn what_a_node_keeps_for_an_absent_redis_is_bounded_and_a_sweep_repairs_the_rest() {
    let mut redis = Redis::start();
    let address = format!("redis.addr={}", redis.addr());
    let quiet = ["announce.exact_up_to=0", "announce.digests_per_second=0"];
    let node = Process::start(&["listen.grpc=127.0.0.1:0", &address, quiet[0], quiet[1]]);
    let mut first = Client::connect_to(node.websocket(), "/acc");
    first.log_in(101, "first");
    until("the first is known", || redis.record(101, "first").contains("\"isLogoff\":false"));
    let resident = node.resident_bytes();

    redis.kill();
    let (door, next) = (node.websocket(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..DOORS {
            scope.spawn(|| {
                while let n @ 0..VISITORS = next.fetch_add(1, Ordering::Relaxed) {
                    visit(door, &format!("visitor-{n}"));
                }
            });
        }
    });
    let mut stayers: Vec<Client> = (0..STAYERS)
        .map(|n| {
            let mut client = Client::connect_to(node.websocket(), "/acc");
            client.log_in(101, &format!("stayer-{n}"));
            client
        })
        .collect();
    until("there is no room for the last", || {
        node.metric("millgate_presence_dropped_total{what=\"arrival\"}") >= STAYERS as f64
    });
    assert_eq!(node.metric("millgate_presence_waiting"), PRESENCE_WAITING_MAX as f64);
    let grown = node.resident_bytes().saturating_sub(resident);
    assert!(grown < 160 << 20, "{grown} bytes more");
    let beat = first.request_reply("heartbeat", json!({}));
    assert_eq!(beat["response"]["code"], 200);

    redis.restart();
    until("who is here is known", || {
        let record = |user: &str| redis.record(101, user).contains("\"isLogoff\":false");
        record("first") && (0..STAYERS).all(|n| record(&format!("stayer-{n}")))
    });
    until("nothing waits", || node.metric("millgate_presence_waiting") == 0.0);
    assert_eq!(node.metric("millgate_users"), (STAYERS + 1) as f64);
    assert!(node.metric("millgate_presence_swept_total") >= STAYERS as f64);
    for client in stayers.iter_mut().chain([&mut first]) {
        let beat = client.request_reply("heartbeat", json!({}));
        assert_eq!(beat["response"]["code"], 200);
    }
    assert!(!redis.record(101, "visitor-0").contains("\"isLogoff\":false"));
}
