//! The chat page of a room, and what belongs to it.

use super::answer::Refusal;
use super::form::Query;
use super::{Ruled, Site, asset};
use crate::config::{Auth, Config, Listener};
use crate::id::AppId;
use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

/// `GET /home/index`: the page of a room; that of the first app if none is named. A room that
/// does not exist gets a page that says so.
pub(super) async fn index(
    State(site): State<Arc<Site>>,
    Extension(policy): Ruled,
    Query(fields): Query,
) -> Response {
    let config = &policy.config;
    let app = match fields.get("appID") {
        "" => config.apps.ids.first().copied().map(AppId),
        _ => Some(fields.app()).filter(|app| config.apps.ids.contains(&app.0)),
    };
    match app {
        Some(app) => {
            let policy = HeaderValue::try_from(content_policy(&site, config));
            // Only the URLs of the configuration could spoil it, and those are checked.
            let policy = policy.unwrap_or(HeaderValue::from_static(asset::POLICY));
            asset::page(policy, render(&site, config, app))
        }
        None => {
            let page = no_room(&config.apps.ids, fields.get("appID"));
            let policy = HeaderValue::from_static(asset::POLICY);
            (StatusCode::NOT_FOUND, asset::page(policy, page)).into_response()
        }
    }
}

/// `GET /home/…`: what the page is made of.
pub(super) async fn asset(name: Result<Path<String>, PathRejection>) -> Response {
    match name.as_ref().map_or("", |Path(name)| name.as_str()) {
        "base.css" => asset::style(asset::BASE_STYLE),
        "chat.css" => asset::style(include_str!("page/chat.css")),
        "chat.js" => asset::script(include_str!("page/chat.js")),
        "lines.js" => asset::script(include_str!("page/lines.js")),
        "link.js" => asset::script(include_str!("page/link.js")),
        "token.js" => asset::script(include_str!("page/token.js")),
        "people.js" => asset::script(include_str!("page/people.js")),
        _ => Refusal::NotFound.into_response(),
    }
}

/// Nothing but what this server sends, and connections only where the page is
/// told to go. Behind a proxy the browser's name for this host is not known
/// here, so without a configured URL every host is allowed on the one port.
fn content_policy(site: &Site, config: &Config) -> String {
    let page = &config.page;
    let websocket = match origin(&page.websocket_url) {
        "" => {
            let ports = [port(&site.listeners, false), port(&site.listeners, true)];
            let ports: BTreeSet<u16> = ports.into_iter().flatten().collect();
            let sources = ports.iter().map(|port| format!("ws://*:{port} wss://*:{port}"));
            sources.collect::<Vec<_>>().join(" ")
        }
        origin => origin.to_owned(),
    };
    let api = origin(&page.http_url);
    // Where a page is sent when this node stops.
    let others = site.drain.refuges();
    let others = others.iter().map(|url| origin(url));
    let sources = ["'self'", &websocket, api].into_iter().chain(others);
    let sources: Vec<&str> = sources.filter(|source| !source.is_empty()).collect();
    let sources = sources.join(" ");
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src {sources}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

/// Scheme, host and port of a URL; a `;` or `,` would begin another directive.
fn origin(url: &str) -> &str {
    let host_at = url.find("://").map_or(0, |at| at + 3);
    let end = url[host_at..].find(['/', '?', '#', ';', ',']).map_or(url.len(), |at| host_at + at);
    &url[..end]
}

/// The port that a browser can open a WebSocket on without a proxy, from a page that came with
/// TLS or without. If there is none, the proxy that the page came through serves both.
fn port(listeners: &[Listener], tls: bool) -> Option<u16> {
    let is_direct = |listener: &&Listener| !listener.proxy && listener.tls == tls;
    let direct = listeners.iter().filter(is_direct).find_map(Listener::address);
    direct.map(|address| address.port())
}

fn render(site: &Site, config: &Config, app: AppId) -> String {
    let page = &config.page;
    let fillings = [
        ("{app}", app.to_string()),
        ("{api}", if config.auth.keys.is_empty() { "open" } else { "" }.to_owned()),
        ("{http_ports}", http_ports(&site.served_at)),
        ("{port}", text_of(port(&site.listeners, false))),
        ("{tls_port}", text_of(port(&site.listeners, true))),
        ("{path}", escaped(&config.listen.path)),
        ("{websocket_url}", escaped(&page.websocket_url)),
        ("{http_url}", escaped(page.http_url.trim_end_matches('/'))),
        // Validated: no origin holds a space.
        ("{allowed_origins}", escaped(&config.auth.allowed_origins.join(" "))),
        ("{token}", config.auth.jwt.as_ref().map_or("", |_| "wanted").to_owned()),
        ("{send}", way_to_send(&config.auth).to_owned()),
        ("{name_bytes}", config.limits.user_id_bytes.to_string()),
        ("{rooms}", rooms(&config.apps.ids, Some(app))),
    ];
    let mut html = include_str!("page/index.html").to_owned();
    for (place, text) in fillings {
        html = html.replace(place, &text);
    }
    html
}

fn text_of(port: Option<u16>) -> String {
    port.map_or(String::new(), |port| port.to_string())
}

/// How a page sends: by `socket` where clients may, by `http` where the API asks for no key,
/// not at all (empty) where it does, since a page that everybody gets can hold no key.
fn way_to_send(auth: &Auth) -> &'static str {
    match (auth.clients_send(), auth.keys.is_empty()) {
        (true, _) => "socket",
        (false, true) => "http",
        (false, false) => "",
    }
}

