//! Whom proxies may speak for.

use crate::address::Network;
use std::net::IpAddr;

/// Who is believed when it says whom it speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    networks: Vec<Network>,
    unix: bool,
}

/// Each hop that a request has passed is compared with all of them.
pub(super) const TRUSTED_MAX: usize = 256;

/// The word for unix sockets among trusted proxies.
const UNIX: &str = "unix";

impl Trusted {
    /// Reads addresses, networks and the word `unix`; what is none of them is
    /// left out: validation has refused it.
    #[must_use]
    pub fn new(entries: &[String]) -> Self {
        let networks = entries.iter().filter_map(|entry| entry.parse().ok()).collect();
        Self { networks, unix: entries.iter().any(|entry| entry == UNIX) }
    }

    /// The first entry that cannot be read.
    pub(super) fn wrong(entries: &[String]) -> Option<&String> {
        entries.iter().find(|entry| *entry != UNIX && entry.parse::<Network>().is_err())
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether this address is; `None` is the other end of a unix socket.
    #[must_use]
    pub fn trusts(&self, ip: Option<IpAddr>) -> bool {
        ip.map_or(self.unix, |ip| self.networks.iter().any(|network| network.contains(ip)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_of_addresses_networks_and_unix_sockets() {
        let trusted = |entries: &[&str]| {
            Trusted::new(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
        };
        let some = trusted(&["10.0.0.0/8", "::1", "unix"]);
        for ip in ["10.1.2.3", "::ffff:10.1.2.3", "::1"] {
            assert!(some.trusts(Some(ip.parse().unwrap())), "{ip}");
        }
        assert!(some.trusts(None) && !some.trusts(Some("11.0.0.1".parse().unwrap())));
        assert!(!trusted(&["10.0.0.0/8"]).trusts(None));
        assert!(trusted(&[]).is_empty());
        let entries = ["10.0.0.1", "Unix"].map(str::to_owned);
        assert_eq!(Trusted::wrong(&entries), Some(&entries[1]));
    }
}
