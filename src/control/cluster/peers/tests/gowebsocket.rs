//! A peer without batches: calls one by one, as it knows them.

use super::go_node::{GoNode, acc, dial};
use super::{Caller, address, loopback, push, until};
use crate::config::Config;
use crate::control::cluster::Stamps;
use crate::control::cluster::peers::peer::PeerKind;
use crate::control::cluster::peers::{Holding, Outcome, PeerError};
use crate::control::grpc::stage::{APP, Node};
use crate::control::orders::kick_request;
use crate::id::NodeAddr;
use crate::link::{Kick, Whom};
use futures_util::future::join_all;

async fn pair() -> (GoNode, NodeAddr, Caller) {
    let listener = loopback();
    let addr = address(&listener);
    let go = GoNode::start(listener);
    let caller = Caller::connected_to(&addr).await;
    assert_eq!(caller.kind(&addr), Some(PeerKind::Gowebsocket));
    (go, addr, caller)
}

#[tokio::test]
async fn messages_arrive_as_calls() {
    let (go, addr, caller) = pair().await;
    go.log_in(101, "ua");
    assert_eq!(caller.send(&addr, push("ua", "你好")).await, Ok(Outcome::Sent));
    assert_eq!(caller.send(&addr, push("nobody", "x")).await, Ok(Outcome::Offline));
    assert_eq!(caller.peers.canary(&addr).await, Ok(Outcome::Sent));
    assert_eq!(caller.peers.displaced(&addr, &super::moved(), 1).await, Ok(Outcome::Sent));
    let all = caller.peers.send_all(push("ub", "all")).await;
    assert_eq!(all, [(addr.clone(), Ok(Outcome::Sent))]);
    let room = go.room.lock().unwrap();
    let expected = acc::SendMsgReq {
        seq: "1".into(),
        app_id: 101,
        user_id: "ua".into(),
        cms: "msg".into(),
        r#type: "text".into(),
        msg: "你好".into(),
        is_local: false,
    };
    assert_eq!(room.messages, [expected]);
    let got = &room.broadcasts[0];
    assert_eq!((got.app_id, got.user_id.as_str(), got.msg.as_str()), (101, "ub", "all"));
}

/// Nor does it say where clients could go.
#[tokio::test]
async fn orders_are_not_for_such_nodes() {
    let (_go, addr, caller) = pair().await;
    let kick = Kick { whom: Whom::App(APP), reason: "bye".into() };
    let answers = caller.peers.kick(&kick_request(&kick).unwrap()).await;
    assert_eq!(answers, [(addr, Err(PeerError::Unable))]);
    assert!(caller.peers.refuges().is_empty());
}

#[tokio::test]
async fn many_messages_arrive_once_each_and_those_to_one_user_in_order() {
    let (go, addr, caller) = pair().await;
    let name = |n: usize| format!("u{:02}", n % 50);
    for n in 0..50 {
        go.log_in(101, &name(n));
    }
    let sends = (0..500).map(|n| caller.peers.send(&addr, push(&name(n), &format!("{n:04}"))));
    for answer in join_all(sends.collect::<Vec<_>>()).await {
        assert_eq!(answer, Ok(Outcome::Sent));
    }
    let room = go.room.lock().unwrap();
    let mut came: Vec<_> =
        room.messages.iter().map(|call| (call.user_id.clone(), call.msg.clone())).collect();
    // Stable: of each user in the order in which they came.
    came.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut sent: Vec<_> = (0..500).map(|n| (name(n), format!("{n:04}"))).collect();
    sent.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(came, sent);
}

#[tokio::test]
async fn questions_are_answered_without_a_code() {
    let (go, addr, caller) = pair().await;
    go.log_in(101, "ua");
    go.room.lock().unwrap().elsewhere.insert((101, "ub".into()));
    for (user, online) in [("ua", true), ("ub", true), ("nobody", false)] {
        assert_eq!(
            caller.peers.holds(&addr, APP, user).await,
            Ok(if online { Holding::Held(None) } else { Holding::Nothing }),
            "{user}"
        );
    }
}

