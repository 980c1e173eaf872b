//! Who may use a route: callers with a key for it, and for the list of their room its users.

use super::Site;
use super::answer::{Refusal, refused};
use super::body::discard;
use super::form::Fields;
use super::named::foreign_name;
use super::server::Peer;
use crate::auth::{Access, bearer};
use crate::clock::unix_seconds;
use crate::config::{Listener, Scope};
use crate::control::audit;
use crate::metrics::Denied;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// What a route asks of its callers: the layer is
/// `from_fn_with_state(Gate::new(&site, scope), gate::pass)`.
#[derive(Clone)]
pub(super) struct Gate {
    site: Arc<Site>,
    scope: Scope,
    /// Whether the token of a user opens it for the user's own apps.
    to_users: bool,
}

impl Gate {
    pub(super) fn new(site: &Arc<Site>, scope: Scope) -> Self {
        Self { site: Arc::clone(site), scope, to_users: false }
    }

    /// For the list of a room: the chat page has no key, and must not have one.
    pub(super) fn and_to_users(self) -> Self {
        Self { to_users: true, ..self }
    }

    /// Which key was shown, for the audit line of an order; other routes need no name.
    fn key_name(&self, headers: &HeaderMap) -> Option<KeyName> {
        let (key, _) = shown(headers);
        let key = key.filter(|_| self.scope == Scope::Admin)?;
        let access = self.site.access.get();
        access.find(key).map(|key| KeyName(key.name.clone()))
    }

    /// Whether a page of a stranger sends by way of a browser that reaches this node. A key would
    /// show that the page is known; without keys, its origin has to.
    fn is_forged(&self, headers: &HeaderMap) -> bool {
        let access = self.site.access.get();
        let is_listed =
            || headers.get(ORIGIN).is_some_and(|origin| access.origins.contain(origin.as_bytes()));
        self.scope == Scope::Send
            && access.keys.is_empty()
            && is_of_another_origin(headers)
            && !is_listed()
    }

    /// The name of somebody else that this node is called by, where no key has to be shown and a
    /// browser on this machine could be made to call: see [`super::named`].
    fn foreign_name(&self, request: &Request) -> Option<String> {
        let access = self.site.access.get();
        let mut addresses = self.site.served_at.iter().filter_map(Listener::address);
        let is_near = addresses.all(|address| address.ip().is_loopback());
        let is_tcp = request.extensions().get::<Peer>().is_some_and(|peer| peer.0.is_some());
        let needs_no_key = access.keys.is_empty() && self.scope != Scope::Admin;
        if !(is_near && is_tcp && needs_no_key) {
            return None;
        }
        let name = foreign_name(request, &access, &self.site.policy.get().config)?;
        let (_, token) = shown(request.headers());
        let is_user =
            self.to_users && token.is_some_and(|token| admits_user(&access, token, request));
        (!is_user).then_some(name)
    }

    fn judge(&self, request: &Request) -> Result<(), Denied> {
        let access = self.site.access.get();
        let (key, token) = shown(request.headers());
        let judged = access.admit(key, self.scope);
        match (judged, token) {
            (Err(Denied::Unknown), Some(token))
                if self.to_users && admits_user(&access, token, request) =>
            {
                Ok(())
            }
            _ => judged,
        }
    }
}

/// The name of the key that an order was given with.
#[derive(Clone)]
pub(super) struct KeyName(pub(super) String);

/// The key that a caller shows, and its bearer token, which may be that key.
fn shown(headers: &HeaderMap) -> (Option<&[u8]>, Option<&[u8]>) {
    let token = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
    let key = headers.get(API_KEY).map(|value| value.as_bytes()).or(token);
    (key, token)
}

/// Whether a browser says that a page of another origin asks. Callers other than browsers send
/// none of these headers.
pub(super) fn is_of_another_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match text("sec-fetch-site") {
        Some(site) => site != "same-origin" && site != "none",
        // Older browsers, and pages over plain HTTP, send the origin alone. A proxy may have
        // replaced the host; a form cannot set the header that tells the former one.
        None => text(ORIGIN.as_str()).is_some_and(|origin| {
            let place = origin.split_once("://").map(|(_, place)| place);
            let hosts = [text(HOST.as_str()), text("x-forwarded-host")];
            place.is_none() || !hosts.contains(&place)
        }),
    }
}

