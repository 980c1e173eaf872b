//! What all connections may hold together, and that everything held is given
//! back, however a connection ends. A byte that is not given back is seen here
//! as a client that is refused what fits.

use crate::support::{Client, Message, Node, client_frame};
use socket2::{Domain, SockRef, Socket, Type};
use std::time::Duration;

/// Ways to end a connection in the middle of something.
const ENDS: [&str; 5] = ["close", "half", "drop", "reset", "violation"];

fn end(mut client: Client, way: &str) {
    match way {
        "close" => {
            client.send_frame(0x88, b"\x03\xe8");
            client.read_to_end();
        }
        "half" => {
            client.end_sending();
            client.read_to_end();
        }
        "reset" => {
            let socket = SockRef::from(client.socket());
            socket.set_linger(Some(Duration::ZERO)).expect("a reset at the end");
        }
        "violation" => {
            client.send_frame(0x83, b"");
            client.read_to_end();
        }
        _ => {}
    }
}

#[test]
fn half_received_messages_are_given_back() {
    let node = Node::with(|config| {
        config.reactor.threads = 1;
        config.limits.assembly_total_bytes = 100_000;
    });
    let frame = client_frame(0x82, &[7; 60_000]);
    for _ in 0..5 {
        for way in ENDS.into_iter().filter(|way| *way != "violation" && *way != "close") {
            let mut client = Client::connect_to(node.websocket(), "/echo");
            client.send_raw(&frame[..50_000]);
            end(client, way);
        }
        // Between the parts of a message a frame can be anything.
        for way in ENDS {
            let mut client = Client::connect_to(node.websocket(), "/echo");
            client.send_frame(0x02, &[7; 50_000]);
            client.expect_silence();
            end(client, way);
        }
        for bad in [client_frame(0x01, b"\xff"), client_frame(0x00, &[7; 60_000])] {
            let mut client = Client::connect_to(node.websocket(), "/echo");
            client.send_frame(0x02, &[7; 50_000]);
            client.send_raw(&bad);
            client.read_to_end();
        }
        // A request head that never ends, and one that is refused after a while.
        for way in ["half", "drop", "reset"] {
            let mut client = Client::tcp(node.websocket());
            client.send_raw(&[b"GET /acc?", &[b'x'; 9_000][..]].concat());
            end(client, way);
        }
        let mut client = Client::tcp(node.websocket());
        client.send_raw(&[b"GET /nowhere?", &[b'x'; 9_000][..]].concat());
        client.send_raw(b" HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.read_head().starts_with("HTTP/1.1 404 "));
        client.read_to_end();
    }
    let mut client = Client::connect_to(node.websocket(), "/echo");
    for _ in 0..20 {
        client.send_raw(&frame[..59_000]);
        client.send_raw(&frame[59_000..]);
        assert_eq!(client.recv(), Message::Binary(vec![7; 60_000]));
        client.send_frame(0x02, &[7; 40_000]);
        client.send_frame(0x80, &[7; 20_000]);
        assert_eq!(client.recv(), Message::Binary(vec![7; 60_000]));
    }
    client.close();
}

/// When too much is kept, the connection that keeps most, and has done so longest, makes room.
#[test]
fn half_received_messages_have_a_bound_for_all() {
    let node = Node::with(|config| {
        config.reactor.threads = 1;
        config.limits.assembly_total_bytes = 100_000;
    });
    let mut first = Client::connect_to(node.websocket(), "/echo");
    first.send_frame(0x02, &[1; 60_000]);
    first.expect_silence();
    let mut second = Client::connect_to(node.websocket(), "/echo");
    second.send_frame(0x02, &[2; 60_000]);
    first.expect_close(1013);
    second.send_frame(0x80, b"");
    assert_eq!(second.recv(), Message::Binary(vec![2; 60_000]));
    // What arrives whole needs no room.
    let mut third = Client::connect_to(node.websocket(), "/echo");
    third.send_frame(0x82, &[3; 60_000]);
    assert_eq!(third.recv(), Message::Binary(vec![3; 60_000]));
    assert_eq!(node.metric("millgate_closes_total{cause=\"assembly_budget\"}"), 1.0);
}

/// Clients that begin messages and never finish them do not keep the budget from others.
#[test]
fn messages_that_are_never_finished_keep_no_room_from_others() {
    for threads in [1, 2] {
        let node = Node::with(|config| {
            config.reactor.threads = threads;
            config.limits.assembly_total_bytes = 500_000;
        });
        let mut hogs: Vec<Client> = Vec::new();
        for size in [30_000_usize, 2_000, 300].into_iter().flat_map(|size| [size; 20]) {
            let mut hog = Client::connect_to(node.websocket(), "/echo");
            if hog.try_send_raw(&client_frame(0x02, &vec![1; size])) {
                hogs.push(hog);
            }
        }
        for _ in 0..10 {
            let mut honest = Client::connect_to(node.websocket(), "/echo");
            honest.send_frame(0x02, &[2; 500]);
            honest.expect_silence();
            honest.send_frame(0x80, &[2; 500]);
            assert_eq!(honest.recv(), Message::Binary(vec![2; 1_000]), "{threads} threads");
            let mut slow = Client::tcp(node.websocket());
            let request = Client::request("/echo");
            let (head, tail) = request.split_at(40);
            slow.send_raw(head);
            slow.send_raw(tail);
            assert!(slow.read_head().starts_with("HTTP/1.1 101 "), "{threads} threads");
            slow.close();
            honest.close();
        }
        let shed = node.metric("millgate_closes_total{cause=\"assembly_budget\"}");
        assert!(shed > 0.0, "the budget was spent");
    }
}

/// A message has to be whole in time; signs of life between its parts do not help.
#[test]
fn a_message_has_its_time() {
    let node = Node::with(|config| config.limits.message_timeout = Duration::from_secs(1));
    let mut other = Client::connect_to(node.websocket(), "/echo");
    let mut endless = Client::connect_to(node.websocket(), "/echo");
    endless.send_frame(0x02, b"the beginning");
    endless.live_until_spoken_to();
    endless.expect_close(3008);
    let mut cut = Client::connect_to(node.websocket(), "/echo");
    cut.send_raw(&client_frame(0x82, &[7; 1_000])[..500]);
    cut.expect_close(3008);
    // A whole message begins the time anew.
    for _ in 0..3 {
        other.send_frame(0x02, b"a");
        other.send_frame(0x80, b"b");
        assert_eq!(other.recv(), Message::Binary(b"ab".to_vec()));
    }
    other.close();
    assert_eq!(node.metric("millgate_closes_total{cause=\"message_timeout\"}"), 2.0);
}

const MIB: usize = 1 << 20;

/// An echo that its client has asked for and does not take.
fn untaken_echo(node: &Node, bytes: usize) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    socket.connect(&node.websocket().into()).expect("connects");
    let mut client = Client::over(socket.into());
    client.send_raw(&Client::request("/echo"));
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.send_frame(0x82, &vec![7; bytes]);
    client
}