/// The ports that this page is served at. A browser that sees another one came through a proxy.
fn http_ports(listeners: &[Listener]) -> String {
    let ports = listeners.iter().filter_map(Listener::address);
    ports.map(|address| address.port().to_string()).collect::<Vec<_>>().join(" ")
}

/// The page that is shown in place of a room that does not exist.
fn no_room(ids: &[u32], asked: &str) -> String {
    let asked: String = asked.chars().take(NAME_SHOWN_MAX).collect();
    include_str!("page/no_room.html")
        .replace("{asked}", &escaped(&asked))
        .replace("{rooms}", &rooms(ids, None))
}

/// Longer names of rooms are cut.
const NAME_SHOWN_MAX: usize = 40;

/// Links to the first rooms, and to the current one. They are relative: the page may be served below a path.
fn rooms(ids: &[u32], current: Option<AppId>) -> String {
    let is_current = |id: u32| current.is_some_and(|current| id == current.0);
    let is_shown = |(at, id): &(usize, &u32)| *at < ROOMS_SHOWN_MAX || is_current(**id);
    let mut links = String::new();
    for (_, id) in ids.iter().enumerate().filter(is_shown) {
        let mark = if is_current(*id) { " aria-current=\"page\"" } else { "" };
        // Writing into memory cannot fail.
        let _infallible = write!(links, "<li><a href=\"index?appID={id}\"{mark}>{id}</a></li>");
    }
    links
}

/// More links than this are no navigation.
const ROOMS_SHOWN_MAX: usize = 16;

/// Text as it may stand between the quotes of an attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Braces mark the places that are filled in.
            '{' => safe.push_str("&#123;"),
            '}' => safe.push_str("&#125;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_cannot_leave_its_attribute() {
        assert_eq!(escaped("/a\"><b>&'{app}"), "/a&quot;&gt;&lt;b&gt;&amp;&#39;&#123;app&#125;");
    }

    #[test]
    fn a_browser_is_sent_to_a_port_that_it_can_speak_with() {
        let ports_of = |texts: &[&str]| {
            let listeners: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
            [false, true].map(|tls| port(&listeners, tls))
        };
        let all = ["unix:/a", "[::]:1 tls", "[::]:2 proxy", "[::]:3", "[::]:4"];
        assert_eq!(ports_of(&all), [Some(3), Some(1)]);
        assert_eq!(ports_of(&["unix:/a", "[::]:1 tls"]), [None, Some(1)]);
        assert_eq!(ports_of(&["unix:/a", "[::]:1"]), [Some(1), None]);
        assert_eq!(ports_of(&["unix:/a", "[::]:1 proxy tls"]), [None, None]);
    }

    #[test]
    fn the_name_of_an_unknown_room_is_text_and_short() {
        let page = no_room(&[7], &format!("<b>{}", "9".repeat(99)));
        assert!(page.contains("&lt;b&gt;9") && !page.contains(&"9".repeat(41)), "{page}");
        assert!(page.contains("href=\"index?appID=7\""), "{page}");
    }

    #[test]
    fn an_origin_ends_where_its_path_begins() {
        for (url, expected) in [
            ("wss://chat.example.com/acc?x", "wss://chat.example.com"),
            ("ws://[::1]:8089", "ws://[::1]:8089"),
            ("https://a.example;script-src *", "https://a.example"),
            ("", ""),
        ] {
            assert_eq!(origin(url), expected);
        }
    }

    #[test]
    fn rooms_are_few_and_hold_the_current_one() {
        let ids: Vec<u32> = (1..=4_096).collect();
        let links = rooms(&ids, Some(AppId(4_000)));
        assert_eq!(links.matches("<li>").count(), ROOMS_SHOWN_MAX + 1);
        assert!(links.contains("aria-current=\"page\">4000<"), "{links}");
    }
}
