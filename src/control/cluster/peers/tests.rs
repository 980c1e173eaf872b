//! Two ends of a cluster: this node's peers, and what may answer there.

mod faults;
mod gowebsocket;
mod trust;

#[path = "../../../../tests/cluster/go_node.rs"]
mod go_node;

use super::peer::PeerKind;
use super::{Holding, Nodes, Outcome, PeerError, Peers, Wiring};
use crate::clock::{Clock, unix_seconds};
use crate::config::Config;
use crate::control::grpc::stage::{APP, Node, until};
use crate::control::grpc::{Credentials, Security};
use crate::control::orders::kick_request;
use crate::control::proto;
use crate::control::proto::relay::KickRequest;
use crate::control::push::Push;
use crate::hub::Orders;
use crate::id::{ConnId, NodeAddr};
use crate::limits::RELAY_PUSH_BYTES_MAX;
use crate::link::{Kick, Mail, Plan, Whom};
use crate::metrics::Metrics;
use crate::session::User;
use futures_util::future::join_all;
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// What no call may take longer than, with a margin for a busy machine.
const PROMISE: Duration = Duration::from_secs(3);

/// The calling end.
struct Caller {
    peers: Arc<Peers>,
    nodes: watch::Sender<Nodes>,
    metrics: Arc<Metrics>,
}

impl Caller {
    fn start(config: &Config, peers: &[&NodeAddr]) -> Self {
        let own = NodeAddr::parse("127.0.0.1:1").unwrap();
        let nodes = peers.iter().map(|peer| (*peer).clone()).chain([own.clone()]).collect();
        let (nodes, followed) = watch::channel(Arc::new(nodes));
        let metrics = Metrics::new(1);
        let security =
            Arc::new(Credentials::new(Security::load(&config.cluster).unwrap(), Clock::start()));
        let wiring = Wiring {
            security,
            clock: Clock::start(),
            metrics: Arc::clone(&metrics),
            push_bytes_max: RELAY_PUSH_BYTES_MAX,
        };
        Self { peers: Peers::start(own, followed, wiring), nodes, metrics }
    }

    async fn connected_to(peer: &NodeAddr) -> Self {
        let caller = Self::start(&Config::default(), &[peer]);
        caller.until_connected(peer).await;
        caller
    }

    fn kind(&self, of: &NodeAddr) -> Option<PeerKind> {
        self.peers.states().into_iter().find(|state| state.addr == *of)?.kind
    }

    async fn until_connected(&self, to: &NodeAddr) {
        until("connected", || self.kind(to).is_some()).await;
    }

    async fn until_down(&self, peer: &NodeAddr) {
        let is_down =
            || self.peers.states().iter().any(|state| state.addr == *peer && state.is_down);
        until("out of reach", is_down).await;
    }

    /// Sends, and is answered as soon as promised.
    async fn send(&self, to: &NodeAddr, push: Push) -> Result<Outcome, PeerError> {
        tokio::time::timeout(PROMISE, self.peers.send(to, push)).await.expect("as promised")
    }
}

fn push(user: &str, msg: &str) -> Push {
    let (seq, cmd) = ("1".into(), "msg".into());
    Push { app: APP, user: user.into(), from: "".into(), seq, cmd, msg: msg.into() }
}

fn address(of: &TcpListener) -> NodeAddr {
    NodeAddr::parse(&of.local_addr().unwrap().to_string()).unwrap()
}

fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[tokio::test]
async fn ten_thousand_messages_arrive_in_order_and_once() {
    let node = Node::start(&Config::default());
    node.log_in("ua", 1);
    let caller = Caller::connected_to(&node.addr).await;
    assert_eq!(caller.kind(&node.addr), Some(PeerKind::Millgate));
    // As many as may be unacknowledged at once, and then the rest.
    for numbers in [0..5_000, 5_000..10_000] {
        let sends = numbers.map(|n| caller.peers.send(&node.addr, push("ua", &format!("<{n}>"))));
        for outcome in join_all(sends.collect::<Vec<_>>()).await {
            assert_eq!(outcome, Ok(Outcome::Sent));
        }
    }
    for n in 0..10_000 {
        let text = node.next_text().unwrap();
        assert!(text.contains(&format!("\"msg\":\"<{n}>\"")), "{n}: {text}");
    }
    assert_eq!(node.next_text(), None);
    let sent = caller.metrics.peers.sent.load(Ordering::Relaxed);
    assert_eq!((sent, node.metrics.peers.received.load(Ordering::Relaxed) >= sent), (10_000, true));
    let state = caller.peers.states().remove(0);
    assert_eq!((state.waiting, state.error), (0, None));
}

