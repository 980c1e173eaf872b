//! Nodes in the list that answer nonsense, or nothing.

use crate::latency::Latencies;
use crate::nodes::{cluster, eventually, is_online, send};
use crate::redis::Redis;
use crate::support::Client;
use millgate::clock::{Clock, unix_seconds};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// What listens under the address of a node.
fn stand_in(answer: fn(TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || answer(socket));
        }
    });
    addr
}

/// Reads whatever comes and says nothing; ends with the caller.
fn silent(mut socket: TcpStream) {
    let mut buffer = [0; 4_096];
    while socket.read(&mut buffer).is_ok_and(|n| n > 0) {}
}

fn garbage(mut socket: TcpStream) {
    while socket.write_all(&[0x5A; 10_000]).is_ok() {}
}

/// An HTTP/2 server's first frame, and then frames of a length that nobody may send.
fn broken_http2(mut socket: TcpStream) {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let nonsense = [0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1];
    // An error means that the caller has had enough.
    let _written = socket.write_all(&settings).and_then(|()| socket.write_all(&nonsense));
    silent(socket);
}

#[test]
fn peers_that_answer_nonsense_or_nothing_slow_nobody_down() {
    let redis = Redis::start();
    let nodes = cluster(&redis, 2);
    let mut ua = Client::login(&nodes[0], 101, "ua");
    let mut ub = Client::login(&nodes[1], 101, "ub");
    eventually("both are known", || {
        is_online(&nodes[1], 101, "ua") && is_online(&nodes[0], 101, "ub")
    });
    let before = Latencies::of_chat(&nodes[0], "ua", &mut ua, 300);

    // The kernel accepts for it, and nobody reads.
    let deaf = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let stand_ins = [silent, garbage, broken_http2, drop::<TcpStream>].map(stand_in);
    let odd: Vec<SocketAddr> =
        stand_ins.into_iter().chain([deaf.local_addr().unwrap(), nobody]).collect();
    for (n, addr) in odd.iter().enumerate() {
        let now = unix_seconds();
        redis.ask(&["HSET", "acc:hash:servers", &addr.to_string(), &now.to_string()]).unwrap();
        let record = format!(
            r#"{{"accIp":"{}","accPort":"{}","appID":101,"userID":"odd-{n}","clientIp":"","clientPort":"","loginTime":{now},"heartbeatTime":{now},"logOutTime":0,"qua":"","deviceInfo":"","isLogoff":false}}"#,
            addr.ip(),
            addr.port()
        );
        redis.ask(&["SET", &format!("acc:user:online:101_odd-{n}"), &record]).unwrap();
    }
    eventually("all are out of reach", || {
        nodes.iter().all(|node| node.metric("millgate_peers{state=\"down\"}") == odd.len() as f64)
    });
    for node in &nodes {
        assert_eq!(node.metric("millgate_peers{state=\"up\"}"), 1.0, "and the other is not");
    }
    let during = Latencies::of_chat(&nodes[0], "ua", &mut ua, 300);
    during.expect_as_before(&before);
    for n in 0..odd.len() {
        let (user, clock) = (format!("odd-{n}"), Clock::start());
        assert!(!send(&nodes[0], 101, &user, "?"));
        assert!(clock.now() < Duration::from_secs(1), "{user}: {:?}", clock.now());
    }
    assert!(nodes[0].metric("millgate_peer_messages_out_total{outcome=\"failed\"}") > 0.0);
    let clock = Clock::start();
    let data = nodes[0].get_data("/user/list?appID=101");
    assert!(clock.now() < Duration::from_secs(2), "{:?}", clock.now());
    assert_eq!(data["userCount"], 2);
    let missing = data["partial"].as_array().map(Vec::len);
    assert_eq!(
        missing,
        Some(odd.len() - 1),
        "where connections are refused there is nobody: {data}"
    );
    for (from, user, client) in [(1, "ua", &mut ua), (0, "ub", &mut ub)] {
        assert!(send(&nodes[from], 101, user, "across"));
        assert_eq!(client.recv_push("msg")["msg"], "across");
    }
}
