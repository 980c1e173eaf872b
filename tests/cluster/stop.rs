//! What becomes of the calls of other nodes when a node stops.

use crate::nodes::{PATIENCE, eventually};
use crate::process::Process;
use crate::proto::acc::{SendMsgReq, SendMsgRsp};
use crate::proto::relay::relay_client::RelayClient;
use crate::proto::relay::{Batch, HoldsRequest};
use crate::redis::Redis;
use crate::support::Client;
use rustix::process::Signal;
use std::process::ExitStatus;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// Where the only node of a cluster listens for others.
fn address(redis: &Redis) -> String {
    let servers = || redis.ask(&["HKEYS", "acc:hash:servers"]).unwrap();
    eventually("the node has registered", || servers().contains(':'));
    let servers = servers();
    servers.lines().find(|line| line.contains("127.0.0.1:")).expect("an address").to_owned()
}

/// A call whose request is on its way for as long as the sender is not used.
async fn begin(
    channel: &Channel,
) -> (mpsc::Sender<SendMsgReq>, tokio::task::JoinHandle<Result<SendMsgRsp, Status>>) {
    let (request, requests) = mpsc::channel(1);
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<SendMsgReq, SendMsgRsp>::default();
    let path = "/protobuf.AccServer/SendMsg".parse().unwrap();
    let call = tokio::spawn(async move {
        let request = Request::new(ReceiverStream::new(requests));
        client.client_streaming(request, path, codec).await.map(tonic::Response::into_inner)
    });
    (request, call)
}

/// Waits for it while connections to it live on: it takes two to end them in good order.
async fn end_of(process: Process) -> (ExitStatus, Vec<String>) {
    tokio::task::spawn_blocking(move || process.ended_within(PATIENCE)).await.unwrap()
}

#[tokio::test]
async fn calls_under_way_get_their_answers() {
    let redis = Redis::start();
    let addr = format!("redis.addr={}", redis.addr());
    let process = Process::start(&[&addr, "listen.grpc=127.0.0.1:0", "stop.timeout=100ms"]);
    let endpoint = Endpoint::from_shared(format!("http://{}", address(&redis))).unwrap();
    let channel = endpoint.timeout(PATIENCE).connect().await.unwrap();
    let (request, call) = begin(&channel).await;
    let mut client = RelayClient::new(channel);
    // A stream that ends as soon as the server begins to end.
    let (_batches, outgoing) = mpsc::channel::<Batch>(1);
    let mut receipts = client.carry(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
    // What was sent before on the same connection has arrived when this is answered.
    client.holds(HoldsRequest { app: 101, user: "ua".into() }).await.unwrap();
    process.signal(Signal::TERM);
    assert_eq!(receipts.message().await.unwrap(), None);
    request
        .send(SendMsgReq { app_id: 101, user_id: "ua".into(), ..SendMsgReq::default() })
        .await
        .unwrap();
    drop(request);
    let answer = call.await.unwrap().expect("an answer, not a broken connection");
    assert_eq!(answer.ret_code, 1005, "the user is not there: {answer:?}");
    let (status, lines) = end_of(process).await;
    assert!(status.success());
    assert!(!lines.iter().any(|line| line.contains("cut off")), "{lines:?}");
}

/// A caller that never ends its call does not keep the node.
#[tokio::test]
async fn a_call_without_an_end_is_cut_off() {
    let redis = Redis::start();
    let addr = format!("redis.addr={}", redis.addr());
    let process = Process::start(&[&addr, "listen.grpc=127.0.0.1:0", "stop.timeout=100ms"]);
    let endpoint = Endpoint::from_shared(format!("http://{}", address(&redis))).unwrap();
    let channel = endpoint.timeout(PATIENCE).connect().await.unwrap();
    let (_request, call) = begin(&channel).await;
    let mut client = RelayClient::new(channel);
    client.holds(HoldsRequest { app: 101, user: "ua".into() }).await.unwrap();
    process.signal(Signal::TERM);
    let (status, lines) = end_of(process).await;
    assert!(status.success());
    assert!(lines.iter().any(|line| line.contains("calls of other nodes were cut off")));
    assert!(call.await.unwrap().is_err());
}

#[test]
fn a_node_whose_redis_is_away_ends_soon_and_says_nothing_untrue() {
    let mut redis = Redis::start();
    let addr = format!("redis.addr={}", redis.addr());
    let process = Process::start(&[&addr, "listen.grpc=127.0.0.1:0", "stop.timeout=10m"]);
    let mut client = Client::connect_to(process.websocket(), "/acc");
    client.log_in(101, "ua");
    redis.kill();
    let errors = process.metric("millgate_redis_errors_total");
    eventually("it is noticed", || process.metric("millgate_redis_errors_total") > errors + 3.0);
    client.close();
    process.signal(Signal::TERM);
    let (status, lines) = process.ended_within(PATIENCE);
    assert!(status.success());
    assert!(!lines.iter().any(|line| line.contains("does not take its mail")), "{lines:?}");
}
