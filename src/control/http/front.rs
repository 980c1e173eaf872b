//! `GET /`: the way to everything else that this server shows.

use super::asset;
use axum::http::HeaderValue;
use axum::response::Response;

/// Links to the pages, the metrics and the probes.
pub(super) async fn page() -> Response {
    let text = include_str!("front/index.html").replace("{version}", env!("CARGO_PKG_VERSION"));
    asset::page(HeaderValue::from_static(asset::POLICY), text)
}
