//! Where clients are listened for, and callers of the API.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Addresses that are listened on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// WebSocket clients: one listener or a list of up to 16; port 0 lets the kernel choose.
    pub websocket: Listeners,
    /// The path clients upgrade on; begins with `/`.
    pub path: String,
    /// HTTP API, pages and metrics: one listener or a list, without `proxy`.
    pub http: Listeners,
    /// gRPC for other nodes, with `[redis]` only; port 0 lets the kernel choose.
    pub grpc: SocketAddr,
    /// Proxies that are believed whom they speak for: addresses, networks, `unix`; at most 256.
    pub trusted_proxies: Vec<String>,
    /// Certificate chain of `tls` listeners, PEM; the node's own certificate first.
    pub tls_cert: PathBuf,
    /// Its private key, PEM.
    pub tls_key: PathBuf,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            websocket: SocketAddr::from(([0, 0, 0, 0], 8089)).into(),
            path: "/acc".into(),
            http: SocketAddr::from(([127, 0, 0, 1], 8080)).into(),
            grpc: SocketAddr::from(([127, 0, 0, 1], 9001)),
            trusted_proxies: Vec::new(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
        }
    }
}

/// Listeners of one kind; at least one, at most [`LISTENERS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners(Vec<Listener>);

/// Each reactor watches all of them.
pub const LISTENERS_MAX: usize = 16;

/// One place where clients come in, and what they say first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub place: Place,
    /// A header of the PROXY protocol comes before all else.
    pub proxy: bool,
    /// TLS comes before the handshake.
    pub tls: bool,
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and port; `[::]` takes IPv4 as well, unless that port is listed for it too.
    Tcp(SocketAddr),
    /// A file.
    Unix {
        /// Where it is; begins with `/`.
        path: PathBuf,
        /// Who may connect: its permissions.
        mode: u32,
    },
}

/// The owner and the group: a proxy is in the gateway's group, strangers are not.
const UNIX_MODE: u32 = 0o660;

/// A socket's path and the zero behind it have to fit into `sockaddr_un`.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// What is wrong with the text of a listener.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "has {0:?}, must be address:port or unix:/path, and behind it what is wanted of tls, proxy and mode=0660"
)]
pub struct NoListener(String);

impl Listeners {
    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, Listener> {
        self.0.iter()
    }

    /// The addresses among them.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.iter().filter_map(Listener::address)
    }

    /// Whether one of them is a unix socket.
    #[must_use]
    pub fn have_unix(&self) -> bool {
        self.iter().any(|listener| listener.address().is_none())
    }

    /// Whether one of them speaks TLS.
    #[must_use]
    pub fn have_tls(&self) -> bool {
        self.iter().any(|listener| listener.tls)
    }

    /// Whether IPv6 at this address must leave IPv4 alone: the port is listed
    /// for IPv4 as well.
    #[must_use]
    pub fn splits_families(&self, address: SocketAddr) -> bool {
        let is_twin = |other: SocketAddr| other.is_ipv4() && other.port() == address.port();
        address.is_ipv6() && address.port() != 0 && self.addresses().any(is_twin)
    }

    /// Whether nobody but processes of this host reaches them.
    #[must_use]
    pub fn are_local(&self) -> bool {
        self.addresses().all(|address| address.ip().is_loopback())
    }

    /// The first place that is listed in both.
    pub(super) fn shared_with(&self, others: &Self) -> Option<&Listener> {
        let is_fixed = |listener: &&Listener| listener.has_fixed_place();
        let is_there = |listener: &&Listener| {
            let overlaps = |at| listener.address().is_some_and(|own| overlap(own, at));
            let is_same = |other: &Listener| other.is_at_the_place_of(listener);
            others.iter().any(is_same) || others.addresses().any(overlaps)
        };
        self.iter().filter(is_fixed).find(is_there)
    }

    /// The first place that is listed twice.
    pub(super) fn twice(&self) -> Option<&Listener> {
        let mut places: Vec<_> = self.iter().filter(|at| at.has_fixed_place()).collect();
        while let Some(last) = places.pop() {
            if places.iter().any(|other| other.is_at_the_place_of(last)) {
                return Some(last);
            }
        }
        None
    }
}

/// Whether two sockets cannot listen at these addresses at the same time: one of them may be every
/// address of the host.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    // Alone on its port, `[::]` takes IPv4 as well.
    let covers = |all: SocketAddr, one: SocketAddr| {
        all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4())
    };
    let is_same_place = one.ip() == other.ip() || covers(one, other) || covers(other, one);
    one.port() != 0 && one.port() == other.port() && is_same_place
}

impl<'a> IntoIterator for &'a Listeners {
    type Item = &'a Listener;
    type IntoIter = std::slice::Iter<'a, Listener>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Listener {
    /// Its address, unless it is a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.place {
            Place::Tcp(address) => Some(address),
            Place::Unix { .. } => None,
        }
    }

    fn has_fixed_place(&self) -> bool {
        self.address().is_none_or(|at| at.port() != 0)
    }

    fn is_at_the_place_of(&self, other: &Self) -> bool {
        match (&self.place, &other.place) {
            (Place::Unix { path, .. }, Place::Unix { path: other, .. }) => path == other,
            (Place::Tcp(address), Place::Tcp(other)) => address == other,
            _ => false,
        }
    }
}

impl From<SocketAddr> for Listener {
    fn from(address: SocketAddr) -> Self {
        Self { place: Place::Tcp(address), proxy: false, tls: false }
    }
}

