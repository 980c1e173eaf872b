//! Peers that are not there, say nothing, say nonsense, or end.

use super::{Caller, PROMISE, address, loopback, push};
use crate::config::Config;
use crate::control::cluster::peers::peer::PeerKind;
use crate::control::cluster::peers::{Outcome, PeerError};
use crate::control::grpc::stage::{APP, Node, bind, until};
use crate::control::proto::relay::relay_server::{Relay, RelayServer};
use crate::control::proto::relay::{
    Batch, HoldsReply, HoldsRequest, KickReply, KickRequest, ListPage, ListRequest, Receipt,
};
use crate::id::NodeAddr;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Whatever is asked of a peer that is out of reach fails, and others do not notice.
async fn fails_at_once_and_harms_nobody(bad: &NodeAddr) {
    let good = Node::start(&Config::default());
    good.log_in("ua", 1);
    let caller = Caller::start(&Config::default(), &[bad, &good.addr]);
    caller.until_connected(&good.addr).await;
    let first = caller.send(bad, push("ua", "x")).await;
    assert!(first.is_err(), "{first:?}");
    caller.until_down(bad).await;
    let away = |error| matches!(error, PeerError::Down | PeerError::Gone);
    assert!(away(caller.send(bad, push("ua", "x")).await.unwrap_err()));
    assert!(away(caller.peers.holds(bad, APP, "ua").await.unwrap_err()));
    assert!(away(caller.peers.list(bad, APP, 0, 0).await.unwrap_err()));
    assert_eq!(caller.send(&good.addr, push("ua", "x")).await, Ok(Outcome::Sent));
    let all = tokio::time::timeout(PROMISE, caller.peers.send_all(push("ub", "x"))).await.unwrap();
    for (addr, result) in all {
        let is_bad = addr == *bad;
        assert!(if is_bad { away(result.unwrap_err()) } else { result == Ok(Outcome::Sent) });
    }
    let states = caller.peers.states();
    let state = states.iter().find(|state| state.addr == *bad).unwrap();
    assert!(state.error.is_some() && state.kind.is_none() && state.is_down, "{state:?}");
    assert!(caller.metrics.peers.failed.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
async fn a_peer_that_is_not_there() {
    let addr = address(&loopback());
    fails_at_once_and_harms_nobody(&addr).await;
}

#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing() {
    // The kernel accepts for it.
    let listener = loopback();
    fails_at_once_and_harms_nobody(&address(&listener)).await;
}

#[tokio::test]
async fn a_peer_that_answers_garbage() {
    let listener = loopback();
    let addr = address(&listener);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut socket in listener.incoming().flatten() {
            // An error means that the caller has had enough already.
            let _written = socket.write_all(&[0x5A; 10_000]);
            kept.push(socket);
        }
    });
    fails_at_once_and_harms_nobody(&addr).await;
}

#[tokio::test]
async fn a_peer_that_resets() {
    let listener = loopback();
    let addr = address(&listener);
    std::thread::spawn(move || listener.incoming().for_each(drop));
    fails_at_once_and_harms_nobody(&addr).await;
}

/// A node that acknowledges what its `acknowledges` says, from the stream's beginning.
struct Odd {
    acknowledges: Receipts,
}

/// The receipts for the batches of one stream, by their numbers; `None` sends none.
type Receipts = fn(&Batch) -> Option<Receipt>;

#[tonic::async_trait]
impl Relay for Odd {
    type CarryStream = BoxStream<'static, Result<Receipt, Status>>;
    type ListStream = BoxStream<'static, Result<ListPage, Status>>;