#[tokio::test]
async fn a_list_that_comes_at_once_is_cut_into_pages() {
    let (go, addr, caller) = pair().await;
    let names: Vec<String> = (0..2_500).map(|n| format!("u{n:04}")).collect();
    names.iter().for_each(|name| go.log_in(101, name));
    let (mut listed, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let mut list = caller.peers.list(&addr, APP, at, 1_700).await.unwrap();
        while let Some(page) = list.next().await {
            let page = page.unwrap();
            assert!(page.users.len() <= 1_000);
            assert_eq!(page.members, 2_500);
            (listed, from) = ([listed, page.users].concat(), page.next);
        }
    }
    assert_eq!(listed, names);
    let mut list = caller.peers.list(&addr, crate::id::AppId(7), 0, 0).await.unwrap();
    assert_eq!(list.next().await, None);
}

#[tokio::test]
async fn a_peer_that_dies_is_noticed_by_the_next_call() {
    let (go, addr, caller) = pair().await;
    drop(go);
    let answer = caller.send(&addr, push("ua", "x")).await;
    assert!(
        matches!(answer, Err(PeerError::Lost | PeerError::Down | PeerError::Gone)),
        "{answer:?}"
    );
    caller.until_down(&addr).await;
}

/// And the other way round: its client, which dials for each call.
#[tokio::test]
async fn its_client_is_answered() {
    let node = Node::start(&Config::default());
    node.log_in("ua", 1);
    let request = acc::SendMsgReq { app_id: 101, user_id: "ua".into(), ..Default::default() };
    let mut client = dial(node.addr.as_str()).await.unwrap();
    assert_eq!(client.send_msg(request).await.unwrap().into_inner().ret_code, 200);
    let request = acc::QueryUsersOnlineReq { app_id: 101, user_id: "faraway".into() };
    let mut client = dial(node.addr.as_str()).await.unwrap();
    assert!(client.query_users_online(request).await.unwrap().into_inner().online);
}

/// Such a node handles calls at the same time: what is about one user must not overtake itself.
#[tokio::test]
async fn calls_about_one_user_keep_their_order() {
    let (go, addr, caller) = pair().await;
    let mut sent = Vec::new();
    let mut answers = Vec::new();
    for n in 0..400_usize {
        let mut push = push(&format!("u{}", n % 4), &n.to_string());
        push.cmd = if n / 4 % 2 == 0 { "enter" } else { "exit" }.into();
        sent.push((push.user.to_string(), push.msg.clone()));
        answers.push(caller.peers.send_all(push));
    }
    for answer in join_all(answers).await {
        assert_eq!(answer, [(addr.clone(), Ok(Outcome::Sent))]);
    }
    let came: Vec<(String, String)> = {
        let room = go.room.lock().unwrap();
        room.broadcasts.iter().map(|call| (call.user_id.clone(), call.msg.clone())).collect()
    };
    for user in 0..4 {
        let of = |all: &[(String, String)]| -> Vec<_> {
            all.iter().filter(|(name, _)| *name == format!("u{user}")).cloned().collect()
        };
        assert_eq!(of(&came), of(&sent));
    }
}

/// Such a node never takes its registration back when it ends.
#[tokio::test]
async fn a_node_that_has_ended_is_known_to_be_empty_and_tried_when_it_registers() {
    let (go, addr, caller) = pair().await;
    let socket_addr = go.addr;
    drop(go);
    let _lost = caller.send(&addr, push("ua", "x")).await;
    until("nobody listens", || {
        caller.peers.states()[0].error.as_deref().is_some_and(|error| error.contains("refused"))
    })
    .await;
    assert_eq!(caller.send(&addr, push("ua", "x")).await, Err(PeerError::Gone));
    assert_eq!(caller.peers.holds(&addr, APP, "ua").await, Err(PeerError::Gone));
    // It is back, and says so in Redis; the pauses between tries have become long.
    let (stamps, watched) = tokio::sync::watch::channel(Stamps::default());
    caller.peers.heed(watched);
    let failures = || caller.peers.states()[0].is_down;
    until("it is out of reach", failures).await;
    let _go = GoNode::start(crate::control::grpc::stage::bind(socket_addr));
    stamps.send_replace(std::sync::Arc::new([(addr.clone(), 7)].into()));
    caller.until_connected(&addr).await;
}
