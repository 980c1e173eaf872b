//! One try to reach a peer, and to find out what it is.

use super::carry::Stream;
use crate::control::grpc::{Credentials, Security, causes, prepare};
use crate::control::proto::acc::acc_server_client::AccServerClient;
use crate::control::proto::relay::item::Kind as ItemKind;
use crate::control::proto::relay::relay_client::RelayClient;
use crate::control::proto::relay::{Batch, Canary, Item};
use crate::id::NodeAddr;
use crate::limits::PEER_ANSWER_BYTES_MAX;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

/// The way to a peer; both kinds keep their one HTTP/2 connection.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// A node of millgate.
    Relay(RelayClient<Guarded>),
    /// A node of gowebsocket, or another that has no `Relay`.
    Acc(AccServerClient<Guarded>),
}

/// A channel that shows the cluster's token on every call.
pub(super) type Guarded = InterceptedService<Channel, Bearer>;

/// What a try has come to.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) way: Way,
    /// The open stream to a node of millgate.
    pub(super) stream: Option<Stream>,
}

/// Why there is no connection, or no longer.
#[derive(Debug)]
pub(super) struct Broken {
    /// For people.
    pub(super) error: String,
    /// The peer may be there, but says nothing: each try costs the whole patience.
    pub(super) is_silent: bool,
    /// Nobody listens at the address: whoever was there has gone.
    pub(super) is_refused: bool,
}

impl Broken {
    pub(super) fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), is_silent: false, is_refused: false }
    }

    /// The peer may be there, but does not answer.
    pub(super) fn silent(error: impl Into<String>) -> Self {
        Self { is_silent: true, ..Self::new(error) }
    }

    /// What a failed `connect` means.
    fn unconnected(error: &io::Error) -> Self {
        let is_refused = error.kind() == io::ErrorKind::ConnectionRefused;
        Self { is_refused, ..Self::new(error.to_string()) }
    }
}

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        let text =
            if status.message().is_empty() { causes(&status) } else { status.message().into() };
        Self::new(format!("{}: {text}", status.code()))
    }
}

/// Time for all steps of a try together.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connects, and finds out the kind of the peer.
pub(super) async fn connect(
    to: &NodeAddr,
    security: Arc<Credentials>,
) -> Result<Connected, Broken> {
    match tokio::time::timeout(PATIENCE, reach(to, security)).await {
        Ok(result) => result,
        Err(_) => Err(Broken::silent("no answer in time")),
    }
}

async fn reach(to: &NodeAddr, security: Arc<Credentials>) -> Result<Connected, Broken> {
    let now = security.fresh().await;
    let channel = channel(to, &now).await?;
    let guarded = InterceptedService::new(channel, Bearer(security));
    let mut relay =
        RelayClient::new(guarded.clone()).max_decoding_message_size(PEER_ANSWER_BYTES_MAX);
    let (batches, outgoing) = mpsc::channel(BATCHES_WAITING);
    // The first batch is the proof that the peer not only accepts connections.
    let canary = Item { kind: Some(ItemKind::Canary(Canary {})) };
    let first = Batch { number: 1, items: vec![canary] };
    batches.try_send(first).map_err(|_| Broken::new("the stream is closed"))?;
    match relay.carry(ReceiverStream::new(outgoing)).await {
        Ok(response) => {
            let mut receipts = response.into_inner();
            match receipts.message().await? {
                Some(receipt) if receipt.number == 1 => {}
                _ => return Err(Broken::new("the peer does not answer as a node does")),
            }
            let stream = Stream::new(batches, receipts);
            Ok(Connected { way: Way::Relay(relay), stream: Some(stream) })
        }
        Err(status) if status.code() == Code::Unimplemented => {
            let acc =
                AccServerClient::new(guarded).max_decoding_message_size(PEER_ANSWER_BYTES_MAX);
            Ok(Connected { way: Way::Acc(acc), stream: None })
        }
        Err(status) => Err(status.into()),
    }
}

/// Batches that are packed and not yet taken by HTTP/2: one leaves, one waits.
const BATCHES_WAITING: usize = 2;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// What each address of a name is ahead of the next one. Tried one after the other, an address
/// that says nothing would take the time of all that stand behind it.
const HEAD_START: Duration = Duration::from_millis(100);

/// Connects to the first of these addresses that answers.
async fn first_of(addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, Broken> {
    let tries = addresses.zip(0_u32..).map(|(address, before)| async move {
        tokio::time::sleep(HEAD_START * before).await;
        TcpStream::connect(address).await
    });
    let mut tries: FuturesUnordered<_> = tries.collect();
    let mut failed: Option<Broken> = None;
    while let Some(tried) = tries.next().await {
        match tried {
            Ok(socket) => return Ok(socket),
            Err(error) => {
                let before = failed.take();
                let now = Broken::unconnected(&error);
                // Somebody may be at an address that is out of reach.
                let is_refused = now.is_refused && before.is_none_or(|before| before.is_refused);
                failed = Some(Broken { is_refused, ..now });
            }
        }
    }
    Err(failed.unwrap_or_else(|| Broken::new("the name has no address")))
}

/// An HTTP/2 channel over one TCP connection. It never connects anew by itself:
/// what answers at the same address afterwards may be a node of another kind.
///
/// It sends no HTTP/2 pings, since gRPC servers in Go end a connection on
/// which they come more often than every five minutes.
async fn channel(to: &NodeAddr, security: &Security) -> Result<Channel, Broken> {
    let addresses = tokio::net::lookup_host(to.as_str()).await;
    let addresses = addresses.map_err(|error| Broken::unconnected(&error))?;
    let socket = first_of(addresses.take(ADDRESSES_MAX)).await?;
    prepare(&socket).map_err(|error| Broken::new(error.to_string()))?;
    let mut socket = Some(TokioIo::new(socket));
    let connector = tower::service_fn(move |_: Uri| {
        let once = socket.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        std::future::ready(once)
    });
    let tls = security.client_tls();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let unusable = |error: tonic::transport::Error| Broken::new(causes(&error));
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{to}")).map_err(unusable)?;
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls).map_err(unusable)?;
    }
    endpoint.connect_with_connector(connector).await.map_err(unusable)
}

/// Puts the token of the moment on a call: a connection may be older than the token.
#[derive(Clone, Debug)]
pub(super) struct Bearer(Arc<Credentials>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = self.0.get().metadata() {
            request.metadata_mut().insert("authorization", token);
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};
    use tokio::net::TcpSocket;

    /// An address at which the kernel drops all attempts to connect: its queue is full.
    async fn silent() -> (tokio::net::TcpListener, Vec<TcpStream>, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
        {
            queued.push(connected.unwrap());
        }
        (listener, queued, address)
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_does_not_keep_from_the_others() {
        let (_listener, _queued, silent) = silent().await;
        let live = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let live = live.local_addr().map(|address| (address, live)).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        for addresses in [vec![live.0], vec![silent, live.0], vec![free, silent, free, live.0]] {
            let connected = tokio::time::timeout(PATIENCE, first_of(addresses.into_iter())).await;
            assert_eq!(connected.unwrap().unwrap().peer_addr().unwrap(), live.0);
        }
        assert!(first_of([free, free].into_iter()).await.unwrap_err().is_refused);
        assert!(!first_of([].into_iter()).await.unwrap_err().is_refused);
    }
}
