//! Which address a connection comes from, so that ports never run out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Connections from one address to one server port. The default port range
/// has 28,232 (kernel: `net.ipv4.ip_local_port_range`).
pub const PORTS_PER_SOURCE: u32 = 28_000;

/// The same where addresses cost nothing: `connect()` tries ports of one parity
/// first (kernel: `__inet_hash_connect`), and as they become rare every call
/// searches; this many leave most of that parity free.
const PORTS_PER_LOOPBACK_SOURCE: u32 = 8_000;

/// The most addresses that are taken from `--source-ip`.
const SOURCES_MAX: usize = 65_536;

/// The source address of every connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The kernel chooses.
    Kernel,
    /// 127.1.0.1 and its neighbours: on loopback every 127.x.y.z is ours.
    Loopback,
    /// These, in turn.
    Listed(Vec<IpAddr>),
}

impl Sources {
    /// The address for the connection of this index.
    #[must_use]
    pub fn of(&self, index: u32) -> Option<IpAddr> {
        match self {
            Self::Kernel => None,
            Self::Loopback => {
                let block = index / PORTS_PER_LOOPBACK_SOURCE;
                Some(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + block).into())
            }
            Self::Listed(addresses) => {
                let block = (index / PORTS_PER_SOURCE) as usize;
                Some(addresses[block % addresses.len()])
            }
        }
    }

    /// How many connections can be told apart by address and port.
    #[must_use]
    pub fn ceiling(&self) -> u64 {
        let ports = u64::from(PORTS_PER_SOURCE);
        match self {
            Self::Kernel => ports,
            Self::Loopback => u64::from(PORTS_PER_LOOPBACK_SOURCE) << 23,
            Self::Listed(addresses) => addresses.len() as u64 * ports,
        }
    }
}

/// Reads `10.0.0.1,10.0.1.0/24,fd00::/120`: single addresses and blocks.
///
/// # Errors
/// One line that says what is wrong.
pub fn parse_sources(text: &str) -> Result<Vec<IpAddr>, String> {
    let mut addresses = Vec::new();
    for part in text.split(',').map(str::trim) {
        let wrong = || format!("{part:?} is not an address or block such as 10.0.1.0/24");
        let (address, bits) = part.split_once('/').map_or((part, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse::<u32>()).map_err(|_| wrong())?;
        if bits > width {
            return Err(wrong());
        }
        if width - bits > 16 {
            return Err(format!("{part}: more than {SOURCES_MAX} addresses"));
        }
        addresses.extend(block(address, width - bits));
        if addresses.len() > SOURCES_MAX {
            return Err(format!("{text}: more than {SOURCES_MAX} addresses"));
        }
    }
    Ok(addresses)
}

/// The hosts of a block of 2^`free` addresses; in a larger IPv4 block without
/// its first and last address, which no host may have.
fn block(address: IpAddr, free: u32) -> Vec<IpAddr> {
    let count = 1_u128 << free;
    match address {
        IpAddr::V4(v4) => {
            let first = u32::from(v4) & u32::MAX.checked_shl(free).unwrap_or(0);
            let skipped = u32::from(free > 1);
            let last = u32::try_from(count - 1).unwrap_or(0) - skipped;
            (skipped..=last).map(|host| Ipv4Addr::from(first + host).into()).collect()
        }
        IpAddr::V6(v6) => {
            let first = u128::from(v6) & u128::MAX.checked_shl(free).unwrap_or(0);
            (0..count).map(|host| Ipv6Addr::from(first + host).into()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_million_connections_never_need_more_ports_than_there_are() {
        for sources in [Sources::Loopback, Sources::Listed(parse_sources("10.0.0.0/26").unwrap())] {
            let mut used: BTreeMap<IpAddr, u32> = BTreeMap::new();
            for index in 0..1_000_000 {
                *used.entry(sources.of(index).unwrap()).or_default() += 1;
            }
            assert!(used.values().all(|count| *count <= PORTS_PER_SOURCE));
            assert!(sources.ceiling() >= 1_000_000);
            assert!(used.keys().all(|ip| !ip.is_loopback() || ip.to_string() != "127.0.0.1"));
        }
        assert_eq!(Sources::Kernel.of(7), None);
        assert_eq!(Sources::Kernel.ceiling(), 28_000);
    }

    #[test]
    fn lists_and_blocks_are_read() {
        let text = |list: &str| {
            parse_sources(list).unwrap().iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(text("10.0.0.7"), ["10.0.0.7"]);
        assert_eq!(text("10.0.0.9/30, ::1"), ["10.0.0.9", "10.0.0.10", "::1"]);
        assert_eq!(text("10.0.0.8/31"), ["10.0.0.8", "10.0.0.9"]);
        assert_eq!(text("fd00::/127"), ["fd00::", "fd00::1"]);
        for wrong in ["", "10.0.0", "10.0.0.1/33", "10.0.0.1/x", "10.0.0.0/8", "a,b"] {
            assert!(parse_sources(wrong).is_err(), "{wrong}");
        }
    }
}
