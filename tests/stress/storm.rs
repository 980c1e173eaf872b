//! Thousands who come at once, and thousands who go at once.

use crate::crowd::{
    PATIENCE, alone, eventually, logged_in, raise_limit, reset, send_to_all, texts_until_fence,
};
use crate::process::Process;
use crate::support::{Client, Node};
use millgate::clock::Clock;
use millgate::limits::FANOUT_WITHOUT_PERMIT;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Up to 1,000 users everybody hears of everybody; of the next 1,000 all hear
/// by digests, which add up.
#[test]
fn two_thousand_log_in_to_one_room() {
    const CROWD: usize = 2_000;
    const EXACT: usize = 1_000;
    let _alone = alone();
    let node = Node::start();
    let clock = Clock::start();
    let mut clients = logged_in(node.websocket(), 101, 0..CROWD);
    println!("{CROWD} logins into one room: {:?}", clock.now());
    assert_eq!(node.metric("millgate_users"), CROWD as f64);
    assert_eq!(node.metric("millgate_closes_total"), 0.0);
    let mut told = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        let mut so_far = tally(texts_until_fence(client));
        // The last waves may be under way yet.
        while so_far.entered < EXACT.saturating_sub(n + 1) {
            assert!(clock.now() < PATIENCE, "user {n} heard of {} only", so_far.entered);
            let more = tally(texts_until_fence(client));
            so_far.entered += more.entered;
            so_far.joined += more.joined;
        }
        told.push(so_far);
    }
    println!("and all have read what it caused: {:?}", clock.now());
    for (n, told) in told.iter().enumerate() {
        assert_eq!(told.entered, EXACT.saturating_sub(n + 1), "user {n}");
    }
    // What the first one was not told exactly comes in digests.
    let (first, mut told) = (&mut clients[0], told.swap_remove(0));
    while told.joined < (CROWD - EXACT) as u64 {
        let push = first.recv_push("presence");
        told.joined += push["joined"].as_u64().unwrap();
        told.online = push["online"].as_u64().unwrap();
    }
    assert_eq!((told.joined, told.online), ((CROWD - EXACT) as u64, CROWD as u64));
    assert_eq!(node.metric("millgate_closes_total"), 0.0);
    assert_eq!(node.metric("millgate_fanout_refused_total"), 0.0);
}

/// What one client was told of others.
#[derive(Default)]
struct Told {
    entered: usize,
    joined: u64,
    online: u64,
}

fn tally(texts: Vec<String>) -> Told {
    let mut told = Told::default();
    for text in texts {
        if text.contains("\"cmd\":\"enter\"") {
            told.entered += 1;
        } else {
            let push: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(push["cmd"], "presence", "{push}");
            told.joined += push["response"]["data"]["joined"].as_u64().unwrap();
            told.online = push["response"]["data"]["online"].as_u64().unwrap();
        }
    }
    told
}

/// Half of them reset, half of them just end, while others come and talk.
#[test]
fn ten_thousand_leave_at_once() {
    const CROWD: usize = 10_000;
    // However soon all have left, the others are seen to go on for a while.
    const AT_LEAST: usize = 12;
    let _alone = alone();
    raise_limit();
    let quiet = ["announce.exact_up_to=0", "announce.digests_per_second=0"];
    let process = Process::start(&quiet);
    let descriptors = process.reactor_descriptors();
    let address = process.websocket();
    let mut talkers = logged_in(address, 101, 0..2);
    let crowd = logged_in(address, 102, 0..CROWD);
    assert_eq!(process.metric("millgate_users"), CROWD as f64 + 2.0);
    assert_eq!(process.reactor_descriptors(), descriptors + CROWD + 2);

    let leaving = AtomicBool::new(true);
    let (talks, newcomers) = std::thread::scope(|scope| {
        let arriving = scope.spawn(|| {
            let mut newcomers = Vec::new();
            while leaving.load(Ordering::Relaxed) || newcomers.len() < AT_LEAST {
                newcomers.extend(logged_in(address, 103, newcomers.len()..newcomers.len() + 1));
            }
            newcomers
        });
        let talking = scope.spawn(|| {
            let (mut talks, mut slowest) = (0, Duration::ZERO);
            while leaving.load(Ordering::Relaxed) || talks < AT_LEAST {
                let clock = Clock::start();
                for client in &mut talkers {
                    client.request_reply("heartbeat", json!({}));
                }
                slowest = slowest.max(clock.now());
                talks += 1;
            }
            assert!(slowest < Duration::from_secs(2), "a talk took {slowest:?}");
            talks
        });
        for (n, client) in crowd.into_iter().enumerate() {
            if n % 2 == 0 { reset(client) } else { drop(client) }
        }
        eventually("all have left", || process.metric("millgate_users{app=\"102\"}") == 0.0);
        leaving.store(false, Ordering::Relaxed);
        (talking.join().unwrap(), arriving.join().unwrap())
    });
    println!("{talks} talks, {} newcomers", newcomers.len());
    let left = newcomers.len() + talkers.len();
    eventually("all are buried", || process.metric("millgate_connections") == left as f64);
    assert_eq!(process.metric("millgate_users"), left as f64);
    assert_eq!(process.reactor_descriptors(), descriptors + left, "descriptors leak");
    assert_eq!(process.metric("millgate_closes_total"), CROWD as f64);
    drop(newcomers);
    talkers.iter_mut().for_each(Client::expect_silence);
    eventually("the others too", || process.metric("millgate_connections") == 2.0);
    assert_eq!(process.reactor_descriptors(), descriptors + 2);
}

/// With more reactors than cores, broadcasts to many are written by turns.
#[test]
fn messages_to_all_are_whole_and_in_order_with_more_reactors_than_cores() {
    const REACTORS: usize = 16;
    // Enough for most reactors that they may not write without a permit.
    const CROWD: usize = 2 * REACTORS * FANOUT_WITHOUT_PERMIT;
    const MESSAGES: usize = 20;
    let _alone = alone();
    raise_limit();
    for pin in [true, false] {
        let node = Node::with(|config| {
            config.reactor.threads = REACTORS;
            config.reactor.pin = pin;
            config.announce.exact_up_to = 0;
            config.announce.digests_per_second = 0;
        });
        let mut clients = logged_in(node.websocket(), 101, 0..CROWD);
        for n in 0..MESSAGES {
            send_to_all(&node, "nobody", &format!("{n}"));
        }
        for client in &mut clients {
            for n in 0..MESSAGES {
                assert_eq!(client.recv_push("msg")["msg"], format!("{n}"));
            }
        }
        clients.iter_mut().for_each(|client| assert!(texts_until_fence(client).is_empty()));
        assert_eq!(node.metric("millgate_fanout_refused_total"), 0.0);
        // It ends in good order even while somebody waits for a permit.
        send_to_all(&node, "nobody", "last");
        node.stop();
    }
}
