//! The HTTP API, the pages and the metrics.

use super::delivery::Delivery;
use crate::config::Config;
use crate::hub::Hub;
use crate::metrics::Metrics;
use axum::Router;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What the routes answer from.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) config: Config,
    pub(super) hub: Arc<Hub>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) delivery: Delivery,
    pub(super) websocket_addr: SocketAddr,
}

/// Serves until `ended` says so, then finishes what is under way.
pub(super) async fn serve(listener: TcpListener, site: Site, mut ended: watch::Receiver<bool>) {
    let routes =
        Router::new().route("/healthz", get(|| async { "ok\n" })).with_state(Arc::new(site));
    let end = async move {
        // An error means that the sender is gone: an end as well.
        let _told = ended.wait_for(|ended| *ended).await;
    };
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(end).await {
        tracing::error!(%error, "HTTP server failed");
    }
}
