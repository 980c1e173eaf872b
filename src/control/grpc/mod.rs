//! What other nodes may ask of this one.
//!
//! Invariant: everything here acts on own connections only. A message that a
//! peer has sent never travels on, so loops between nodes cannot be built.

mod acc;
mod credentials;
mod doorman;
mod guard;
mod handshake;
mod incoming;
mod local;
mod relay;
mod security;
#[cfg(test)]
pub(super) mod stage;
#[cfg(test)]
mod tests;
pub(super) use credentials::Credentials;
pub(super) use incoming::prepare;
pub(super) use security::{Security, causes};

use super::proto::acc::acc_server_server::AccServerServer;
use super::proto::relay::relay_server::RelayServer;
use crate::auth::Access;
use crate::clock::Clock;
use crate::hub::Hub;
use crate::id::AppId;
use crate::limits::{
    GRPC_CALL_SECONDS_MAX, GRPC_CONNECTION_WINDOW_BYTES, GRPC_CONNECTIONS_MAX, GRPC_HEAD_BYTES_MAX,
    GRPC_MESSAGE_BYTES_MAX, GRPC_STREAM_WINDOW_BYTES, GRPC_STREAMS_MAX,
};
use crate::link::{Current, Drain};
use crate::metrics::Metrics;
use crate::session::User;
use axum::http::Response;
use doorman::Doorman;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use guard::Guard;
use local::Local;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tower::util::MapResponseLayer;

/// Whether a user is online anywhere in the cluster; `None` if nobody knows at
/// the moment. Users of this node are answered without it.
pub(super) type Anywhere =
    Arc<dyn Fn(AppId, &str) -> BoxFuture<'static, Option<bool>> + Send + Sync>;

/// How logins of this node stand against those of other nodes.
pub(super) trait Logins: std::fmt::Debug + Send + Sync {
    /// When a user of this node has logged in, in unix milliseconds by the clock of Redis;
    /// 0 if that is not known.
    fn since_ms(&self, user: &User) -> u64;

    /// The node at the address `node` says that the user has logged in there at `since_ms`;
    /// 0 if it does not say when. Only an older login of this node is displaced.
    fn displaced(&self, app: AppId, user: &str, since_ms: u64, node: &str);
}

/// What the server answers from.
pub(super) struct Parts {
    pub(super) hub: Arc<Hub>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: Arc<Drain>,
    /// Where clients reach this node; empty if it does not say.
    pub(super) client_url: String,
    pub(super) clock: Clock,
    pub(super) security: Arc<Credentials>,
    /// The keys of the API.
    pub(super) access: Arc<Current<Access>>,
    pub(super) anywhere: Anywhere,
    pub(super) logins: Arc<dyn Logins>,
    /// Rung when another node opens a stream: it may be new.
    pub(super) callers: Arc<Notify>,
}

/// Serves other nodes until `ended` says so, then finishes what is under way, for
/// a moment.
///
/// # Errors
/// When the listener fails for good.
pub(super) async fn serve(
    listener: TcpListener,
    parts: Parts,
    mut ended: watch::Receiver<bool>,
) -> Result<(), tonic::transport::Error> {
    let Parts { hub, metrics, drain, client_url, clock, security, access, .. } = parts;
    let (anywhere, logins, callers) = (parts.anywhere, parts.logins, parts.callers);
    let doorman = Arc::new(Doorman::new(clock, Arc::clone(&metrics)));
    let call_bytes = GRPC_MESSAGE_BYTES_MAX.max(hub.bounds.content_bytes() + CALL_SPARE_BYTES);
    let local = Arc::new(Local::new(hub, metrics, drain, client_url, logins, Arc::clone(&doorman)));
    let guard = Guard::of_nodes(Arc::clone(&security), Arc::clone(&doorman));
    let acc = AccServerServer::new(acc::Calls::new(Arc::clone(&local), anywhere))
        .max_decoding_message_size(call_bytes);
    let relay = RelayServer::new(relay::Calls::new(local, ended.clone(), callers))
        .max_decoding_message_size(call_bytes);
    let sizes = Arc::clone(&doorman);
    let router = bounded()
        // What the library refuses by its size never gets to `Local`.
        .layer(MapResponseLayer::new(move |response: Response<Body>| {
            let status = response.headers().get("grpc-status");
            if status.is_some_and(|status| status.as_bytes() == OUT_OF_RANGE) {
                sizes.refuse_size("it is larger than any call may be (limits.http_body_bytes)");
            }
            response
        }))
        .add_service(InterceptedService::new(acc, guard.clone().and_of_keys(access)))
        .add_service(InterceptedService::new(relay, guard));
    let connections = incoming::connections(listener, GRPC_CONNECTIONS_MAX, Arc::clone(&doorman));
    let mut ending = ended.clone();
    let ending = async move { end(&mut ending).await };
    let serving = match security.get().has_tls() {
        true => {
            let connections = handshake::trusted(connections, security, doorman);
            router.serve_with_incoming_shutdown(connections, ending).boxed()
        }
        false => router.serve_with_incoming_shutdown(connections, ending).boxed(),
    };
    tokio::select! {
        served = serving => served,
        () = async { end(&mut ended).await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("calls of other nodes were cut off");
            Ok(())
        }
    }
}

fn bounded() -> Server {
    Server::builder()
        // A request that is still on its way by then has an end all the same.
        .timeout(Duration::from_secs(GRPC_CALL_SECONDS_MAX))
        .max_concurrent_streams(GRPC_STREAMS_MAX)
        .initial_stream_window_size(GRPC_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(GRPC_CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(GRPC_HEAD_BYTES_MAX)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_PATIENCE))
}

/// Waits until the server is to end. An error means that the sender is gone: an end as well.
async fn end(ended: &mut watch::Receiver<bool>) {
    let _told = ended.wait_for(|ended| *ended).await;
}

/// Room for what comes with the largest message, such as other messages of the same batch.
const CALL_SPARE_BYTES: usize = 1 << 20;

/// `OUT_OF_RANGE` as it stands in `grpc-status`.
const OUT_OF_RANGE: &[u8] = b"11";

/// A peer that has been cut off is noticed, and its place is free, after both.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_PATIENCE: Duration = Duration::from_secs(5);

/// Time that calls get to finish at the end: callers give up after one second.
const GRACE: Duration = Duration::from_secs(2);
