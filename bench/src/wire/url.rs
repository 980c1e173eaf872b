//! Where to connect to: `ws://host:port/path?query`, or `wss://`.

use std::net::{SocketAddr, ToSocketAddrs};

/// A WebSocket address, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// As it was given.
    pub text: String,
    /// Host and port, for the `Host` header.
    pub authority: String,
    /// Path and query; begins with a slash.
    pub path: String,
    /// Where that is.
    pub address: SocketAddr,
    /// Whether TLS is spoken there.
    pub is_secure: bool,
}

impl Url {
    /// Whether it is in 127.0.0.0/8, where every address may be a source.
    #[must_use]
    pub fn is_loopback_v4(&self) -> bool {
        self.address.is_ipv4() && self.address.ip().is_loopback()
    }

    /// Reads and resolves an address.
    ///
    /// # Errors
    /// One line that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (is_secure, rest) = match text.split_once("://") {
            Some(("ws", rest)) => (false, rest),
            Some(("wss", rest)) => (true, rest),
            _ => return Err(format!("{text:?} is not an address such as ws://127.0.0.1:8089/acc")),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let printable = path.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty() || !printable || authority.contains(['@', ' ']) {
            return Err(format!("{text:?} is not an address such as ws://127.0.0.1:8089/acc"));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| {
            !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        let host = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:{}", if is_secure { 443 } else { 80 })
        };
        let mut found = host.to_socket_addrs().map_err(|error| format!("{authority}: {error}"))?;
        let address = found.next().ok_or_else(|| format!("{authority}: no address"))?;
        let (text, authority) = (text.to_owned(), authority.to_owned());
        Ok(Self { text, authority, path, address, is_secure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let url = Url::parse("ws://127.0.0.1:8089/acc?a=b").unwrap();
        assert_eq!(url.path, "/acc?a=b");
        assert_eq!(url.authority, "127.0.0.1:8089");
        assert_eq!(url.address.to_string(), "127.0.0.1:8089");
        assert_eq!(Url::parse("ws://127.0.0.1").unwrap().address.port(), 80);
        assert_eq!(Url::parse("ws://[::1]:9?x").unwrap().path, "/?x");
        assert_eq!(Url::parse("ws://[::1]").unwrap().address.to_string(), "[::1]:80");
        let safe = Url::parse("wss://127.0.0.1/acc").unwrap();
        assert!(safe.is_secure && !url.is_secure);
        assert_eq!(safe.address.port(), 443);
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for text in ["", "127.0.0.1:1", "http://a/", "wss://", "ws://", "ws:///acc", "ws://a b/"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        assert!(Url::parse("ws://127.0.0.1:99999/").is_err());
    }
}
