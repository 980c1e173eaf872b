//! What operators see and order: `/admin`.
//!
//! Invariant: nothing under `/admin` but the bare page is answered before
//! [`require_admin`] has let it through.
//!
//! Invariant: what lets an operator in is never kept where a browser sends it by
//! itself (a cookie), so that a page of somebody else can order nothing.

mod audit;
mod find;
mod kick;
mod orders;
mod page;
mod state;
mod trace;

pub(in crate::control) use trace::Traces;

use super::Site;
use super::answer::refused;
use super::form::{Fields, Form, Query};
use super::gate::{self, Gate, is_of_another_origin};
use crate::config::{Listener, Scope};
use crate::metrics::Denied;
use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The routes, to be merged with the others.
pub(super) fn routes(site: &Arc<Site>) -> Router<Arc<Site>> {
    Router::new()
        .route("/admin/state", get(state::state))
        .route("/admin/drain", post(orders::drain).delete(orders::cancel))
        .route("/admin/reload", post(orders::reload))
        .route("/admin/kick", post(kick::kick))
        .route("/admin/connections", get(find::connections))
        .route("/admin/trace", post(trace::trace))
        .layer(from_fn(audit::record))
        .layer(from_fn_with_state(Arc::clone(site), require_admin))
        .route("/admin", get(page::index))
        .route("/admin/page/{asset}", get(page::asset))
}

/// Lets operators through, and nobody else: callers with a key for it. Where there are no keys,
/// callers on this machine need none, provided that the API is on loopback and nothing tells of a
/// proxy between.
async fn require_admin(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    if is_of_another_origin(request.headers()) {
        return refused(StatusCode::FORBIDDEN, "a page of another origin may not do this");
    }
    if !site.access.get().keys.is_empty() {
        return gate::pass(State(Gate::new(&site, Scope::Admin)), request, next).await;
    }
    let mut addresses = site.served_at.iter().filter_map(Listener::address);
    let is_local = addresses.all(|address| address.ip().is_loopback());
    match doubt(is_local, request.version(), request.headers()) {
        None => next.run(request).await,
        Some(doubt) => {
            site.metrics.shared.count_denied(Denied::Missing);
            refused(StatusCode::UNAUTHORIZED, &format!("{doubt}. {REMEDY}"))
        }
    }
}

/// Why a caller without a key, of a node without keys, may be somebody of another machine;
/// `None` if the caller is on this one.
fn doubt(is_local: bool, version: Version, headers: &HeaderMap) -> Option<&'static str> {
    if !is_local {
        Some("This node has no keys, and its API is open to other machines: so it takes no orders")
    } else if is_forwarded(version, headers) {
        Some(
            "This node has no keys, and the request came through a proxy: anybody may have sent it",
        )
    } else if !is_called_by_address(headers) {
        Some(
            "This node has no keys, so it takes orders only when it is called by its address, \
             such as http://127.0.0.1:8080/admin, and not by a name",
        )
    } else {
        None
    }
}

/// What lets an operator in for certain.
const REMEDY: &str = "Make a key on its host (millgate gen-key ops --scopes admin), put the line \
                      that is printed into auth.keys, reload the gateway, and show the key here.";

/// Header fields by which proxies tell whom they ask for.
const FORWARDING: [&str; 9] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-original-forwarded-for",
];

/// Whether a proxy passed this request on, so that it may come from anywhere. A proxy that adds
/// no header is recognised by its version: nginx asks in HTTP/1.0 unless it is told otherwise.
fn is_forwarded(version: Version, headers: &HeaderMap) -> bool {
    let names = |name: &str| name.starts_with("x-forwarded") || FORWARDING.contains(&name);
    version < Version::HTTP_11 || headers.keys().any(|name| names(name.as_str()))
}

/// Whether this node is called by its address, or `localhost`. A page of a stranger can
/// have its own name lead to this machine, and is then of the same origin to a browser.
fn is_called_by_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return true };
    let is_address = host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok();
    is_address || host == "localhost" || host.starts_with("localhost:") || host == "[::1]"
}

