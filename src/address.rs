//! Where clients come from, and networks of such addresses.

use std::fmt;
use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

/// Where a client comes from, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientAddr {
    /// An address of the internet; port 0 where only the address was told. Never an
    /// IPv4 address in the clothes of IPv6.
    Inet(SocketAddr),
    /// A process of this host, over a unix socket, that told nothing of its client.
    Unix,
    /// It has gone before it could be asked.
    #[default]
    Unknown,
}

impl ClientAddr {
    /// An address of which the port is not known.
    #[must_use]
    pub fn of_ip(ip: IpAddr) -> Self {
        Self::from(SocketAddr::new(ip, 0))
    }

    /// The address without its port.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix | Self::Unknown => None,
        }
    }
}

impl From<SocketAddr> for ClientAddr {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

/// `address:port`, or the address alone where the port is not known.
impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) if address.port() == 0 => address.ip().fmt(f),
            Self::Inet(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl FromStr for ClientAddr {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<SocketAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => text.parse().map(Self::of_ip),
        }
    }
}

/// All addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`, or
/// a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// What is wrong with the text of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no address and no network such as 10.0.0.0/8")]
pub struct NotANetwork;

impl Network {
    /// Whether the address is in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let differs = base.to_bits() ^ ip.to_bits();
                differs.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let differs = base.to_bits() ^ ip.to_bits();
                differs.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        let base = ip.to_canonical();
        Self { base, bits: if base.is_ipv4() { 32 } else { 128 } }
    }
}

/// Bits beyond the prefix may be set, as in the address of an interface; they are ignored.
impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((base, bits)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Self::from).map_err(|_| NotANetwork);
        };
        let base = base.parse::<IpAddr>().map_err(|_| NotANetwork)?;
        let is_number = !bits.starts_with('+');
        let bits = bits.parse::<u8>().ok().filter(|_| is_number).ok_or(NotANetwork)?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        if bits > most || base != base.to_canonical() {
            Err(NotANetwork)
        } else {
            Ok(Self { base, bits })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, ip: &str) -> bool {
        network.parse::<Network>().unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn a_network_holds_those_that_begin_with_its_bits() {
        for (network, ip) in [
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.1.2.3/8", "10.255.0.1"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3/32", "::ffff:10.1.2.3"),
            ("0.0.0.0/0", "255.255.255.255"),
            ("192.168.2.0/23", "192.168.3.255"),
            ("::/0", "2001:db8::1"),
            ("2001:db8::/33", "2001:db8:7fff::1"),
            ("::1", "::1"),
        ] {
            assert!(contains(network, ip), "{network} {ip}");
        }
        for (network, ip) in [
            ("10.0.0.0/8", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "10.0.0.1"),
            ("::/0", "::ffff:10.0.0.1"),
            ("192.168.2.0/23", "192.168.4.0"),
            ("2001:db8::/33", "2001:db8:8000::1"),
        ] {
            assert!(!contains(network, ip), "{network} {ip}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/+8",
            "unix",
            "a/8",
            "::ffff:10.0.0.0/104",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text}");
        }
        assert_eq!("10.1.0.0/16".parse::<Network>().unwrap().to_string(), "10.1.0.0/16");
    }

    #[test]
    fn an_address_is_shown_as_far_as_it_is_known() {
        for (told, shown) in [
            ("203.0.113.7:24442", "203.0.113.7:24442"),
            ("203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:80", "203.0.113.7:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(told.parse::<ClientAddr>().unwrap().to_string(), shown);
        }
        assert_eq!(ClientAddr::Unix.to_string(), "unix");
    }
}