#[tokio::test]
async fn each_outcome_comes_back() {
    let mut config = Config::default();
    config.limits.http_body_bytes = config.limits.outbox_bytes;
    let node = Node::start_at(&config, SocketAddr::from(([127, 0, 0, 1], 0)), 1);
    node.log_in("ua", 1);
    node.log_in("moved", 2);
    let caller = Caller::connected_to(&node.addr).await;
    let large = |bytes| push("ua", &"x".repeat(bytes));
    let cases = [
        (push("nobody", "x"), Outcome::Offline),
        (push("", "x"), Outcome::Invalid),
        (large(300_000), Outcome::Invalid),
        (large(2 << 20), Outcome::Invalid),
        (large(8 << 20), Outcome::Invalid),
        (push("ua", "x"), Outcome::Sent),
        (push("ua", "the mailbox is full now"), Outcome::Refused),
    ];
    for (push, outcome) in cases {
        assert_eq!(caller.send(&node.addr, push).await, Ok(outcome));
    }
    assert_eq!(caller.peers.canary(&node.addr).await, Ok(Outcome::Sent));
    assert_eq!(caller.peers.holds(&node.addr, APP, "moved").await, Ok(Holding::Held(Some(1))));
    let displaced = caller.peers.displaced(&node.addr, &moved(), 1);
    assert_eq!(displaced.await, Ok(Outcome::Sent));
    assert_eq!(caller.peers.holds(&node.addr, APP, "moved").await, Ok(Holding::Nothing));
    let stranger = NodeAddr::parse("127.0.0.1:2").unwrap();
    assert_eq!(caller.send(&stranger, push("ua", "x")).await, Err(PeerError::Unknown));
}

/// With each sign of life a node says whether clients of others may come, and where.
#[tokio::test]
async fn a_node_is_a_refuge_as_long_as_it_lets_clients_in() {
    let mut config = Config::default();
    config.cluster.client_url = "wss://b.example.org/acc".into();
    let node = Node::start(&config);
    let caller = Caller::connected_to(&node.addr).await;
    let after_canary = async || {
        assert_eq!(caller.peers.canary(&node.addr).await, Ok(Outcome::Sent));
        caller.peers.refuges()
    };
    assert_eq!(after_canary().await, ["wss://b.example.org/acc"]);
    node.hub.admission.close(true);
    assert!(after_canary().await.is_empty(), "its memory is short");
    node.hub.admission.close(false);
    assert_eq!(after_canary().await.len(), 1);
    let second = Duration::from_secs(1);
    node.drain.begin_grace(second, Plan { grace: second, rate: 0, timeout: second });
    assert!(after_canary().await.is_empty(), "it is about to stop");
    node.drain.cancel();
    assert_eq!(after_canary().await.len(), 1);
    let addr = node.addr.clone();
    drop(node);
    until("gone", || caller.kind(&addr).is_none()).await;
    assert!(caller.peers.refuges().is_empty());
}

/// A URL that does not fit into a goodbye is told to nobody.
#[tokio::test]
async fn what_cannot_be_told_to_clients_is_no_refuge() {
    let mut config = Config::default();
    config.cluster.client_url = format!("wss://{}", "b".repeat(200));
    let node = Node::start(&config);
    let caller = Caller::connected_to(&node.addr).await;
    assert_eq!(caller.peers.canary(&node.addr).await, Ok(Outcome::Sent));
    assert!(caller.peers.refuges().is_empty());
}

