//! The server, as strangers and peers call it.

use super::stage::{APP, Node, PATIENCE, until};
use crate::auth::new_key;
use crate::config::{Config, Scopes};
use crate::control::proto::acc::acc_server_client::AccServerClient;
use crate::control::proto::acc::{
    GetUserListReq, QueryUsersOnlineReq, SendMsgAllReq, SendMsgReq, SendMsgRsp,
};
use crate::control::proto::relay::item::Kind;
use crate::control::proto::relay::relay_client::RelayClient;
use crate::control::proto::relay::{
    Batch, Canary, Deliver, Displaced, FanOut, HoldsRequest, Item, ListRequest, Outcome, Receipt,
};
use crate::link::Mail;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};

async fn channel(node: &Node) -> Channel {
    Endpoint::from_shared(format!("http://{}", node.addr)).unwrap().connect().await.unwrap()
}

fn message(user: &str, msg: &str) -> SendMsgReq {
    let (seq, cms, msg) = ("m1".into(), "msg".into(), msg.into());
    SendMsgReq { seq, app_id: APP.0, user_id: user.into(), cms, msg, ..Default::default() }
}

#[tokio::test]
async fn a_message_is_answered_with_a_code_that_says_what_became_of_it() {
    let node = Node::start(&small_bodies());
    let mut acc = AccServerClient::new(channel(&node).await);
    node.log_in("ua", 7);
    let reply = acc.send_msg(message("ua", "你好")).await.unwrap().into_inner();
    assert_eq!((reply.ret_code, reply.send_msg_id.as_str()), (200, "m1"));
    let Some(Mail::Deliver { slot: 7, serial: 1, frame }) = node.mail.take() else {
        panic!("none")
    };
    let text = String::from_utf8_lossy(frame.as_bytes()).into_owned();
    let parts = [r#""seq":"m1","cmd":"msg""#, r#""codeMsg":"Ok""#, r#""msg":"你好","from":"ua""#];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    let unknown_app = SendMsgReq { app_id: 9, ..message("ua", "x") };
    let cases = [
        (message("nobody", "x"), 1005),
        (unknown_app, 1003),
        (message("", "x"), 1002),
        (message("a-name-of-20-bytes-xx", "x"), 1002),
        (message("ua", &"x".repeat(300_000)), 1001),
        // It becomes larger when it is encoded.
        (message("ua", &"\u{1}".repeat(200_000)), 1001),
    ];
    for (request, code) in cases {
        let reply = acc.send_msg(request).await.unwrap().into_inner();
        assert_eq!(reply.ret_code, code, "{}", reply.err_msg);
        assert!(!reply.err_msg.is_empty() && reply.send_msg_id.is_empty());
    }
    assert!(node.mail.take().is_none());
}

/// Bodies, and so messages, may have the size of a usual backlog.
fn small_bodies() -> Config {
    let mut config = Config::default();
    config.limits.http_body_bytes = config.limits.outbox_bytes;
    config
}

/// As large as a body of the API may be, whatever the backlog of a slow reader may be.
#[tokio::test]
async fn a_call_may_be_as_large_as_a_body_of_the_api() {
    let config = Config::default();
    let node = Node::start(&config);
    node.log_in("ua", 1);
    let mut acc = AccServerClient::new(channel(&node).await);
    let names = "m1".len() + "ua".len() + "msg".len() + "ua".len();
    let largest = config.limits.http_body_bytes - names;
    let cases = [("\"", largest, 200), ("字", largest / 3, 200), ("x", largest + names, 1001)];
    for (text, count, code) in cases {
        let text = text.repeat(count);
        let reply = acc.send_msg(message("ua", &text)).await.unwrap().into_inner();
        assert_eq!(reply.ret_code, code, "{}", reply.err_msg);
        let (seq, cms) = ("e1".into(), "msg".into());
        let to_all = SendMsgAllReq { seq, app_id: APP.0, cms, msg: text, ..Default::default() };
        let reply = acc.send_msg_all(to_all).await.unwrap().into_inner();
        assert_eq!(reply.ret_code, code, "{}", reply.err_msg);
        let told = usize::from(code == 200);
        assert_eq!(std::iter::from_fn(|| node.mail.take()).count(), 2 * told);
    }
}

/// Nobody gets it, and the caller is told why: the copies would cost others their connections.
#[tokio::test]
async fn a_large_message_to_too_many_is_refused_in_words() {
    let node = Node::start(&Config::default());
    node.hub.bounds.set_backlogs(4 << 20);
    (0..10).for_each(|n| node.log_in(&format!("u{n}"), n));
    let mut acc = AccServerClient::new(channel(&node).await);
    let to_all = |bytes: usize| SendMsgAllReq {
        app_id: APP.0,
        cms: "msg".into(),
        msg: "x".repeat(bytes),
        ..Default::default()
    };
    let reply = acc.send_msg_all(to_all(300_000)).await.unwrap().into_inner();
    assert_eq!(reply.ret_code, 1001);
    assert!(reply.err_msg.contains("limits.outbox_total_bytes"), "{}", reply.err_msg);
    assert!(node.mail.take().is_none());
    // What fits into a usual backlog is not held up.
    let reply = acc.send_msg_all(to_all(250_000)).await.unwrap().into_inner();
    assert_eq!(reply.ret_code, 200);
}

#[tokio::test]
async fn a_full_mailbox_is_told() {
    let node = Node::start_at(&Config::default(), SocketAddr::from(([127, 0, 0, 1], 0)), 1);
    let mut acc = AccServerClient::new(channel(&node).await);
    node.log_in("ua", 1);
    let mut codes = Vec::new();
    for _ in 0..2 {
        codes.push(acc.send_msg(message("ua", "x")).await.unwrap().into_inner().ret_code);
    }
    assert_eq!(codes, [200, 1009]);
    let request = SendMsgAllReq { app_id: APP.0, ..Default::default() };
    assert_eq!(acc.send_msg_all(request).await.unwrap().into_inner().ret_code, 1009);
}

#[tokio::test]
async fn broadcasts_lists_and_questions() {
    let node = Node::start(&Config::default());
    let mut acc = AccServerClient::new(channel(&node).await);
    let names: HashSet<String> = (0..3_000).map(|n| format!("u{n}")).collect();
    names.iter().for_each(|name| node.log_in(name, 1));
    let (seq, cms, msg) = ("e1".into(), "enter".into(), "哈喽~".into());
    let request =
        SendMsgAllReq { seq, app_id: APP.0, user_id: "u1".into(), cms, msg, ..Default::default() };
    let reply = acc.send_msg_all(request).await.unwrap().into_inner();
    assert_eq!((reply.ret_code, reply.send_msg_id.as_str()), (200, "e1"));
    let Some(Mail::Fanout(fanout)) = node.mail.take() else { panic!("none") };
    assert_eq!((fanout.app, fanout.except.as_str()), (APP, "u1"));

    let reply = acc.get_user_list(GetUserListReq { app_id: APP.0 }).await.unwrap().into_inner();
    assert_eq!((reply.ret_code, reply.user_id.len()), (200, names.len()));
    assert_eq!(HashSet::from_iter(reply.user_id), names);
    let reply = acc.get_user_list(GetUserListReq { app_id: 9 }).await.unwrap().into_inner();
    assert_eq!((reply.ret_code, reply.user_id.len()), (200, 0));

    for (user, online) in [("u1", true), ("faraway", true), ("nowhere", false), ("unknown", false)]
    {
        let request = QueryUsersOnlineReq { app_id: APP.0, user_id: user.into() };
        let reply = acc.query_users_online(request).await.unwrap().into_inner();
        assert_eq!((reply.ret_code, reply.online), (200, online), "{user}");
    }
}

/// Opens a stream of batches.
async fn carry(node: &Node) -> (mpsc::Sender<Batch>, Streaming<Receipt>) {
    let (batches, outgoing) = mpsc::channel(16);
    let mut relay = RelayClient::new(channel(node).await);
    let receipts = relay.carry(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    (batches, receipts)
}

fn deliver(app: u32, user: &str, msg: &str) -> Item {
    let (user, seq, cmd, msg) = (user.into(), "1".into(), "msg".into(), msg.into());
    Item { kind: Some(Kind::Deliver(Deliver { app, user, seq, cmd, msg, from: String::new() })) }
}

#[tokio::test]
async fn bad_items_in_a_batch_harm_no_others() {
    let node = Node::start(&small_bodies());
    node.log_in("ua", 1);
    node.log_in("moved", 2);
    let (batches, mut receipts) = carry(&node).await;
    let fan_out = |app| {
        let (from, seq, cmd, msg) = (String::new(), "2".into(), "msg".into(), "all".into());
        Item { kind: Some(Kind::FanOut(FanOut { app, from, seq, cmd, msg })) }
    };
    let displaced = |app, user: &str| Item {
        kind: Some(Kind::Displaced(Displaced { app, user: user.into(), ..Displaced::default() })),
    };
    use Outcome::{Done, Invalid, Offline};
    let cases = [
        (deliver(101, "ua", "first"), Done),
        (deliver(9, "ua", "x"), Invalid),
        (deliver(101, "", "x"), Invalid),
        (deliver(101, &"x".repeat(20), "x"), Invalid),
        (deliver(101, "ua", &"x".repeat(300_000)), Invalid),
        (Item { kind: None }, Invalid),
        (fan_out(9), Invalid),
        (displaced(9, "ua"), Invalid),
        (deliver(101, "nobody", "x"), Offline),
        (displaced(101, "moved"), Done),
        (displaced(101, "moved"), Done),
        (deliver(101, "moved", "x"), Offline),
        (Item { kind: Some(Kind::Canary(Canary {})) }, Done),
        (fan_out(101), Done),
        (deliver(101, "ua", "last"), Done),
    ];
    let (items, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    batches.send(Batch { number: 41, items }).await.unwrap();
    let receipt = receipts.message().await.unwrap().unwrap();
    assert_eq!(receipt.number, 41);
    assert_eq!(receipt.outcomes().collect::<Vec<_>>(), expected);
    for part in ["first", "all", "last"] {
        assert!(node.next_text().unwrap().contains(part), "{part}");
    }
    assert!(node.mail.take().is_none());
    assert_eq!(node.metrics.peers.invalid.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn what_is_too_large_ends_its_stream_alone() {
    let node = Node::start(&Config::default());
    let (batches, mut receipts) = carry(&node).await;
    let items = vec![Item { kind: Some(Kind::Canary(Canary {})) }; 1_025];
    batches.send(Batch { number: 1, items }).await.unwrap();
    assert_eq!(receipts.message().await.unwrap_err().code(), Code::InvalidArgument);

    let (batches, mut receipts) = carry(&node).await;
    let items = vec![deliver(101, "ua", &"x".repeat(7 << 20))];
    batches.send(Batch { number: 1, items }).await.unwrap();
    assert_eq!(receipts.message().await.unwrap_err().code(), Code::OutOfRange);

    let mut acc = AccServerClient::new(channel(&node).await);
    let refused = acc.send_msg(message("ua", &"x".repeat(7 << 20))).await;
    assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(acc.send_msg(message("ua", "x")).await.unwrap().into_inner().ret_code, 1005);
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let node = Node::start(&Config::default());
    let names: HashSet<String> = (0..2_500).map(|n| format!("u{n}")).collect();
    names.iter().for_each(|name| node.log_in(name, 1));
    let mut relay = RelayClient::new(channel(&node).await);
    let (mut listed, mut sizes, mut from) = (Vec::new(), Vec::new(), 0);
    loop {
        let request = ListRequest { app: APP.0, from, limit: 1_700 };
        let mut pages = relay.list(request).await.unwrap().into_inner();
        while let Some(page) = pages.message().await.unwrap() {
            assert_eq!(page.members, 2_500);
            sizes.push(page.users.len());
            listed.extend(page.users);
            from = page.next;
        }
        if from == 0 {
            break;
        }
    }
    assert_eq!(sizes, [1_000, 700, 800]);
    assert_eq!((listed.len(), HashSet::from_iter(listed)), (names.len(), names));
    let request = ListRequest { app: 9, from: 0, limit: 0 };
    let mut pages = relay.list(request).await.unwrap().into_inner();
    let page = pages.message().await.unwrap().unwrap();
    assert_eq!((page.users.len(), page.next, page.members), (0, 0, 0));
    for (user, holds) in [("u1", true), ("faraway", false)] {
        let request = HoldsRequest { app: APP.0, user: user.into() };
        assert_eq!(relay.holds(request).await.unwrap().into_inner().holds, holds);
    }
}

#[tokio::test]
async fn without_the_token_nothing_is_answered() {
    let mut config = Config::default();
    config.cluster.token = "a long and secret word".replace(' ', "-").as_str().into();
    let node = Node::start(&config);
    node.log_in("ua", 1);
    let channel = channel(&node).await;
    let given = ["", "Bearer wrong", "a-long-and-secret-word", "Bearer a-long-and-secret-word "];
    for token in given {
        let with = |message| {
            let mut request = Request::new(message);
            if !token.is_empty() {
                request.metadata_mut().insert("authorization", token.trim_end().parse().unwrap());
            }
            request
        };
        let sent = AccServerClient::new(channel.clone()).send_msg(with(message("ua", "x"))).await;
        if token.ends_with(' ') {
            assert_eq!(sent.unwrap().into_inner().ret_code, 200);
        } else {
            assert_eq!(sent.unwrap_err().code(), Code::Unauthenticated, "{token}");
        }
    }
    let holds = HoldsRequest { app: APP.0, user: "ua".into() };
    let refused = RelayClient::new(channel).holds(holds).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(node.metrics.peers.unauthenticated.load(Ordering::Relaxed), 4);
}

/// Callers with a key are no nodes: they may do what their key is for, and never what nodes do.
#[tokio::test]
async fn a_key_of_the_api_opens_its_calls() {
    let (reader, read) = new_key("reader", Scopes::parse("read").unwrap()).unwrap();
    let (sender, send) = new_key("sender", Scopes::parse("send").unwrap()).unwrap();
    let mut config = Config::default();
    config.cluster.token = "a-long-and-secret-word".into();
    config.auth.keys = vec![read.to_string(), send.to_string()];
    let node = Node::start(&config);
    node.log_in("ua", 1);
    let channel = channel(&node).await;
    let with = |header: &'static str, value: String, sends: bool| {
        let mut acc = AccServerClient::new(channel.clone());
        async move {
            let value = value.parse().unwrap();
            if sends {
                let mut request = Request::new(message("ua", "x"));
                request.metadata_mut().insert(header, value);
                acc.send_msg(request).await.map(|reply| reply.into_inner().ret_code)
            } else {
                let mut request = Request::new(GetUserListReq { app_id: APP.0 });
                request.metadata_mut().insert(header, value);
                acc.get_user_list(request).await.map(|reply| reply.into_inner().ret_code)
            }
            .map_err(|status| status.code())
        }
    };
    let bearer = |key: &str| format!("Bearer {key}");
    for (key, sends, expected) in [
        (&reader, false, Ok(200)),
        (&reader, true, Err(Code::PermissionDenied)),
        (&sender, true, Ok(200)),
        (&sender, false, Err(Code::PermissionDenied)),
    ] {
        assert_eq!(with("x-api-key", key.clone(), sends).await, expected);
        assert_eq!(with("authorization", bearer(key), sends).await, expected);
    }
    assert_eq!(with("x-api-key", "mg_x".into(), true).await, Err(Code::Unauthenticated));
    assert_eq!(with("authorization", bearer("a-long-and-secret-word"), true).await, Ok(200));
    let mut holds = Request::new(HoldsRequest { app: APP.0, user: "ua".into() });
    holds.metadata_mut().insert("x-api-key", reader.parse().unwrap());
    let refused = RelayClient::new(channel.clone()).holds(holds).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "nodes alone call that");
}

#[tokio::test]
async fn garbage_ends_its_connection_alone() {
    let node = Node::start(&Config::default());
    let mut socket = tokio::net::TcpStream::connect(node.addr.as_str()).await.unwrap();
    socket.write_all(&[0xA5; 4_096]).await.unwrap();
    let mut rest = Vec::new();
    // Whether by a reset or in good order: it ends.
    let ended = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open");
    let mut acc = AccServerClient::new(channel(&node).await);
    assert_eq!(acc.send_msg(message("ua", "x")).await.unwrap().into_inner().ret_code, 1005);
}

/// Neither a connection on which nothing comes nor a request without an end
/// keeps its place.
#[tokio::test]
async fn who_does_not_go_on_is_let_go() {
    let node = Node::start(&Config::default());
    let mut socket = tokio::net::TcpStream::connect(node.addr.as_str()).await.unwrap();
    socket.write_all(b"PRI * HTTP/2.0").await.unwrap();
    let mut rest = Vec::new();
    let silence = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest));

    // A client that speaks HTTP/2, and answers its pings, but calls nothing.
    let idle = tokio::net::TcpStream::connect(node.addr.as_str()).await.unwrap();
    let idle = tokio::time::timeout(PATIENCE, async {
        let (mut reader, mut writer) = idle.into_split();
        writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        writer.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut head = [0; 9];
        while reader.read_exact(&mut head).await.is_ok() {
            let mut rest = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if reader.read_exact(&mut rest).await.is_err() {
                break;
            }
            let is_ping = head[3] == 6 && head[4] == 0;
            if is_ping {
                let answer = [&[0, 0, 8, 6, 1, 0, 0, 0, 0], &rest[..]].concat();
                let _may_be_gone = writer.write_all(&answer).await;
            }
        }
    });

    let mut client = tonic::client::Grpc::new(channel(&node).await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<SendMsgReq, SendMsgRsp>::default();
    let path = "/protobuf.AccServer/SendMsg".parse().unwrap();
    let endless = Request::new(futures_util::stream::pending());
    let request = tokio::time::timeout(PATIENCE, client.client_streaming(endless, path, codec));

    let (silence, idle, request) = tokio::join!(silence, idle, request);
    assert!(silence.is_ok() && idle.is_ok(), "still open");
    assert_eq!(node.metrics.peers.silent.load(Ordering::Relaxed), 2);
    let status = request.unwrap().unwrap_err();
    assert!(matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded), "{status}");
}

#[tokio::test]
async fn the_end_ends_streams_that_would_go_on() {
    let node = Node::start(&Config::default());
    let (_batches, mut receipts) = carry(&node).await;
    node.ending.send(true).unwrap();
    let end = tokio::time::timeout(PATIENCE, receipts.message()).await.expect("it ends");
    assert_eq!(end.unwrap(), None);
    until("the server has ended", || node.serving.is_finished()).await;
}
