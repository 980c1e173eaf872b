//! One line a request: what was asked and what became of it, never its
//! parameters, which may be secrets.

use super::Site;
use super::answer::Refusal;
use axum::extract::{Request, State};
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::{HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Lets a request through, turns a panic into an answer, and logs. The time
/// is that until the head of the answer; a long list is read after it.
pub(super) async fn observe(
    State(site): State<Arc<Site>>,
    request: Request,
    next: Next,
) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let begun = site.clock.now();
    // Nothing that a handler shares with others is left half-done by a panic:
    // the locks below it guard structures that stay whole.
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|_| Refusal::Broken.into_response());
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let duration_ms = (site.clock.now() - begun).as_micros() as f64 / 1e3;
    let (path, status) = (shown(&uri), response.status());
    let is_routine = matches!(path, "/healthz" | "/metrics") && status.is_success();
    let status = status.as_u16();
    if is_routine {
        tracing::debug!(target: TARGET, %method, path, status, duration_ms, "request");
    } else {
        tracing::info!(target: TARGET, %method, path, status, duration_ms, "request");
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
