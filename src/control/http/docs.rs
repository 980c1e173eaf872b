//! The API described for machines, and a page that shows it to people.

use super::answer::Refusal;
use super::asset::{self as part, file};
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};

/// `GET /openapi.json`: the routes in OpenAPI 3.0.
pub(super) async fn openapi() -> Response {
    let document =
        include_str!("docs/openapi.json").replacen("{version}", env!("CARGO_PKG_VERSION"), 1);
    file("application/json", document)
}

/// `GET /docs`: a page that draws that document, and asks what it describes.
pub(super) async fn page() -> Response {
    part::page(HeaderValue::from_static(part::POLICY), include_str!("docs/index.html"))
}

/// `GET /docs/…`: what the page is made of.
pub(super) async fn asset(name: Result<Path<String>, PathRejection>) -> Response {
    match name.as_ref().map_or("", |Path(name)| name.as_str()) {
        "base.css" => part::style(part::BASE_STYLE),
        "docs.css" => part::style(include_str!("docs/docs.css")),
        "docs.js" => part::script(include_str!("docs/docs.js")),
        "markdown.js" => part::script(include_str!("docs/markdown.js")),
        "protocol.md" => {
            file("text/markdown; charset=utf-8", include_str!("docs/protocol.md").to_owned())
        }
        _ => Refusal::NotFound.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    /// Which refusals a route has follows from what it reads and what it asks for.
    #[test]
    fn refusals_are_described() {
        let described: Value = serde_json::from_str(include_str!("docs/openapi.json")).unwrap();
        for (path, verbs) in described["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                let answers = operation["responses"].as_object().unwrap();
                let is_open = operation["security"] == serde_json::json!([{}]);
                let reads_body = verb == "post" && path != "/admin/reload";
                for (status, is_due) in
                    [("401", !is_open), ("403", !is_open), ("408", reads_body), ("413", reads_body)]
                {
                    assert_eq!(answers.contains_key(status), is_due, "{verb} {path}: {status}");
                }
                if path.contains("/send") {
                    let refusal = answers["403"]["description"].as_str().unwrap();
                    assert!(refusal.contains("auth.allowed_origins"), "{path}: {refusal}");
                    let done = answers["200"]["description"].as_str().unwrap();
                    assert!(done.contains("1001") && done.contains("1002"), "{path}: {done}");
                }
            }
        }
    }

    /// What stands in the router and what is described are the same.
    #[test]
    fn every_route_is_described() {
        let router = [include_str!("mod.rs"), include_str!("admin.rs")].concat();
        let described: Value = serde_json::from_str(include_str!("docs/openapi.json")).unwrap();
        let paths = described["paths"].as_object().unwrap();
        // Parts of pages are no API.
        let routes: Vec<&str> = router
            .split(".route(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .filter(|route| !route.contains("{asset}"))
            .collect();
        for route in &routes {
            assert!(paths.contains_key(*route), "{route} is not described");
        }
        for (path, verbs) in paths {
            for (verb, operation) in verbs.as_object().unwrap() {
                let content = operation["responses"]["200"]["content"].as_object().unwrap();
                let is_page = content.contains_key("text/html") || path == "/openapi.json";
                let has_example = content.values().all(|content| content.get("example").is_some());
                assert!(is_page || has_example, "{verb} {path} has no example of an answer");
            }
        }
        assert_eq!(routes.len(), paths.len(), "described, but not there: {paths:?} {routes:?}");
    }
}
