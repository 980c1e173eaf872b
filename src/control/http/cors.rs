//! Which pages of other origins may read an answer.

use super::Ruled;
use crate::limits::CORS_CACHE_SECONDS;
use axum::Extension;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use std::time::Duration;
use tower::{Layer, ServiceExt};
use tower_http::cors::CorsLayer;

/// Lets a request through by the rules of its policy.
pub(super) async fn apply(Extension(policy): Ruled, request: Request, next: Next) -> Response {
    match &policy.cors {
        Some(cors) => match cors.layer(next).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => next.run(request).await,
    }
}

/// Answers preflights and names the origin of a request if it is one of these.
/// Without any, browsers are told nothing. Cookies and the like are never let
/// through: nothing here is kept in them.
pub(super) fn layer(allowed_origins: &[String]) -> Option<CorsLayer> {
    // The configuration holds nothing that is no header.
    let origins = allowed_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let cors = CorsLayer::new()
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([CONTENT_TYPE])
        .vary([ORIGIN])
        .max_age(Duration::from_secs(CORS_CACHE_SECONDS));
    (!allowed_origins.is_empty()).then_some(cors)
}