impl From<SocketAddr> for Listeners {
    fn from(address: SocketAddr) -> Self {
        Self(vec![address.into()])
    }
}

impl FromStr for Listener {
    type Err = NoListener;

    fn from_str(text: &str) -> Result<Self, NoListener> {
        let wrong = || NoListener(text.to_owned());
        let mut words = text.split_ascii_whitespace();
        let place = words.next().ok_or_else(wrong)?;
        let (mut mode, mut proxy, mut tls) = (None, false, false);
        for word in words {
            match (word, word.strip_prefix("mode=")) {
                ("proxy", _) if !proxy => proxy = true,
                ("tls", _) if !tls => tls = true,
                (_, Some(digits)) if mode.is_none() => {
                    mode = Some(permissions(digits).ok_or_else(wrong)?);
                }
                _ => return Err(wrong()),
            }
        }
        let place = match (place.strip_prefix("unix:"), mode) {
            (Some(path), mode) if path.starts_with('/') && path.len() <= UNIX_PATH_BYTES_MAX => {
                Place::Unix { path: path.into(), mode: mode.unwrap_or(UNIX_MODE) }
            }
            (None, None) => Place::Tcp(place.parse().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        };
        Ok(Self { place, proxy, tls })
    }
}

/// Reads `0660`.
fn permissions(digits: &str) -> Option<u32> {
    let is_octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    u32::from_str_radix(digits, 8).ok().filter(|mode| is_octal && *mode <= 0o777)
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(address) => address.fmt(f)?,
            Place::Unix { path, mode: UNIX_MODE } => write!(f, "unix:{}", path.display())?,
            Place::Unix { path, mode } => write!(f, "unix:{} mode={mode:04o}", path.display())?,
        }
        for (word, wanted) in [(" tls", self.tls), (" proxy", self.proxy)] {
            f.write_str(if wanted { word } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Listeners {
    type Err = NoListener;

    fn from_str(text: &str) -> Result<Self, NoListener> {
        text.parse().map(|listener| Self(vec![listener]))
    }
}

impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.iter().map(Listener::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}

/// One is a text, several are a list.
impl Serialize for Listeners {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => serializer.collect_str(only),
            several => serializer.collect_seq(several.iter().map(Listener::to_string)),
        }
    }
}

impl<'de> Deserialize<'de> for Listeners {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrList)
    }
}

struct TextOrList;

impl<'de> Visitor<'de> for TextOrList {
    type Value = Listeners;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a listener or a list of listeners")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Listeners, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listeners, A::Error> {
        let mut listeners = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            listeners.push(text.parse().map_err(A::Error::custom)?);
        }
        if !(1..=LISTENERS_MAX).contains(&listeners.len()) {
            let count = listeners.len();
            let complaint = format!("has {count} entries, must have 1 to {LISTENERS_MAX}");
            return Err(A::Error::custom(complaint));
        }
        Ok(Listeners(listeners))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_a_place_and_words() {
        for (text, shown) in [
            ("0.0.0.0:8089", "0.0.0.0:8089"),
            ("[::]:8089 tls", "[::]:8089 tls"),
            ("10.0.0.1:8090   proxy", "10.0.0.1:8090 proxy"),
            ("10.0.0.1:8090 proxy tls", "10.0.0.1:8090 tls proxy"),
            ("unix:/run/millgate/ws.sock", "unix:/run/millgate/ws.sock"),
            ("unix:/a mode=660", "unix:/a"),
            ("unix:/a proxy mode=0666", "unix:/a mode=0666 proxy"),
        ] {
            assert_eq!(text.parse::<Listener>().unwrap().to_string(), shown);
        }
        let long = format!("unix:/{}", "x".repeat(107));
        for text in [
            "",
            "8089",
            "localhost:8089",
            "0.0.0.0:8089 ssl",
            "0.0.0.0:8089 tls tls",
            "0.0.0.0:8089 mode=0660",
            "unix:ws.sock",
            "unix:",
            "unix:/a mode=",
            "unix:/a mode=0888",
            "unix:/a mode=7777",
            "unix:/a mode=66",
            "unix:/a mode=0660 mode=0660",
            long.as_str(),
        ] {
            assert!(text.parse::<Listener>().is_err(), "{text}");
        }
    }

    #[test]
    fn families_are_split_where_both_are_listed() {
        let listeners =
            |texts: &[&str]| Listeners(texts.iter().map(|text| text.parse().unwrap()).collect());
        let both = listeners(&["0.0.0.0:8089", "[::]:8089", "[::]:8090", "unix:/a"]);
        let split: Vec<_> = both.addresses().map(|address| both.splits_families(address)).collect();
        assert_eq!(split, [false, true, false]);
        assert_eq!(both.twice(), None);
        for twice in [["0.0.0.0:1", "0.0.0.0:1 tls"], ["unix:/a", "unix:/a mode=0666"]] {
            assert!(listeners(&twice).twice().is_some(), "{twice:?}");
        }
        assert_eq!(listeners(&["0.0.0.0:0", "0.0.0.0:0"]).twice(), None);
        for (one, other, are_shared) in [
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "[::]:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("[::1]:1", "0.0.0.0:1", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "127.0.0.1:2", false),
            ("0.0.0.0:0", "0.0.0.0:0", false),
            ("unix:/a", "unix:/a", true),
        ] {
            let shared = listeners(&[one]).shared_with(&listeners(&[other])).is_some();
            assert_eq!(shared, are_shared, "{one} {other}");
        }
    }
}
