//! What pages are made of, as answers: documents, styles and scripts that browsers ask for anew each time.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};

/// The style that all pages share. Each page serves it below its own path.
pub(super) const BASE_STYLE: &str = include_str!("style/base.css");

/// The policy of a page that asks nobody but this server, and runs nothing but its scripts.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                                 img-src data:; connect-src 'self'; base-uri 'none'; \
                                 form-action 'none'; frame-ancestors 'none'";

/// A page with this content security policy.
pub(super) fn page(policy: HeaderValue, text: impl Into<String>) -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, file("text/html; charset=utf-8", text.into())).into_response()
}

/// A style sheet.
pub(super) fn style(text: &'static str) -> Response {
    file("text/css; charset=utf-8", text.to_owned())
}

/// A script.
pub(super) fn script(text: &'static str) -> Response {
    file("text/javascript; charset=utf-8", text.to_owned())
}

/// A page and its parts are of one version, also after an upgrade: they are asked for each time.
pub(super) fn file(kind: &'static str, text: String) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text).into_response()
}
