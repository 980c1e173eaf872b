//! The id by which a request is found again in the logs of all who had a part in it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Where ids come in without the rest of a W3C trace context, and where ours goes out.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What strangers may have us write into each line.
const ID_BYTES_MAX: usize = 64;

/// The id that the caller gives, or a fresh one: the trace id of `traceparent`
/// (W3C Trace Context §3.2.2.3), else `X-Request-Id`.
pub(super) fn of(headers: &HeaderMap) -> String {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let parent = text(&HeaderName::from_static("traceparent")).and_then(trace_of);
    let given = text(&REQUEST_ID).filter(|id| is_plain(id));
    match parent.or(given) {
        Some(id) => id.to_owned(),
        None => format!("{:032x}", fastrand::u128(1..)),
    }
}

/// The header that tells the caller.
pub(super) fn header(id: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(id).ok()
}

/// `version-trace-parent-flags`, all hexadecimal; a trace of zeroes is none.
fn trace_of(parent: &str) -> Option<&str> {
    let trace = parent.split('-').nth(1)?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (trace.len() == 32 && trace.bytes().all(is_hex) && trace.bytes().any(|byte| byte != b'0'))
        .then_some(trace)
}

/// Nothing that could be taken for the end of a field or of a line.
fn is_plain(id: &str) -> bool {
    let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_of_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(headers: &[(&'static str, &str)]) -> String {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        of(&headers.collect())
    }

    #[test]
    fn ids_are_passed_on_or_made() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(id(&[("traceparent", parent)]), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(id(&[("x-request-id", "order/17.b")]), "order/17.b");
        let both = [("x-request-id", "order-17"), ("traceparent", parent)];
        assert_eq!(id(&both), "4bf92f3577b34da6a3ce929d0e0e4736");
        let long = "x".repeat(65);
        for wrong in ["two words", "a\"b", "", long.as_str()] {
            let made = id(&[("x-request-id", wrong)]);
            assert!(made.len() == 32 && made != id(&[("x-request-id", wrong)]), "{made}");
        }
        for wrong in ["00-0-1-01", "00-00000000000000000000000000000000-1-01", "nonsense"] {
            assert_eq!(id(&[("traceparent", wrong)]).len(), 32);
            assert_eq!(id(&[("traceparent", wrong), ("x-request-id", "o-1")]), "o-1");
        }
    }
}