#[tokio::test]
async fn a_kick_arrives_and_its_answer_says_who_took_it() {
    let node = Node::start_at(&Config::default(), SocketAddr::from(([127, 0, 0, 1], 0)), 1);
    let caller = Caller::connected_to(&node.addr).await;
    let kick = Kick { whom: Whom::App(APP), reason: "bye".into() };
    let request = kick_request(&kick).unwrap();
    let answers = async || caller.peers.kick(&request).await.remove(0).1;
    assert_eq!(answers().await, Ok(Orders { taken: 1, refused: 0 }));
    assert_eq!(answers().await, Ok(Orders { taken: 0, refused: 1 }), "its mailbox is full");
    assert!(matches!(node.mail.take(), Some(Mail::Kick(taken)) if *taken == kick));
    let nobody = KickRequest { whom: None, ..request.clone() };
    let answers = caller.peers.kick(&nobody).await;
    assert_eq!(answers[0].1, Err(PeerError::Refused));
}

/// News is sent even if the caller does not care for the answer.
#[tokio::test]
async fn a_displacement_needs_nobody_who_waits() {
    let node = Node::start(&Config::default());
    node.log_in("moved", 2);
    let caller = Caller::start(&Config::default(), &[&node.addr]);
    drop(caller.peers.displaced(&node.addr, &moved(), 1));
    until("displaced", || node.hub.directory.find(APP, "moved").is_none()).await;
}

/// While it connects, messages wait for the connection.
#[tokio::test]
async fn the_first_message_need_not_wait_for_a_connection_to_be_there() {
    let node = Node::start(&Config::default());
    node.log_in("ua", 1);
    let caller = Caller::start(&Config::default(), &[&node.addr]);
    assert_eq!(caller.send(&node.addr, push("ua", "x")).await, Ok(Outcome::Sent));
}

/// Where nobody writes, the peer is asked for a sign of life now and then.
#[tokio::test]
async fn an_idle_connection_stays() {
    let node = Node::start(&Config::default());
    let caller = Caller::connected_to(&node.addr).await;
    let silent_for = || caller.peers.states()[0].silent_for.unwrap();
    until("silent for a while", || silent_for() > Duration::from_secs(1)).await;
    until("heard again", || silent_for() < Duration::from_secs(1)).await;
    assert_eq!(caller.kind(&node.addr), Some(PeerKind::Millgate));
    assert_eq!(caller.metrics.peers.breaks.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_message_to_all_goes_to_every_peer_and_not_to_the_node_itself() {
    let nodes = [(); 3].map(|()| Node::start(&Config::default()));
    let addrs: Vec<_> = nodes.iter().map(|node| &node.addr).collect();
    let caller = Caller::start(&Config::default(), &addrs);
    let mut answers = caller.peers.send_all(push("ua", "all")).await;
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    let mut expected: Vec<_> =
        addrs.iter().map(|addr| ((*addr).clone(), Ok(Outcome::Sent))).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(answers, expected);
    assert_eq!(caller.peers.addresses().len(), 3);
    for node in &nodes {
        assert!(node.next_text().unwrap().contains("\"msg\":\"all\",\"from\":\"ua\""));
    }
}

#[tokio::test]
async fn a_list_is_read_in_pages() {
    let node = Node::start(&Config::default());
    let names: HashSet<String> = (0..2_500).map(|n| format!("u{n}")).collect();
    names.iter().for_each(|name| node.log_in(name, 1));
    let caller = Caller::start(&Config::default(), &[&node.addr]);
    let mut list = caller.peers.list(&node.addr, APP, 0, 1_200).await.unwrap();
    let (mut listed, mut next) = (Vec::new(), None);
    while let Some(page) = list.next().await {
        let page = page.unwrap();
        assert!(page.users.len() <= 1_000);
        assert_eq!(page.members, 2_500);
        (listed, next) = ([listed, page.users].concat(), page.next);
    }
    assert_eq!(listed.len(), 1_200);
    let mut list = caller.peers.list(&node.addr, APP, next.unwrap(), 0).await.unwrap();
    while let Some(page) = list.next().await {
        let page = page.unwrap();
        (listed, next) = ([listed, page.users].concat(), page.next);
    }
    assert_eq!((listed.len(), next), (2_500, None));
    assert_eq!(HashSet::from_iter(listed), names);
}

/// A login elsewhere of somebody who is here, too.
fn moved() -> User {
    User::new(APP, "moved".into(), ConnId { reactor: 0, slot: 0, serial: 1 })
}
