//! What callers get: the envelope of the reference, and refusals in the same shape.

use crate::command::Code;
use crate::config::Language;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde_json::{Value, json};
use std::convert::Infallible;

/// What every success begins with; its data and a `}` follow.
pub(super) const SUCCESS: &[u8] = br#"{"code":200,"msg":"Success","data":"#;

/// An answer with data.
pub(super) fn success(data: &Value) -> Response {
    of_code(Code::Ok, Language::Reference, data)
}

/// A failure as the reference answers it: HTTP 200, and the code in the answer.
pub(super) fn failure(code: Code, language: Language) -> Response {
    of_code(code, language, &Value::Null)
}

/// A success that is made piece by piece, as the caller reads it.
pub(super) fn streamed<S>(pieces: S) -> Response
where
    S: Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
{
    respond(StatusCode::OK, Body::from_stream(pieces))
}

/// An answer with a code and data.
pub(super) fn of_code(code: Code, language: Language, data: &Value) -> Response {
    respond(StatusCode::OK, envelope(code.number(), code.text(language), data))
}

/// `msg` is one of our own texts, none of which needs escaping.
fn envelope(code: u16, msg: &str, data: &Value) -> Body {
    Body::from(format!("{{\"code\":{code},\"msg\":\"{msg}\",\"data\":{data}}}"))
}

fn respond(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 400: the body is not what the route takes; says why.
pub(super) fn not_taken(why: &str) -> Response {
    refused(StatusCode::BAD_REQUEST, why)
}

/// Any other refusal; says why.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    let answer = json!({"code": status.as_u16(), "msg": why, "data": null});
    respond(status, Body::from(answer.to_string()))
}

/// 503 for a moment, with the time after which the caller may try again; says why.
pub(super) fn overloaded(why: &str) -> Response {
    let mut response = refused(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A request that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400: the body is not what its content type says.
    Malformed,
    /// 401: no key of this node was shown.
    NoKey,
    /// 401: an order without a key to a node whose configuration has none.
    NoStartKey,
    /// 403: the key is not for this route.
    WrongKey,
    /// 404: no such route.
    NotFound,
    /// 405: the route takes other verbs.
    WrongVerb,
    /// 408: the body did not arrive in time.
    TooSlow,
    /// 413: the body is larger than `limits.http_body_bytes`.
    TooLarge,
    /// 415: the route takes JSON. Said strictly, since a form of any page can send other types.
    NotJson,
    /// 500: a fault of this program.
    Broken,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, msg) = match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "the body is malformed"),
            Self::NoKey => (
                StatusCode::UNAUTHORIZED,
                "the key is missing or unknown (X-API-Key, or Authorization: Bearer)",
            ),
            Self::NoStartKey => (
                StatusCode::UNAUTHORIZED,
                "Orders need a key, and auth.keys has none. The node made one for this start: a \
                 terminal shows a link with it, and its file is named in the log. Or make a key \
                 that stays (millgate gen-key ops --scopes admin), put the line that is printed \
                 into auth.keys, reload the gateway, and show the key here.",
            ),
            Self::WrongKey => (StatusCode::FORBIDDEN, "the key is not for this route"),
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no such route"),
            Self::WrongVerb => (StatusCode::METHOD_NOT_ALLOWED, "the route takes another verb"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json")
            }
            Self::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        };
        let mut response = respond(status, envelope(status.as_u16(), msg, &Value::Null));
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §15.5.2.
            let challenge = HeaderValue::from_static("Bearer realm=\"millgate\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Appends a JSON string.
pub(super) fn append_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail.
    let _infallible = serde_json::to_writer(out, text);
}
