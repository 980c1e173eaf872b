//! By which name a request calls this node.
//!
//! A page of a stranger can let its own name resolve to 127.0.0.1 (DNS rebinding). To a browser the
//! API is then of the same origin as that page, so no check of origins helps. The name in `Host`
//! still tells it.

use crate::auth::Access;
use crate::config::Config;
use axum::extract::Request;
use axum::http::header::HOST;
use std::net::{IpAddr, SocketAddr};

/// The first name of another host that the request calls this node by; `None` if all of them may
/// be this node's.
pub(super) fn foreign_name(request: &Request, access: &Access, config: &Config) -> Option<String> {
    let in_target = request.uri().authority().map(|authority| authority.as_str());
    // What cannot be read is no name of this node.
    let in_headers =
        request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or("?"));
    let mut names = in_target.into_iter().chain(in_headers);
    names
        .find(|name| !is_own(name, access, config))
        .map(|name| name.chars().take(NAME_CHARS_MAX).collect())
}

fn is_own(place: &str, access: &Access, config: &Config) -> bool {
    if place.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if is_port(port) => (host, Some(port)),
        _ => (place, None),
    };
    // The dot of the root names the same host.
    let host = host.strip_suffix('.').unwrap_or(host);
    let place = &port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // Only a resolver of this machine's own network knows a name of one label: no stranger owns it.
    let is_near = !host.is_empty() && !host.contains('.') && !host.contains('[');
    is_near
        || bare.parse::<IpAddr>().is_ok()
        || is_below_localhost(host)
        || is_listed(place, access)
        || is_configured(host, config)
}

/// RFC 6761: such names are never looked up elsewhere.
fn is_below_localhost(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether pages of this place may read answers anyway.
fn is_listed(place: &str, access: &Access) -> bool {
    let place = place.to_ascii_lowercase();
    ["http", "https"]
        .iter()
        .any(|scheme| access.origins.contain(format!("{scheme}://{place}").as_bytes()))
}

/// Whether the configuration calls this node by that name.
fn is_configured(host: &str, config: &Config) -> bool {
    let urls = [&config.page.http_url, &config.page.websocket_url, &config.cluster.client_url];
    urls.iter().filter_map(|url| host_of(url)).any(|known| known.eq_ignore_ascii_case(host))
}

/// The host in a URL.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let place = rest.split(['/', '?', '#']).next()?;
    let host = if place.starts_with('[') { place } else { place.split(':').next()? };
    Some(host).filter(|host| !host.is_empty())
}

/// As many letters of a name as an answer repeats.
const NAME_CHARS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origins;
    use axum::body::Body;

    fn asked(target: &str, hosts: &[&str]) -> Request {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn names_of_this_node_are_near_or_configured() {
        let mut config = Config::default();
        config.page.http_url = "https://api.example.org/gw".into();
        config.page.websocket_url = "wss://chat.example.org:8443/acc".into();
        let origins =
            Origins::new(&["https://*.example.com".into(), "http://a.example.net:81".into()]);
        let access = Access { origins, ..Access::default() };
        let foreign = |request: &Request| foreign_name(request, &access, &config);
        for host in [
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:8080",
            "[::1]",
            "::1",
            "localhost",
            "LOCALHOST:1",
            "gateway.localhost:80",
            "localhost.",
            "localhost.:8080",
            "api.example.org.",
            "API.example.org.:443",
            "a.example.net.:81",
            "gateway:8080",
            "api.example.org",
            "chat.example.org",
            "x.example.com",
            "a.example.net:81",
        ] {
            assert_eq!(foreign(&asked("/user/list", &[host])), None, "{host}");
        }
        assert_eq!(foreign(&asked("/user/list", &[])), None, "a browser always says a name");
        for host in [
            "evil.example:8080",
            "127.0.0.1.example",
            "localhost.example",
            "example.com",
            "a.example.net:82",
            "api.example.org.evil.example",
            "",
            "[evil.example]",
            "127.1.example:1",
            "evil.example.",
            "api.example.org..",
            ".",
        ] {
            assert!(foreign(&asked("/user/list", &[host])).is_some(), "{host}");
        }
        assert!(foreign(&asked("/user/list", &["localhost", "evil.example"])).is_some());
        assert!(foreign(&asked("http://evil.example/user/list", &["127.0.0.1"])).is_some());
    }
}
