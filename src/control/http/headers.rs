//! What every answer tells browsers, so that other pages can do nothing with it.

use axum::http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Adds what an answer does not say for itself.
pub(super) fn harden(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// One a line, with its reason.
const ALWAYS: [(HeaderName, &str); 7] = [
    // A list of names is no script, whatever is in it.
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // An answer that is opened as a page loads nothing; pages have policies of their own.
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    // The same as frame-ancestors, for browsers that do not know that: nobody clicks what he does not see.
    (X_FRAME_OPTIONS, "DENY"),
    // A query may hold names.
    (REFERRER_POLICY, "no-referrer"),
    // Pages of other origins cannot embed it; those that are listed ask by CORS, which this is not about.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // A page that opens ours gets no hold of its window.
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // No page here has use for any of these. Chromium warns of names it does not know, so only names that it does.
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()",
    ),
];