/// The header that keys are usually sent in.
const API_KEY: &str = "x-api-key";

/// Whether this is a token for the app that is asked for.
fn admits_user(access: &Access, token: &[u8], request: &Request) -> bool {
    let app = Fields::of_pairs(request.uri().query().unwrap_or_default().as_bytes()).app();
    let Some(tokens) = &access.tokens else { return false };
    let Ok(token) = std::str::from_utf8(token) else { return false };
    tokens.verify(token, unix_seconds()).and_then(|grant| grant.admit_app(app)).is_ok()
}

/// Lets a request through, or turns it away.
///
/// Guessing needs no brake: a key is 256 random bits, and a guess costs this node less than a
/// request for a page that does not exist. Locking out who guesses would lock out those who
/// share an address with him.
pub(super) async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if gate.is_forged(request.headers()) {
        gate.site.metrics.shared.count_denied(Denied::Origin);
        let head: HeaderMap = request.headers().clone();
        discard(&head, request.into_body()).await;
        let why = "a page of another origin may not do this: auth.allowed_origins does not list it";
        return refused(StatusCode::FORBIDDEN, why);
    }
    if let Some(name) = gate.foreign_name(&request) {
        gate.site.metrics.shared.count_denied(Denied::Origin);
        let head: HeaderMap = request.headers().clone();
        discard(&head, request.into_body()).await;
        let why = format!(
            "this node has no keys, so it answers only to addresses and to its own names: {name:?} \
             is neither in auth.allowed_origins nor the host of page.http_url"
        );
        return refused(StatusCode::FORBIDDEN, &why);
    }
    let denied = match gate.judge(&request) {
        Ok(()) => {
            if let Some(name) = gate.key_name(request.headers()) {
                request.extensions_mut().insert(name);
            }
            return next.run(request).await;
        }
        Err(denied) => denied,
    };
    let Site { metrics, denials, clock, .. } = &*gate.site;
    metrics.shared.count_denied(denied);
    if denials.is_due(clock.now()) {
        let path = request.uri().path().to_owned();
        let from = request.extensions().get::<Peer>().copied().unwrap_or(Peer(None));
        tracing::warn!(target: audit::TARGET, path, %from, "a call of the HTTP API was refused: {denied}");
    }
    let head: HeaderMap = request.headers().clone();
    discard(&head, request.into_body()).await;
    let has_keys = !gate.site.access.get().keys.is_empty();
    match denied {
        Denied::Missing | Denied::Unknown if gate.scope == Scope::Admin && !has_keys => {
            Refusal::NoStartKey.into_response()
        }
        Denied::Missing | Denied::Unknown => Refusal::NoKey.into_response(),
        Denied::Scope | Denied::Origin => Refusal::WrongKey.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_pages_of_other_origins_are_turned_away() {
        for pairs in [
            &[][..],
            &[("host", "a:1")],
            &[("host", "a:1"), ("origin", "http://a:1"), ("sec-fetch-site", "same-origin")],
            &[("host", "a:1"), ("sec-fetch-site", "none")],
            &[("host", "127.0.0.1:1"), ("origin", "http://a"), ("x-forwarded-host", "a")],
        ] {
            assert!(!is_of_another_origin(&headers(pairs)), "{pairs:?}");
        }
        for pairs in [
            &[("host", "a:1"), ("origin", "http://b:1")][..],
            &[("host", "a:1"), ("origin", "http://a:2")],
            &[("host", "a:1"), ("origin", "null")],
            &[("origin", "http://a:1")],
            &[("host", "a:1"), ("sec-fetch-site", "cross-site")],
            &[("host", "a:1"), ("sec-fetch-site", "same-site")],
        ] {
            assert!(is_of_another_origin(&headers(pairs)), "{pairs:?}");
        }
    }
}