fn node_with_backlogs_of(bytes: usize, threads: usize) -> Node {
    Node::with(|config| {
        config.reactor.threads = threads;
        config.limits.message_bytes = 4 * MIB;
        config.limits.outbox_total_bytes = bytes;
    })
}

#[test]
fn backlogs_are_given_back() {
    let node = node_with_backlogs_of(2 * MIB, 1);
    for way in ENDS {
        let client = untaken_echo(&node, MIB);
        node.await_metric("millgate_outbox_bytes", |bytes| bytes > 500_000.0);
        node.await_metric("millgate_outbox_connections", |connections| connections == 1.0);
        end(client, way);
        node.await_metric("millgate_outbox_bytes", |bytes| bytes == 0.0);
        node.await_metric("millgate_outbox_connections", |connections| connections == 0.0);
    }
    let mut client = untaken_echo(&node, MIB);
    node.await_metric("millgate_outbox_bytes", |bytes| bytes > 500_000.0);
    assert_eq!(client.recv(), Message::Binary(vec![7; MIB]));
    client.expect_silence();
}

/// The largest backlog goes, whichever reactor owns it, and nobody else.
#[test]
fn when_the_budget_is_spent_the_largest_backlog_goes_first() {
    for threads in [1, 4] {
        let node = node_with_backlogs_of(3 * MIB, threads);
        let mut small = untaken_echo(&node, MIB);
        node.await_metric("millgate_outbox_connections", |connections| connections == 1.0);
        let mut large = untaken_echo(&node, 2 * MIB + MIB / 2);
        node.await_metric("millgate_closes_total{cause=\"shed\"}", |closes| closes == 1.0);
        // A frame that was begun cannot be taken back, so this one is cut.
        assert!(large.read_to_end().len() < 2 * MIB);
        node.await_metric("millgate_outbox_connections", |connections| connections == 1.0);
        assert_eq!(small.recv(), Message::Binary(vec![7; MIB]));
        small.expect_silence();
    }
}
