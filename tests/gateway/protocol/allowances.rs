//! What a client may take of a node: messages and bytes a second, time before
//! it logs in, and no place while memory is short.

use crate::support::{Client, Message, Node, client_frame};

use millgate::clock::Clock;
use millgate::config::Excess;
use serde_json::json;
use std::time::Duration;

fn ping() -> Vec<u8> {
    client_frame(0x81, br#"{"seq":"1","cmd":"ping","data":{}}"#)
}

#[test]
fn who_sends_too_much_is_closed_and_nobody_else() {
    let node = Node::with(|config| config.limits.messages_per_second = 20);
    let mut greedy = Client::connect(&node);
    let mut modest = Client::connect(&node);
    greedy.send_raw(&ping().repeat(60));
    for _ in 0..20 {
        assert!(matches!(greedy.recv(), Message::Text(_)));
    }
    let mut closed = None;
    while closed.is_none() {
        // What the time in between allows is answered too.
        match greedy.recv() {
            Message::Close(Some((code, _))) => closed = Some(code),
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(closed, Some(3013));
    assert_eq!(modest.request_reply("ping", json!({}))["response"]["data"], "pong");
    assert_eq!(node.metric("millgate_closes_total{cause=\"too_fast\"}"), 1.0);
}

#[test]
fn or_its_messages_are_thrown_away() {
    let node = Node::with(|config| {
        config.limits.messages_per_second = 20;
        config.limits.excess = Excess::Drop;
    });
    let mut client = Client::connect(&node);
    client.send_raw(&ping().repeat(1_000));
    let answered = "millgate_messages_total{direction=\"in\"}";
    let dropped = "millgate_client_messages_dropped_total";
    node.await_metric(dropped, |count| count + node.metric(answered) == 1_000.0);
    let answers = 1_000 - node.metric(dropped) as usize;
    assert!((20..900).contains(&answers), "a burst is answered, and little more: {answers}");
    for _ in 0..answers {
        assert!(matches!(client.recv(), Message::Text(_)));
    }
    client.expect_nothing_for(Duration::from_millis(200));
    assert_eq!(client.request_reply("ping", json!({}))["response"]["code"], 200);
}

#[test]
fn fragments_and_control_frames_count_too() {
    let node = Node::with(|config| config.limits.messages_per_second = 50);
    let mut endless = Client::connect(&node);
    endless.send_frame(0x01, b"");
    endless.try_send_raw(&client_frame(0x00, b"").repeat(100));
    endless.expect_close(3013);
    let mut flood = Client::connect(&node);
    flood.try_send_raw(&client_frame(0x89, b"").repeat(100));
    for _ in 0..50 {
        assert_eq!(flood.recv(), Message::Pong(Vec::new()));
    }
    flood.read_to_end();
    assert_eq!(node.metric("millgate_closes_total{cause=\"too_fast\"}"), 2.0);
}

#[test]
fn bytes_are_bounded_and_the_largest_message_passes() {
    let node = Node::with(|config| {
        config.limits.message_bytes = 50_000;
        config.limits.bytes_per_second = 1_000;
    });
    let mut client = Client::connect_to(node.websocket(), "/echo");
    client.send_frame(0x82, &[7; 50_000]);
    assert_eq!(client.recv(), Message::Binary(vec![7; 50_000]));
    client.send_frame(0x82, &[7; 50_000]);
    client.expect_close(3013);
}

#[test]
fn a_login_has_its_time_whatever_else_is_sent() {
    let node = Node::with(|config| {
        config.limits.login_timeout = Duration::from_secs(2);
        config.limits.handshake_timeout = Duration::from_secs(60);
    });
    let mut chatty = Client::connect(&node);
    let mut user = Client::login(&node, 101, "ann");
    let mut echo = Client::connect_to(node.websocket(), "/echo");
    chatty.live_until_spoken_to();
    chatty.expect_close(3502);
    user.expect_silence();
    echo.expect_silence();
    assert_eq!(node.metric("millgate_closes_total{cause=\"login_timeout\"}"), 1.0);
}

#[test]
fn nobody_new_comes_while_memory_is_short() {
    let node = Node::with(|config| {
        // More than any host has.
        config.limits.memory_reserve_bytes = 1 << 50;
    });
    node.await_metric("millgate_admission_closed", |shut| shut == 1.0);
    let mut client = Client::tcp(node.websocket());
    client.send_raw(&Client::request("/acc"));
    let head = client.read_head();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("Retry-After: "), "{head}");
    assert_eq!(node.metric("millgate_closes_total{cause=\"memory\"}"), 1.0);
    node.await_metric("millgate_new_clients_refused{reason=\"memory\"}", |shut| shut == 1.0);
    await_readiness(&node, 503, "no new clients are let in: memory is short\n");
}

/// A balancer sends clients elsewhere while a node is full. Those that are connected stay.
#[test]
fn a_full_node_is_not_ready_until_some_have_left() {
    let node = Node::with(|config| {
        config.limits.connections = 20;
        config.announce.exact_up_to = 0;
        config.announce.digests_per_second = 0;
    });
    let mut clients: Vec<Client> =
        (0..20).map(|n| Client::login(&node, 101, &format!("u{n}"))).collect();
    let full = "no new clients are let in: limits.connections is reached\n";
    await_readiness(&node, 503, full);
    assert_eq!(node.metric("millgate_new_clients_refused{reason=\"connections\"}"), 1.0);
    assert_eq!(node.metric("millgate_ready"), 0.0);
    clients[0].request_reply("heartbeat", json!({}));
    clients.truncate(15);
    await_readiness(&node, 200, "ready\n");
    assert_eq!(node.metric("millgate_new_clients_refused"), 0.0);
    clients.extend((15..20).map(|n| Client::login(&node, 101, &format!("u{n}"))));
    await_readiness(&node, 503, full);
    node.reload(|config| config.limits.connections = 40);
    await_readiness(&node, 200, "ready\n");
}

/// Asks until `/readyz` answers so.
fn await_readiness(node: &Node, status: u16, text: &str) {
    let clock = Clock::start();
    loop {
        let said = node.get("/readyz");
        if said == (status, text.to_owned()) {
            return;
        }
        assert!(clock.now() < Duration::from_secs(10), "{said:?}");
        std::thread::yield_now();
    }
}

/// A handshake from an address of loopback, with header lines of its own; the status.
fn status_from(source: [u8; 4], node: &Node, lines: &str) -> (Client, u16) {
    let mut client = Client::from(source, node.websocket());
    let request = String::from_utf8(Client::request("/acc")).expect("ASCII");
    // Whoever is turned away may be so before it could ask.
    client.try_send_raw(request.replace("Host:", &format!("{lines}Host:")).as_bytes());
    let head = client.read_head();
    let status = head.get(9..12).and_then(|word| word.parse().ok()).expect("a status");
    if status != 101 {
        assert!(head.contains("Retry-After: "), "{head}");
    }
    (client, status)
}

const ANN: [u8; 4] = [127, 0, 0, 7];
const BOB: [u8; 4] = [127, 0, 0, 8];

#[test]
fn an_address_has_so_many_connections_and_no_more() {
    let node = Node::with(|config| config.limits.connections_per_address = 2);
    let (first, _) = status_from(ANN, &node, "");
    let (_second, status) = status_from(ANN, &node, "");
    assert_eq!(status, 101);
    let (_third, status) = status_from(ANN, &node, "");
    assert_eq!(status, 503);
    assert_eq!(status_from(BOB, &node, "").1, 101);
    assert_eq!(node.metric("millgate_closes_total{cause=\"crowded\"}"), 1.0);
    first.close();
    assert_eq!(status_from(ANN, &node, "").1, 101, "who leaves makes room");
}

/// What a proxy tells counts, and only where it is believed.
#[test]
fn clients_behind_a_proxy_are_told_apart() {
    let node = Node::with(|config| {
        config.limits.connections_per_address = 1;
        config.listen.trusted_proxies = vec!["127.0.0.7".into()];
    });
    let told = |ip: &str| format!("X-Forwarded-For: {ip}\r\n");
    let (_one, status) = status_from(ANN, &node, &told("203.0.113.1"));
    assert_eq!(status, 101);
    assert_eq!(status_from(ANN, &node, &told("203.0.113.1")).1, 503);
    // The first address was made up by the client, the last one was seen by the proxy.
    assert_eq!(status_from(ANN, &node, &told("198.51.100.1, 203.0.113.1")).1, 503);
    let (_two, status) = status_from(ANN, &node, &told("2001:db8:1:2::1"));
    assert_eq!(status, 101);
    assert_eq!(status_from(ANN, &node, &told("2001:db8:1:2:ffff::2")).1, 503, "one /64");
    let (_liar, status) = status_from(BOB, &node, &told("203.0.113.9"));
    assert_eq!(status, 101);
    assert_eq!(status_from(BOB, &node, &told("203.0.113.10")).1, 503);
}

#[test]
fn connections_may_come_too_fast() {
    let node = Node::with(|config| config.limits.handshakes_per_second_per_address = 5);
    let came = (0..10).map(|_| status_from(ANN, &node, "").1);
    let refused = came.filter(|status| *status == 429).count();
    assert!((1..=5).contains(&refused), "{refused}");
    assert_eq!(status_from(BOB, &node, "").1, 101);

    let node = Node::with(|config| config.limits.handshakes_per_second = 5);
    let came = (0..20_u8).map(|last| status_from([127, 0, 1, last], &node, "").1);
    let refused = came.filter(|status| *status == 503).count();
    assert!((5..=15).contains(&refused), "{refused}");
    assert_eq!(
        node.metric("millgate_closes_total{cause=\"handshake_rate\"}"),
        f64::from(u32::try_from(refused).expect("few"))
    );
}

#[test]
fn a_user_has_so_many_connections_and_the_oldest_goes() {
    let node = Node::with(|config| config.limits.connections_per_user = 2);
    let mut first = Client::login(&node, 101, "ann");
    let mut second = Client::login(&node, 101, "ann");
    first.expect_displaced("ann");
    let mut elsewhere = Client::login(&node, 102, "ann");
    let mut third = Client::login(&node, 101, "ann");
    first.expect_close(3504);
    second.expect_displaced("ann");
    second.expect_silence();
    elsewhere.expect_silence();
    second.close();
    let mut fourth = Client::login(&node, 101, "ann");
    third.expect_displaced("ann");
    third.expect_silence();
    fourth.expect_silence();
    assert_eq!(node.metric("millgate_closes_total{cause=\"replaced\"}"), 1.0);
}

/// What all may open together is taken by those who come in, not by those who are turned away
/// for their own address.
#[test]
fn who_is_turned_away_takes_nothing_from_others() {
    for behind_proxy in [false, true] {
        let node = Node::with(|config| {
            config.limits.handshakes_per_second_per_address = 2;
            config.limits.handshakes_per_second = 20;
            if behind_proxy {
                config.listen.trusted_proxies = vec!["127.0.0.0/8".into()];
            }
        });
        let told = |ip: &str| format!("X-Forwarded-For: {ip}\r\n");
        let come = |last: u8| match behind_proxy {
            false => status_from([127, 0, 1, last], &node, "").1,
            true => status_from(ANN, &node, &told(&format!("203.0.113.{last}"))).1,
        };
        let refused = (0..60).filter(|_| come(99) == 429).count();
        assert!(refused > 20, "{refused}");
        for last in 1..=10 {
            assert_eq!(come(last), 101, "behind a proxy: {behind_proxy}");
        }
    }
}

/// An address that comes and goes within its own bound has not all that may come in a second.
#[test]
fn one_address_leaves_a_part_of_the_common_rate_to_others() {
    let node = Node::with(|config| {
        config.limits.connections_per_address = 10;
        config.limits.handshakes_per_second = 40;
    });
    let refused = (0..120).filter(|_| status_from(ANN, &node, "").1 == 503).count();
    assert!(refused > 20, "{refused}");
    for last in 1..=8 {
        assert_eq!(status_from([127, 0, 1, last], &node, "").1, 101);
    }
}

/// A reload that lowers the bound closes the connections that are above it.
#[test]
fn a_lower_bound_for_users_closes_their_oldest_connections() {
    for before in [0, 4] {
        let node = Node::with(|config| config.limits.connections_per_user = before);
        let mut clients: Vec<Client> = (0..4).map(|_| Client::login(&node, 101, "ann")).collect();
        node.reload(|config| config.limits.connections_per_user = 1);
        node.await_metric("millgate_closes_total{cause=\"replaced\"}", |closes| closes == 3.0);
        let mut left = clients.pop().expect("four");
        if before > 0 {
            for client in &mut clients {
                client.expect_displaced("ann");
                client.expect_close(3504);
            }
            left.expect_silence();
        }
    }
}

/// A bound for addresses that a reload brings counts those who are there.
#[test]
fn a_new_bound_for_addresses_counts_those_who_are_there() {
    let node = Node::with(|_| {});
    let (first, _) = status_from(ANN, &node, "");
    let (_second, _) = status_from(ANN, &node, "");
    node.reload(|config| config.limits.connections_per_address = 1);
    // The reactors count some thousands in a turn.
    let is_refused = |_: &u32| status_from(ANN, &node, "").1 == 503;
    assert!((0..500).any(|attempt| is_refused(&attempt)));
    first.close();
    assert_eq!(status_from(ANN, &node, "").1, 503, "one is there still");
    assert_eq!(status_from(BOB, &node, "").1, 101);
}
