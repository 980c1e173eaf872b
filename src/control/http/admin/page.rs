//! The admin page. It holds nothing that is not known to everybody: what it shows it
//! asks for with the operator's key.

use crate::control::http::answer::Refusal;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};

/// `GET /admin`.
pub(super) async fn index() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, REVALIDATE),
    ];
    (headers, include_str!("page/index.html")).into_response()
}

/// `GET /admin/page/…`: what it is made of.
pub(super) async fn asset(name: Result<Path<String>, PathRejection>) -> Response {
    let (kind, text) = match name.as_ref().map_or("", |Path(name)| name.as_str()) {
        "admin.css" => (STYLE, include_str!("page/admin.css")),
        "admin.js" => (SCRIPT, include_str!("page/admin.js")),
        "api.js" => (SCRIPT, include_str!("page/api.js")),
        "charts.js" => (SCRIPT, include_str!("page/charts.js")),
        "dom.js" => (SCRIPT, include_str!("page/dom.js")),
        "orders.js" => (SCRIPT, include_str!("page/orders.js")),
        "trace.js" => (SCRIPT, include_str!("page/trace.js")),
        "view.js" => (SCRIPT, include_str!("page/view.js")),
        _ => return Refusal::NotFound.into_response(),
    };
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, REVALIDATE)], text).into_response()
}

/// Nothing but what this server sends, and nothing to anybody else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A page and its scripts are of one version, also after an upgrade.
const REVALIDATE: &str = "no-cache";
