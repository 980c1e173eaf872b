//! One line a request: what was asked and what became of it, never its
//! parameters, which may be secrets.

use super::Site;
use super::answer::Refusal;
use super::headers::harden;
use super::trace_id;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Lets a request through, turns a panic into an answer, and logs. The time
/// is that until the head of the answer; a long list is read after it.
pub(super) async fn observe(
    State(site): State<Arc<Site>>,
    mut request: Request,
    next: Next,
) -> Response {
    // All who have a part in the answer go by the same configuration.
    request.extensions_mut().insert(site.policy.get());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let trace = trace_id::of(request.headers());
    let begun = site.clock.now();
    // Nothing that a handler shares with others is left half-done by a panic:
    // the locks below it guard structures that stay whole.
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| Refusal::Broken.into_response());
    harden(response.headers_mut());
    if let Some(id) = trace_id::header(&trace) {
        response.headers_mut().insert(trace_id::REQUEST_ID, id);
    }
    let duration_ms = (site.clock.now() - begun).as_micros() as f64 / 1e3;
    let (path, status) = (shown(&uri), response.status());
    let is_asked_often = matches!(path, "/healthz" | "/readyz" | "/metrics" | "/admin/state");
    let is_routine = is_asked_often && status.is_success();
    let status = status.as_u16();
    if is_routine {
        tracing::debug!(target: TARGET, trace, %method, path, status, duration_ms, "request");
    } else {
        tracing::info!(target: TARGET, trace, %method, path, status, duration_ms, "request");
    }
    response
}

const TARGET: &str = "millgate::http";

/// Enough to know a route by; strangers choose how long a path is.
const PATH_SHOWN_MAX: usize = 128;

fn shown(uri: &Uri) -> &str {
    let path = uri.path();
    path.char_indices().nth(PATH_SHOWN_MAX).map_or(path, |(end, _)| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;
    use crate::auth::Access;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::control::Holdings;
    use crate::control::delivery::Delivery;
    use crate::control::pace::Pace;
    use crate::control::ready::Readiness;
    use crate::control::tasks::Tasks;
    use crate::hub::Hub;
    use crate::link::{Backlogs, Budget, Current};
    use crate::logging::DroppedLines;
    use crate::metrics::Metrics;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use std::net::SocketAddr;

    fn site() -> Arc<Site> {
        let (config, clock, metrics) = (Config::default(), Clock::start(), Metrics::new(0));
        let hub = Hub::new(&config, Vec::new(), Arc::clone(&metrics));
        let delivery = Delivery::new(&config, Arc::clone(&hub), clock, None);
        let listeners = vec![SocketAddr::from(([127, 0, 0, 1], 8089)).into()];
        let dropped = DroppedLines::default();
        let tasks = Arc::new(Tasks::new(clock));
        let holdings = Holdings {
            backlogs: Arc::new(Backlogs::new(0)),
            outboxes: Arc::new(Budget::new(0, 0)),
            assemblies: Arc::new(Budget::new(0, 0)),
            capacity: 0,
        };
        Arc::new(Site {
            policy: Current::new(Policy::new(&config)),
            hub,
            metrics,
            delivery: Arc::new(delivery),
            access: Arc::new(Current::new(Access::default())),
            denials: Pace::default(),
            clock,
            questions: Arc::default(),
            pieces: Arc::new(tokio::sync::Semaphore::new(1)),
            cluster: None,
            readiness: Arc::new(Readiness::new(&config, Arc::default(), tasks)),
            listeners,
            served_at: Vec::new(),
            tls: Current::new(None),
            traces: super::super::Traces::default(),
            dropped,
            drain: Arc::default(),
            holdings,
            orders: crossbeam_channel::bounded(1).0,
            ended: tokio::sync::watch::channel(false).1,
        })
    }

    async fn broken() -> &'static str {
        panic!("as it should")
    }

    #[tokio::test]
    async fn a_panic_is_answered() {
        let routes =
            Router::new().route("/broken", get(broken)).layer(from_fn_with_state(site(), observe));
        let request = Request::get("/broken?secret=1").body(Body::empty()).unwrap();
        let response = TowerToHyperService::new(routes).call(request).await.unwrap();
        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        assert_eq!(body, "{\"code\":500,\"msg\":\"internal error\",\"data\":null}");
    }

    #[test]
    fn a_long_path_is_cut() {
        let uri: Uri = format!("/{}?q", "x".repeat(1_000)).parse().unwrap();
        assert_eq!(shown(&uri).len(), PATH_SHOWN_MAX);
        assert_eq!(shown(&Uri::from_static("/user/list?appID=1")), "/user/list");
    }
}
