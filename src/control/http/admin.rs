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
use crate::config::Scope;
use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
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

/// Lets operators through, and nobody else: callers with a key for it. Where the configuration has
/// no keys, it is the one that the node made at its start. Where a caller comes from proves
/// nothing: a proxy on this machine asks in the name of the whole world.
async fn require_admin(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    if is_of_another_origin(request.headers()) {
        return refused(StatusCode::FORBIDDEN, "a page of another origin may not do this");
    }
    gate::pass(State(Gate::new(&site, Scope::Admin)), request, next).await
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
