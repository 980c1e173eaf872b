//! Which address of this host others can reach.

use std::net::{IpAddr, Ipv4Addr};

/// The first IPv4 address that is not loopback, in the kernel's order, as the
/// reference advertises itself; without one the first such IPv6 address.
#[must_use]
pub fn first() -> Option<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = interfaces.iter().map(if_addrs::Interface::ip);
    let reachable = addresses.filter(|ip| !ip.is_loopback()).collect::<Vec<_>>();
    let is_global = |ip: &&IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && *ip != Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let mut global = reachable.iter().filter(is_global);
    global.clone().find(|ip| ip.is_ipv4()).or_else(|| global.next()).copied()
}
