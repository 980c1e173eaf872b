//! An audit line for each order that comes over HTTP, after it was answered.

use crate::control::audit::TARGET;
use crate::control::http::gate::KeyName;
use crate::control::http::server::Peer;
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;

/// What an order was about, as its route understood it.
#[derive(Clone)]
pub(super) struct Subject(pub(super) String);

impl Subject {
    /// The answer to an order about this.
    pub(super) fn on(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// Lets an order through and writes its line; questions have none.
pub(super) async fn record(request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    let action = format!("{} {}", request.method(), request.uri().path());
    let key = request.extensions().get::<KeyName>().cloned();
    let by = key.map_or_else(|| "no key".to_owned(), |KeyName(name)| format!("key {name}"));
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer(None));
    let claim = forwarded_for(request.headers());
    let response = next.run(request).await;
    let subject = response.extensions().get::<Subject>().map_or("", |Subject(what)| what);
    let status = response.status();
    let result = if status.is_success() { "done" } else { "refused" };
    tracing::info!(
        target: TARGET, action, by, from = %peer, forwarded_for = claim, subject, result,
        status = status.as_u16(), "order"
    );
    response
}

/// What a proxy says of the client, cut short. It is a claim: the line says from whom.
fn forwarded_for(headers: &HeaderMap) -> Option<String> {
    let claim = headers.get("x-forwarded-for")?.to_str().ok()?;
    Some(claim.chars().take(CLAIM_CHARS_MAX).collect())
}

/// Enough for a few addresses.
const CLAIM_CHARS_MAX: usize = 128;
