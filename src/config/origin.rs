//! Origins of web pages, as browsers write them, and patterns of them.

use std::net::Ipv6Addr;

/// The origins whose pages are served. A pattern is an origin exactly as a browser sends it
/// (`https://chat.example.org`), or one with `*.` for any name below a domain
/// (`https://*.example.org`, which is not `https://example.org` itself), or with `:*` for any port.
/// Apps and extensions made of web pages have schemes of their own (`capacitor://localhost`,
/// `chrome-extension://…`); pages from files may have `file://`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<Pattern>);

impl Origins {
    /// Takes patterns that were validated; anything else matches nothing.
    #[must_use]
    pub fn new(patterns: &[String]) -> Self {
        Self(patterns.iter().filter_map(|pattern| Pattern::parse(pattern)).collect())
    }

    /// Whether the list is empty, which means that nobody was listed, not that nobody may come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this `Origin` is in the list.
    #[must_use]
    pub fn contain(&self, origin: &[u8]) -> bool {
        std::str::from_utf8(origin)
            .is_ok_and(|origin| self.0.iter().any(|pattern| pattern.matches(origin)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// With `://`.
    scheme: String,
    host: Host,
    port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Exactly(String),
    /// With its leading dot.
    Below(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Port {
    Any,
    /// As in the origin: empty for the one that the scheme implies.
    Exactly(String),
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let (without_port, any_port) = match text.strip_suffix(":*") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (scheme, rest) = split_scheme(without_port)?;
        let (below, rest) = match rest.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (host, port) = split_port(rest);
        // A name behind the star: `*.` before an address means nothing.
        let is_domain = host.contains(|letter: char| letter.is_ascii_alphabetic());
        let is_good = is_origin(&format!("{scheme}{rest}"))
            && (!any_port || port.is_empty())
            && (!below || (is_domain && !host.starts_with(['[', '.'])));
        is_good.then(|| Self {
            scheme: scheme.to_owned(),
            host: if below {
                Host::Below(format!(".{host}"))
            } else {
                Host::Exactly(host.to_owned())
            },
            port: if any_port { Port::Any } else { Port::Exactly(port.to_owned()) },
        })
    }

    fn matches(&self, origin: &str) -> bool {
        let Some(rest) = origin.strip_prefix(&*self.scheme) else { return false };
        let (host, port) = split_port(rest);
        if port.is_empty() && host.len() < rest.len() {
            return false;
        }
        let host_fits = match &self.host {
            Host::Exactly(name) => host == name,
            // What stands before it has to be a name: `https://evil/.example.org` has none.
            Host::Below(domain) => host
                .strip_suffix(domain.as_str())
                .is_some_and(|name| !name.is_empty() && !name.starts_with('.') && is_host(name)),
        };
        host_fits
            && match &self.port {
                Port::Any => port.is_empty() || is_port(port, implied(&self.scheme)),
                Port::Exactly(number) => port == number,
            }
    }
}

/// Whether this is an origin as browsers send it, or a pattern of them.
pub(super) fn is_pattern(text: &str) -> bool {
    Pattern::parse(text).is_some()
}

/// Whether a browser would send exactly this as `Origin`: scheme, host and
/// port, all in small letters, without a path and without the port that the
/// scheme implies. Anything else would never be equal to what is sent.
fn is_origin(text: &str) -> bool {
    let Some((scheme, rest)) = split_scheme(text) else { return false };
    let (host, port) = split_port(rest);
    let has_colon = host.len() < rest.len();
    let is_good_host = match scheme {
        "http://" | "https://" => is_host(host),
        "file://" => host.is_empty(),
        _ => is_opaque_host(host),
    };
    is_good_host && (!has_colon || is_port(port, implied(scheme)))
}

/// The scheme with `://`, and the rest. `ws` and `wss` are no schemes of pages.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, _) = text.split_once("://")?;
    let is_letter = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(is_letter)
        && !matches!(scheme, "ws" | "wss");
    is_scheme.then(|| text.split_at(scheme.len() + "://".len()))
}

/// Host and port; the port is empty if there is none.
fn split_port(rest: &str) -> (&str, &str) {
    // The colons of an IPv6 address stand in brackets.
    let port_at = rest.rfind(':').filter(|at| !rest[*at..].contains(']'));
    port_at.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..]))
}

/// The port that a scheme implies; 0 for one that implies none.
fn implied(scheme: &str) -> u16 {
    match scheme {
        "http://" => 80,
        "https://" => 443,
        _ => 0,
    }
}

