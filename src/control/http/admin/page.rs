//! The admin page. It holds nothing that is not known to everybody: what it shows it
//! asks for with the operator's key.

use crate::control::http::answer::Refusal;
use crate::control::http::asset as part;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};

/// `GET /admin`.
pub(super) async fn index() -> Response {
    part::page(HeaderValue::from_static(part::POLICY), include_str!("page/index.html"))
}

/// `GET /admin/page/…`: what it is made of.
pub(super) async fn asset(name: Result<Path<String>, PathRejection>) -> Response {
    match name.as_ref().map_or("", |Path(name)| name.as_str()) {
        "base.css" => part::style(part::BASE_STYLE),
        "admin.css" => part::style(include_str!("page/admin.css")),
        "admin.js" => part::script(include_str!("page/admin.js")),
        "api.js" => part::script(include_str!("page/api.js")),
        "charts.js" => part::script(include_str!("page/charts.js")),
        "dom.js" => part::script(include_str!("page/dom.js")),
        "orders.js" => part::script(include_str!("page/orders.js")),
        "trace.js" => part::script(include_str!("page/trace.js")),
        "view.js" => part::script(include_str!("page/view.js")),
        _ => Refusal::NotFound.into_response(),
    }
}
