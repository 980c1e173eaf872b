//! The body of a request: whole, in time, and no larger than allowed.

use super::Policy;
use super::answer::Refusal;
use crate::limits::{HTTP_BODY_SECONDS, HTTP_DISCARD_BYTES_MAX};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// Head and body of a request, of at most `limits.http_body_bytes`.
pub(super) async fn whole(request: Request) -> Result<(Parts, Bytes), Refusal> {
    let (parts, body) = request.into_parts();
    let policy = parts.extensions.get::<Arc<Policy>>().ok_or(Refusal::Broken)?;
    let bytes_max = policy.config.limits.http_body_bytes;
    // Who waits for a "100 Continue" has sent nothing yet, so nothing need be discarded.
    let waits = parts.headers.contains_key(EXPECT);
    let discard_max = if waits { 0 } else { HTTP_DISCARD_BYTES_MAX };
    let reading = read(body, bytes_max, discard_max);
    let body = tokio::time::timeout(Duration::from_secs(HTTP_BODY_SECONDS), reading)
        .await
        .unwrap_or(Err(Refusal::TooSlow))?;
    Ok((parts, body))
}

/// What the body is said to be, without parameters; empty if nothing is said.
pub(super) fn content_type(parts: &Parts) -> &str {
    let value = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.split(';').next()).unwrap_or_default().trim()
}

/// Reads the body of a request that is refused and throws it away, as far as that may go, so
/// that a caller who is still writing sees the answer.
pub(super) async fn discard(headers: &HeaderMap, body: Body) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let reading = read(body, 0, HTTP_DISCARD_BYTES_MAX);
    let _thrown_away = tokio::time::timeout(Duration::from_secs(HTTP_BODY_SECONDS), reading).await;
}

/// The whole body, of at most `max` bytes.
async fn read(body: Body, max: usize, discard_max: usize) -> Result<Bytes, Refusal> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max.saturating_add(discard_max) {
        return Err(Refusal::TooLarge);
    }
    let mut whole = Vec::new();
    let mut received = 0_usize;
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Refusal::Malformed)?;
        received = received.saturating_add(piece.len());
        if received <= max {
            whole.extend_from_slice(&piece);
        } else if received > max.saturating_add(discard_max) {
            return Err(Refusal::TooLarge);
        } else {
            whole = Vec::new();
        }
    }
    if received > max { Err(Refusal::TooLarge) } else { Ok(Bytes::from(whole)) }
}