/// Whether this is a name behind a scheme that is not of the web: browsers leave its letters as
/// they are, so it may have capitals.
fn is_opaque_host(host: &str) -> bool {
    is_host(&host.to_ascii_lowercase())
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        // In the one shortest form.
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == v6),
        None => {
            let is_of_name = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
            !host.is_empty() && host.bytes().all(is_of_name)
        }
    }
}

fn is_port(port: &str, implied: u16) -> bool {
    port.parse::<u16>().is_ok_and(|number| number != implied && number.to_string() == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in [
            "https://chat.example.org",
            "http://localhost:8080",
            "http://127.0.0.1:443",
            "https://xn--bcher-kva.example:8443",
            "http://[::1]",
            "http://[2001:db8::1]:8080",
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "app://obsidian.md",
            "app://localhost:3000",
            "chrome-extension://abcdefghijklmnop",
            "moz-extension://1c2f3a44-0000-4000-8000-000000000000",
            "safari-web-extension://1C2F3A44-0000-4000-8000-000000000000",
            "ms-appx-web://a.b",
            "file://",
        ] {
            assert!(is_origin(good) && is_pattern(good), "{good}");
            assert!(Origins::new(&[good.to_owned()]).contain(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_neither_origin_nor_pattern() {
        for bad in [
            "",
            "*",
            "null",
            "chat.example.org",
            "ws://chat.example.org",
            "wss://chat.example.org",
            "capacitor://",
            "capacitor:localhost",
            "Capacitor://localhost",
            "capacitor://localhost/",
            "capacitor://local host",
            "capacitor://ann@localhost",
            "chrome-extension://*",
            "1app://localhost",
            "file://localhost",
            "file:///a",
            "://a",
            "https://",
            "https://:8443",
            "https://chat.example.org/",
            "https://chat.example.org/home",
            "https://chat.example.org?x",
            "https://*",
            "https://*.",
            "https://*.*.org",
            "https://a*.example.org",
            "https://a.*.example.org",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "https://*..example.org",
            "https://chat.example.org:8*",
            "https://chat.example.org:80:*",
            "*://chat.example.org",
            "https://Chat.example.org",
            "HTTPS://chat.example.org",
            "https://b\u{fc}cher.example",
            "https://ann@chat.example.org",
            "https://chat.example.org:443",
            "http://chat.example.org:80",
            "http://chat.example.org:",
            "http://chat.example.org:08080",
            "http://chat.example.org:65536",
            "http://::1",
            "http://[0:0:0:0:0:0:0:1]",
            "http://[::1]x",
            "http://a b",
        ] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }

    #[test]
    fn a_pattern_matches_what_it_says_and_nothing_else() {
        let cases: [(&str, &[&str], &[&str]); 4] = [
            (
                "https://*.example.org",
                &["https://a.example.org", "https://a.b.example.org"],
                &[
                    "https://example.org",
                    "https://.example.org",
                    "https://evilexample.org",
                    "https://a.example.org.evil.net",
                    "https://evil.net/.example.org",
                    "https://evil.net#.example.org",
                    "https://ann@a.example.org",
                    "https://A.example.org",
                    "http://a.example.org",
                    "https://a.example.org:8443",
                    "null",
                    "",
                ],
            ),
            (
                "http://localhost:*",
                &["http://localhost", "http://localhost:8080", "http://localhost:1"],
                &[
                    "http://localhost:",
                    "http://localhost:80",
                    "http://localhost:x",
                    "http://localhost:99999",
                    "http://localhost:80.evil.net",
                    "https://localhost",
                    "http://localhost.evil.net",
                ],
            ),
            (
                "https://*.example.org:*",
                &["https://a.example.org", "https://a.example.org:8443"],
                &["https://example.org:8443", "https://a.example.org:443"],
            ),
            (
                "http://[::1]:*",
                &["http://[::1]", "http://[::1]:3000"],
                &["http://[::2]", "http://[::1"],
            ),
        ];
        for (pattern, good, bad) in cases {
            let origins = Origins::new(&[pattern.to_owned()]);
            assert!(is_pattern(pattern), "{pattern}");
            for origin in good {
                assert!(origins.contain(origin.as_bytes()), "{pattern} {origin}");
            }
            for origin in bad {
                assert!(!origins.contain(origin.as_bytes()), "{pattern} {origin}");
            }
        }
        assert!(!Origins::default().contain(b"https://a.example.org"));
        assert!(!Origins::new(&["http://a".into()]).contain(b"http://\xff"));
    }
}
