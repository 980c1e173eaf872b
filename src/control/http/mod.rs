//! The HTTP API, the pages and the metrics.
//!
//! Invariant: no answer is larger in memory than a piece of it. What can be
//! long is made while the caller reads it.
//!
//! Invariant: a page of another origin cannot read an answer, unless
//! `auth.allowed_origins` lists it.
//!
//! Invariant: where there are keys, nothing but pages and probes is served without one.

mod admin;
mod answer;
mod api;
mod asset;
mod batch;
mod body;
mod cors;
mod cursor;
mod docs;
mod form;
mod front;
mod gate;
mod headers;
mod list;
mod log;
mod metrics;
mod named;
mod others;
mod page;
mod room;
mod server;
mod state;
mod trace_id;
mod watched;

use super::cluster::Cluster;
use super::delivery::Delivery;
use super::pace::Pace;
use super::ready::{Findings, Readiness};
use super::{Holdings, HttpSocket};
use crate::auth::Access;
use crate::clock::Clock;
use crate::config::{Config, Listener, Scope, Trusted};
use crate::host::refused::Explain;
use crate::hub::Hub;
use crate::link::{Current, Drain, Order};
use crate::logging::DroppedLines;
use crate::metrics::Metrics;
pub(super) use admin::Traces;
use answer::Refusal;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Extension, Router};
use crossbeam_channel::Sender;
use gate::Gate;
use rustls::ServerConfig;
use state::Questions;
use std::io;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// What the routes answer from.
#[derive(Debug)]
pub(super) struct Site {
    /// What a reload may change; each request goes by the one that it met.
    pub(super) policy: Current<Policy>,
    pub(super) hub: Arc<Hub>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) delivery: Arc<Delivery>,
    /// Who may do what; replaced as a whole.
    pub(super) access: Arc<Current<Access>>,
    /// How often it is told that callers are turned away.
    pub(super) denials: Pace,
    pub(super) clock: Clock,
    /// Answers with the names of all users that are being made.
    pub(super) questions: Arc<Questions>,
    /// Turns to make a piece of a list of users.
    pub(super) pieces: Arc<Semaphore>,
    /// The other nodes, if there may be any.
    pub(super) cluster: Option<Arc<Cluster>>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) listeners: Vec<Listener>,
    /// Where this is served.
    pub(super) served_at: Vec<Listener>,
    /// What TLS is spoken with there, by those who come from now on.
    pub(super) tls: Current<Option<Arc<ServerConfig>>>,
    pub(super) dropped: DroppedLines,
    /// How the node ends.
    pub(super) drain: Arc<Drain>,
    /// What the reactors hold.
    pub(super) holdings: Holdings,
    /// Takes orders to the whole node.
    pub(super) orders: Sender<Order>,
    /// The places for traces.
    pub(super) traces: Traces,
    /// Whether the server ends: answers without an end of their own have to.
    pub(super) ended: watch::Receiver<bool>,
}

/// The configuration as the routes need it.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) config: Config,
    pub(super) trusted: Trusted,
}

impl Policy {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: config.clone(), trusted: Trusted::new(&config.listen.trusted_proxies) }
    }
}

/// The policy of a request.
pub(super) type Ruled = Extension<Arc<Policy>>;

impl Site {
    /// Goes by another configuration from the next request on.
    pub(super) fn reload(&self, config: &Config, access: Access, tls: Option<Arc<ServerConfig>>) {
        self.tls.replace(tls);
        self.delivery.reload(config);
        // The key of the start opens what it did, if there still are no others.
        let start = self.access.get().start.clone();
        self.access.replace(Access { start, ..access });
        self.readiness.reload(config);
        self.policy.replace(Policy::new(config));
    }
}

/// Serves at all these places until `ended` says so, then finishes what is under way.
///
/// # Errors
/// When the runtime cannot watch a socket.
pub(super) fn serve(
    sockets: Vec<HttpSocket>,
    site: Arc<Site>,
    ended: watch::Receiver<bool>,
) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let speak_tls = site.served_at.iter().map(|listener| listener.tls);
    let doors = sockets.into_iter().zip(speak_tls);
    let doors = doors.map(|(socket, speaks_tls)| server::Door::new(socket, speaks_tls));
    let doors = doors.collect::<io::Result<Vec<_>>>();
    let doors = doors.explain("epoll_ctl(2)", "to watch listen.http")?;
    let routes = routes(Arc::clone(&site));
    Ok(server::run(doors, server::Inside::new(site, routes, ended)))
}

/// Every route; the verbs are those of the reference, HEAD goes with GET.
fn routes(site: Arc<Site>) -> Router {
    let guarded = |gate: Gate| from_fn_with_state(gate, gate::pass);
    let gate = |scope| Gate::new(&site, scope);
    let list = Router::new()
        .route("/user/list", get(list::users))
        .route_layer(guarded(gate(Scope::Read).and_to_users()));
    let read = Router::new()
        .route("/user/online", get(api::online))
        .route("/system/state", get(state::state))
        .route_layer(guarded(gate(Scope::Read)));
    let send = Router::new()
        .route("/user/sendMessage", post(api::send_message))
        .route("/user/sendMessageAll", post(api::send_message_all))
        .route("/user/sendMessages", post(batch::send_messages))
        .route_layer(guarded(gate(Scope::Send)));
    let metrics = Router::new()
        .route("/metrics", get(metrics::metrics))
        .route_layer(guarded(gate(Scope::Metrics)));
    let open = Router::new()
        .route("/", get(front::page))
        .route("/home/index", get(page::index))
        .route("/home/{asset}", get(page::asset))
        .route("/openapi.json", get(docs::openapi))
        .route("/docs", get(docs::page))
        .route("/docs/{asset}", get(docs::asset))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready));
    open.merge(list)
        .merge(read)
        .merge(send)
        .merge(metrics)
        .merge(admin::routes(&site))
        .fallback(|| async { Refusal::NotFound })
        .method_not_allowed_fallback(|| async { Refusal::WrongVerb })
        .layer(from_fn_with_state(Arc::clone(&site), cors::name_origin))
        .layer(from_fn_with_state(Arc::clone(&site), log::observe))
        .with_state(site)
}

/// `GET /readyz`: whether messages arrive, and what keeps them from it.
async fn ready(State(site): State<Arc<Site>>) -> (StatusCode, String) {
    let Findings { complaints, remarks } = site.readiness.findings();
    let (status, first) = match complaints.is_empty() {
        true => (StatusCode::OK, Some("ready".to_owned())),
        false => (StatusCode::SERVICE_UNAVAILABLE, None),
    };
    let lines: Vec<String> = first.into_iter().chain(complaints).chain(remarks).collect();
    (status, lines.join("\n") + "\n")
}
