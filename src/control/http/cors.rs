//! Which pages of other origins may read an answer.

use super::Site;
use crate::auth::Access;
use crate::limits::CORS_CACHE_SECONDS;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Answers preflights and names the origin of a request if it is a listed one.
/// Without any, browsers are told nothing.
pub(super) async fn name_origin(
    State(site): State<Arc<Site>>,
    request: Request,
    next: Next,
) -> Response {
    let access = site.access.get();
    if access.origins.is_empty() {
        return next.run(request).await;
    }
    let answered = layer(access).layer(next).oneshot(request).await;
    answered.unwrap_or_else(|never| match never {}).into_response()
}

/// Cookies and the like are never let through: nothing here is kept in them.
fn layer(access: Arc<Access>) -> CorsLayer {
    let is_listed =
        AllowOrigin::predicate(move |origin, _| access.origins.contain(origin.as_bytes()));
    CorsLayer::new()
        .allow_origin(is_listed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([CONTENT_TYPE, AUTHORIZATION, HeaderName::from_static("x-api-key")])
        .vary([ORIGIN])
        .max_age(Duration::from_secs(CORS_CACHE_SECONDS))
}