/// The parameters of an order: those of its form, or of its query.
struct Given {
    form: Fields,
    query: Fields,
}

impl Given {
    /// The value of a name; `None` if it was not given, or is empty.
    fn find(&self, name: &str) -> Option<&str> {
        self.form.find(name).or_else(|| self.query.find(name)).filter(|value| !value.is_empty())
    }

    /// A whole number.
    fn number(&self, name: &str, max: u64) -> Result<Option<u64>, String> {
        let Some(text) = self.find(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number <= max);
        number.map(Some).ok_or_else(|| format!("{name} is {text:?}, must be a number up to {max}"))
    }

    /// A time: seconds, or as in the configuration.
    fn time(&self, name: &str, max: Duration) -> Result<Option<Duration>, String> {
        let Some(text) = self.find(name) else { return Ok(None) };
        let seconds = text.parse().map(Duration::from_secs).ok();
        let time = seconds.or_else(|| humantime_serde::re::humantime::parse_duration(text).ok());
        let time = time.filter(|time| *time <= max);
        time.map(Some).ok_or_else(|| {
            format!("{name} is {text:?}, must be a time such as 30s, at most {max:?}")
        })
    }
}

impl FromRequest<Arc<Site>> for Given {
    type Rejection = super::answer::Refusal;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Self, Self::Rejection> {
        let (mut parts, body) = request.into_parts();
        let Ok(Query(query)) = Query::from_request_parts(&mut parts, site).await;
        let Form(form) = Form::from_request(Request::from_parts(parts, body), site).await?;
        Ok(Self { form, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn requests_that_a_proxy_passed_on_are_recognised() {
        let asked = |version, name| is_forwarded(version, &headers(&[(name, "192.0.2.1")]));
        assert!(!asked(Version::HTTP_11, "user-agent"));
        assert!(asked(Version::HTTP_10, "user-agent"));
        for name in ["x-forwarded-for", "x-forwarded-proto", "x-real-ip", "forwarded", "via"] {
            assert!(asked(Version::HTTP_11, name), "{name}");
        }
    }

    #[test]
    fn a_name_that_leads_here_is_not_this_node() {
        for host in
            ["127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]", "localhost", "localhost:1"]
        {
            assert!(is_called_by_address(&headers(&[("host", host)])), "{host}");
        }
        for host in ["evil.example.org:8080", "localhost.example.org", "127.0.0.1.example.org", ""]
        {
            assert!(!is_called_by_address(&headers(&[("host", host)])), "{host}");
        }
    }

    #[test]
    fn without_keys_only_people_of_this_machine_are_let_in() {
        let own = ("host", "127.0.0.1:8080");
        assert_eq!(doubt(true, Version::HTTP_11, &headers(&[own])), None);
        for (is_local, pairs, word) in [
            (false, vec![own], "other machines"),
            (true, vec![own, ("x-forwarded-for", "203.0.113.7")], "proxy"),
            (true, vec![own, ("forwarded", "for=203.0.113.7")], "proxy"),
            (true, vec![own, ("via", "1.1 cache")], "proxy"),
            (true, vec![("host", "gateway.example.org")], "by its address"),
        ] {
            let said = doubt(is_local, Version::HTTP_11, &headers(&pairs)).expect("it is in doubt");
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn times_are_seconds_or_as_in_the_configuration() {
        let given = Given {
            form: Fields::of_pairs(b"a=5&b=1m&c=x&d=2h"),
            query: Fields::of_pairs(b"e=7&a=1&f="),
        };
        let (hour, seconds) = (Duration::from_secs(3_600), Duration::from_secs);
        assert_eq!(given.time("a", hour), Ok(Some(seconds(5))), "the form is first");
        assert_eq!(given.time("b", hour), Ok(Some(seconds(60))));
        assert!(given.time("c", hour).is_err() && given.time("d", hour).is_err());
        assert_eq!(given.number("e", 7), Ok(Some(7)));
        assert!(given.number("e", 6).is_err());
        assert_eq!((given.number("f", 1), given.time("g", hour)), (Ok(None), Ok(None)));
    }
}