    async fn carry(
        &self,
        request: Request<Streaming<Batch>>,
    ) -> Result<Response<Self::CarryStream>, Status> {
        let acknowledges = self.acknowledges;
        let receipts = request.into_inner().filter_map(move |batch| {
            let receipt = batch.map(|batch| acknowledges(&batch)).transpose();
            std::future::ready(receipt)
        });
        Ok(Response::new(receipts.boxed()))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<Self::ListStream>, Status> {
        Ok(Response::new(stream::pending().boxed()))
    }

    async fn holds(&self, _: Request<HoldsRequest>) -> Result<Response<HoldsReply>, Status> {
        std::future::pending().await
    }

    async fn kick(&self, _: Request<KickRequest>) -> Result<Response<KickReply>, Status> {
        std::future::pending().await
    }
}

impl Odd {
    fn start(listener: TcpListener, acknowledges: Receipts) -> (NodeAddr, JoinHandle<()>) {
        let addr = address(&listener);
        listener.set_nonblocking(true).unwrap();
        let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
        let server = Server::builder().add_service(RelayServer::new(Self { acknowledges }));
        let serving = async { server.serve_with_incoming(incoming).await.unwrap() };
        (addr, tokio::spawn(serving))
    }
}

fn acknowledge(batch: &Batch) -> Receipt {
    Receipt { number: batch.number, outcomes: vec![0; batch.items.len()], standing: None }
}

/// It is there, and acknowledges the first batch, but then nothing any more.
#[tokio::test]
async fn a_peer_that_stops_answering() {
    let first_alone: Receipts = |batch| (batch.number == 1).then(|| acknowledge(batch));
    let (addr, serving) = Odd::start(loopback(), first_alone);
    let caller = Caller::connected_to(&addr).await;
    let holds = tokio::time::timeout(PROMISE, caller.peers.holds(&addr, APP, "ua")).await.unwrap();
    assert_eq!(holds, Err(PeerError::Late));
    let kick = KickRequest::default();
    let kicked = tokio::time::timeout(PROMISE, caller.peers.kick(&kick)).await.unwrap();
    assert_eq!(kicked, [(addr.clone(), Err(PeerError::Late))]);
    let sent = caller.send(&addr, push("ua", "x")).await.unwrap_err();
    assert!(matches!(sent, PeerError::Late | PeerError::Lost), "{sent}");
    until("noticed", || caller.metrics.peers.breaks.load(Ordering::Relaxed) > 0).await;
    serving.abort();
}

#[tokio::test]
async fn a_list_that_does_not_go_on() {
    let (addr, serving) = Odd::start(loopback(), |batch| Some(acknowledge(batch)));
    let caller = Caller::connected_to(&addr).await;
    let mut list = caller.peers.list(&addr, APP, 0, 0).await.unwrap();
    let page = tokio::time::timeout(PROMISE, list.next()).await.unwrap();
    assert_eq!(page, Some(Err(PeerError::Late)));
    assert_eq!(list.next().await, None);
    serving.abort();
}

#[tokio::test]
async fn receipts_that_fit_no_batch_break_the_stream() {
    let wrong_number: Receipts = |batch| {
        Some(Receipt { number: batch.number + u64::from(batch.number > 1), ..acknowledge(batch) })
    };
    let too_few: Receipts = |batch| Some(Receipt { outcomes: Vec::new(), ..acknowledge(batch) });
    for receipts in [wrong_number, too_few] {
        let (addr, serving) = Odd::start(loopback(), receipts);
        let caller = Caller::connected_to(&addr).await;
        assert_eq!(caller.send(&addr, push("ua", "x")).await, Err(PeerError::Lost));
        serving.abort();
    }
}

#[tokio::test]
async fn an_outcome_that_nobody_knows_is_no_success() {
    let unheard_of: Receipts =
        |batch| Some(Receipt { outcomes: vec![99; batch.items.len()], ..acknowledge(batch) });
    let (addr, serving) = Odd::start(loopback(), unheard_of);
    let caller = Caller::connected_to(&addr).await;
    assert_eq!(caller.send(&addr, push("ua", "x")).await, Ok(Outcome::Refused));
    serving.abort();
}

/// A peer that is cut off without a word is noticed though nobody writes to it.
#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed() {
    let first_alone: Receipts = |batch| (batch.number == 1).then(|| acknowledge(batch));
    let (addr, serving) = Odd::start(loopback(), first_alone);
    let caller = Caller::connected_to(&addr).await;
    until("noticed", || caller.metrics.peers.breaks.load(Ordering::Relaxed) > 0).await;
    serving.abort();
}

/// What a peer does not take piles up to its bound, and no further.
#[tokio::test]
async fn too_much_for_one_peer_is_refused_at_once() {
    let first_alone: Receipts = |batch| (batch.number == 1).then(|| acknowledge(batch));
    let (addr, serving) = Odd::start(loopback(), first_alone);
    let caller = Caller::connected_to(&addr).await;
    let sends: Vec<_> = (0..10_000).map(|_| caller.peers.send(&addr, push("ua", "x"))).collect();
    assert!(caller.peers.states()[0].waiting <= 8_192);
    let answers = tokio::time::timeout(PROMISE, join_all(sends)).await.unwrap();
    let busy = answers.iter().filter(|answer| **answer == Err(PeerError::Busy)).count();
    assert_eq!(busy, 10_000 - 8_192);
    assert_eq!(caller.metrics.peers.refused.load(Ordering::Relaxed), 10_000 - 8_192);
    until("nothing waits", || caller.peers.states()[0].waiting == 0).await;

    caller.until_connected(&addr).await;
    let large = "x".repeat(1 << 20);
    let sends: Vec<_> = (0..100).map(|_| caller.peers.send(&addr, push("ua", &large))).collect();
    let answers = tokio::time::timeout(PROMISE, join_all(sends)).await.unwrap();
    let busy = answers.iter().filter(|answer| **answer == Err(PeerError::Busy)).count();
    assert_eq!(busy, 100 - 63, "64 MiB, names and numbers included");
    serving.abort();
}

