//! Parameters: of a query string, of a form.

use super::Site;
use super::answer::Refusal;
use super::body::{content_type, whole};
use crate::id::AppId;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Multipart, Request};
use axum::http::request::Parts;
use std::convert::Infallible;
use std::sync::Arc;

/// Named values; names are case-sensitive, and the first value of a name counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The value of a name, if it was given.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a name; empty if it was not given.
    pub(super) fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// `appID`; 0, which is no app, if it cannot be read.
    pub(super) fn app(&self) -> AppId {
        AppId(self.get("appID").parse().unwrap_or(0))
    }

    /// Reads `name=value&…`, with `+` and `%` escapes.
    pub(super) fn of_pairs(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }
}

/// The parameters of a GET.
#[derive(Debug)]
pub(super) struct Query(pub(super) Fields);

impl FromRequestParts<Arc<Site>> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Site>) -> Result<Self, Infallible> {
        Ok(Self(Fields::of_pairs(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// The parameters of a POST: the fields of its form. A body of another type
/// has none, and the query string is not looked at.
#[derive(Debug)]
pub(super) struct Form(pub(super) Fields);

impl FromRequest<Arc<Site>> for Form {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &Arc<Site>) -> Result<Self, Refusal> {
        let (parts, body) = whole(request).await?;
        match Kind::of(&parts) {
            Kind::Pairs if has_whole_escapes(&body) => Ok(Self(Fields::of_pairs(&body))),
            Kind::Pairs => Err(Refusal::Malformed),
            Kind::Multipart => parts_of(Request::from_parts(parts, Body::from(body))).await,
            Kind::Other => Ok(Self(Fields::default())),
        }
    }
}

enum Kind {
    Pairs,
    Multipart,
    Other,
}

impl Kind {
    fn of(parts: &Parts) -> Self {
        let essence = content_type(parts);
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Self::Pairs
        } else if essence.eq_ignore_ascii_case("multipart/form-data") {
            Self::Multipart
        } else {
            Self::Other
        }
    }
}

/// A `%` that no two hexadecimal digits follow is a caller that does not
/// encode: better refused than delivered as something else.
fn has_whole_escapes(body: &[u8]) -> bool {
    let escapes = body.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    escapes
        .map(|(at, _)| body.get(at + 1..at + 3))
        .all(|digits| digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// The text fields of a multipart form; files and nameless parts are passed over.
async fn parts_of(request: Request) -> Result<Form, Refusal> {
    let malformed = |_| Refusal::Malformed;
    // The body is whole already, and within its bound: the library's own would be another one.
    let mut request = request;
    DefaultBodyLimit::disable().apply(&mut request);
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| Refusal::Malformed)?;
    let mut fields = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        let name = part.name().filter(|_| part.file_name().is_none()).map(str::to_owned);
        let value = part.bytes().await.map_err(malformed)?;
        if let Some(name) = name {
            fields.push((name, String::from_utf8_lossy(&value).into_owned()));
        }
    }
    Ok(Form(Fields(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_name_counts() {
        let fields = Fields::of_pairs(b"appID=101&appID=102&appid=9&userID=%E4%BD%A0+%2B");
        assert_eq!((fields.app(), fields.get("userID")), (AppId(101), "你 +"));
        assert_eq!((fields.find("msgID"), fields.get("msgID")), (None, ""));
    }

    #[test]
    fn what_is_no_app_is_zero() {
        for text in ["", "appID=", "appID=-1", "appID=1.0", "appID=4294967296", "appID=x"] {
            assert_eq!(Fields::of_pairs(text.as_bytes()).app(), AppId(0), "{text}");
        }
    }

    #[test]
    fn escapes_are_whole_or_refused() {
        for (text, whole) in
            [("a=%41", true), ("a=100%", false), ("a=%4", false), ("%zz=1", false), ("", true)]
        {
            assert_eq!(has_whole_escapes(text.as_bytes()), whole, "{text}");
        }
    }
}