#[tokio::test]
async fn a_peer_that_dies_with_messages_under_way() {
    let first_alone: Receipts = |batch| (batch.number == 1).then(|| acknowledge(batch));
    let listener = loopback();
    let addr = address(&listener);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let serving = runtime.spawn(async move { Odd::start(listener, first_alone).1.await });
    let caller = Caller::connected_to(&addr).await;
    let sends = (0..100).map(|_| caller.peers.send(&addr, push("ua", "x"))).collect::<Vec<_>>();
    let (answers, ()) = tokio::join!(join_all(sends), async {
        until("under way", || caller.peers.states()[0].waiting == 100).await;
        runtime.shutdown_background();
    });
    for answer in answers {
        assert_eq!(answer, Err(PeerError::Lost));
    }
    let away = caller.send(&addr, push("ua", "x")).await;
    assert!(matches!(away, Err(PeerError::Down | PeerError::Gone)), "{away:?}");
    drop(serving);
}

#[tokio::test]
async fn a_peer_that_comes_back_under_its_address() {
    let node = Node::start(&Config::default());
    let addr = node.addr.clone();
    let caller = Caller::connected_to(&addr).await;
    let socket_addr: SocketAddr = addr.as_str().parse().unwrap();
    drop(node);
    caller.until_down(&addr).await;
    let node = Node::start_at(&Config::default(), socket_addr, 1_000);
    node.log_in("ua", 1);
    caller.until_connected(&addr).await;
    assert_eq!(caller.send(&addr, push("ua", "back")).await, Ok(Outcome::Sent));
    assert!(node.next_text().unwrap().contains("back"));
    assert_eq!(caller.metrics.peers.connects.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_peer_that_says_goodbye() {
    let node = Node::start(&Config::default());
    let caller = Caller::connected_to(&node.addr).await;
    node.ending.send(true).unwrap();
    caller.until_down(&node.addr).await;
    let away = caller.send(&node.addr, push("ua", "x")).await;
    assert!(matches!(away, Err(PeerError::Down | PeerError::Gone)), "{away:?}");
}

#[tokio::test]
async fn a_peer_that_leaves_the_cluster_is_let_go() {
    let first_alone: Receipts = |batch| (batch.number == 1).then(|| acknowledge(batch));
    let (addr, serving) = Odd::start(loopback(), first_alone);
    let caller = Caller::connected_to(&addr).await;
    let send = caller.peers.send(&addr, push("ua", "x"));
    caller.nodes.send_replace(Arc::default());
    assert_eq!(tokio::time::timeout(PROMISE, send).await.unwrap(), Err(PeerError::Lost));
    assert_eq!(caller.send(&addr, push("ua", "x")).await, Err(PeerError::Unknown));
    assert_eq!(caller.peers.states(), []);
    serving.abort();
}

/// A port that another kind of node takes over is looked at anew.
#[tokio::test]
async fn a_node_of_gowebsocket_that_is_replaced() {
    let go = super::go_node::GoNode::start(loopback());
    let addr = NodeAddr::parse(&go.addr.to_string()).unwrap();
    let caller = Caller::connected_to(&addr).await;
    assert_eq!(caller.kind(&addr), Some(PeerKind::Gowebsocket));
    let socket_addr = go.addr;
    drop(go);
    drop(bind(socket_addr));
    let node = Node::start_at(&Config::default(), socket_addr, 1_000);
    node.log_in("ua", 1);
    // The first call finds out that the connection is gone.
    let _lost = caller.send(&addr, push("ua", "x")).await;
    until("known anew", || caller.kind(&addr) == Some(PeerKind::Millgate)).await;
    assert_eq!(caller.send(&addr, push("ua", "x")).await, Ok(Outcome::Sent));
}
