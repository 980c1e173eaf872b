//! What lies between clients and the gateway: a proxy's ports, connection tracking.

use super::limit::{Cure, Grade, Limit, Place, Unit};
use super::{Load, Standing};
use std::net::{IpAddr, SocketAddr};

/// Ports 1024 to 65535.
const PORTS_WIDE: u64 = 64_512;

/// nginx lines beyond this are no longer something to paste.
const PROXY_LINES_MAX: u64 = 64;

/// Source ports of a proxy: each connection to one of our addresses takes one.
pub(super) fn of_proxy(load: &Load) -> Limit {
    let limit = Limit::new(
        "ports of the proxy",
        Grade::Ceiling,
        Unit::Count,
        "ip_local_port_range for each pair of addresses",
    );
    if load.target.proxy_pairs == 0 {
        return limit.standing(Standing::NotInUse);
    }
    if load.target.unix_socket {
        // Over the socket in a file; a proxy of another host has the limit of its own.
        return limit.standing(Standing::Unlimited);
    }
    let range = match load.facts.sysctl.get("net.ipv4.ip_local_port_range").map(Vec::as_slice) {
        Some([first, last]) => Some(last.saturating_sub(*first) + 1),
        _ => None,
    };
    let ports = range.map(|range| range.saturating_mul(load.target.proxy_pairs));
    let mut limit = load.weigh(limit, ports, 0, 1);
    if let (true, Some(connections), Some(range)) = (limit.is_short(), load.connections, range) {
        limit.cures = cures(load, connections, range);
    }
    limit
}

/// In this order: no ports, no proxy, wider, several gateway addresses, several of its own.
fn cures(load: &Load, connections: u64, range: u64) -> Vec<Cure> {
    let layer_4 = "take the proxy out of the way: balance at layer 4 (IPVS, or a rewrite by nftables), \
                   where clients keep their own addresses";
    let socket = Cure::new(Place::Configuration, [socket_entry(load.target.address)])
        .and(Cure::new(Place::Proxy, [format!("server unix:{SOCKET_PATH};")]));
    let mut cures = vec![socket, Cure::new(Place::Deed, [layer_4.to_owned()])];
    let wide = Cure::new(Place::Sysctl, widened(load.target.address.port()));
    let with = |cure: Cure| if range < PORTS_WIDE { wide.clone().and(cure) } else { cure };
    let pairs = with_reserve(connections).div_ceil(range.max(PORTS_WIDE));
    if pairs <= load.target.proxy_pairs {
        cures.push(wide);
    } else if pairs <= PROXY_LINES_MAX {
        cures.push(with(Cure::new(Place::Proxy, upstream(load, pairs))));
        cures.push(with(Cure::new(Place::Proxy, split(pairs))));
    } else {
        let line = format!("{pairs} pairs of a proxy's and a gateway's address, on several hosts");
        cures.push(with(Cure::new(Place::Deed, [line])));
    }
    cures
}

/// Where the socket of the cure is.
const SOCKET_PATH: &str = "/run/millgate/ws.sock";

fn socket_entry(address: SocketAddr) -> String {
    format!("listen.websocket = [\"{address}\", \"unix:{SOCKET_PATH}\"]")
}

fn widened(port: u16) -> [String; 3] {
    [
        "net.ipv4.ip_local_port_range = 1024 65535".to_owned(),
        // Without it the proxy could take the listener's port while the gateway restarts.
        "# besides the ports that are reserved there already".to_owned(),
        format!("net.ipv4.ip_local_reserved_ports = {port}"),
    ]
}

/// A tenth more: a port that was just used rests for a minute.
fn with_reserve(connections: u64) -> u64 {
    connections.saturating_add(connections / 10)
}

/// One listener on all addresses answers on every address of its host; on
/// loopback these need not even be configured.
fn upstream(load: &Load, pairs: u64) -> Vec<String> {
    let address = load.target.address;
    let mut lines = Vec::new();
    let listens_on_all = address.ip().is_unspecified();
    if !listens_on_all {
        lines.push("# needs listen.websocket = \"0.0.0.0:PORT\"".to_owned());
    }
    lines.push("upstream millgate {".to_owned());
    for number in 1..=pairs {
        let ip = IpAddr::from([127, 0, 0, u8::try_from(number).unwrap_or(u8::MAX)]);
        lines.push(format!("    server {ip}:{};", address.port()));
    }
    lines.push("}".to_owned());
    lines
}

/// Source addresses by the client's, for an upstream with a single address.
fn split(pairs: u64) -> Vec<String> {
    // Hundredths of a percent, rounded down: together they must not exceed the whole.
    let share = 10_000 / pairs;
    let mut lines = vec!["split_clients \"$remote_addr$remote_port\" $source {".to_owned()];
    for number in 1..pairs {
        lines.push(format!("    {}.{:02}% 127.0.1.{number};", share / 100, share % 100));
    }
    lines.push(format!("    * 127.0.1.{pairs};"));
    lines.push("}".to_owned());
    lines.push("proxy_bind $source; # in the location".to_owned());
    lines
}

/// Connection tracking, where it is loaded and some rule has made it track.
pub(super) fn tracked(load: &Load) -> Limit {
    let key = "net.netfilter.nf_conntrack_max";
    let limit = Limit::new(
        "nf_conntrack_max",
        Grade::Ceiling,
        Unit::Count,
        "tracked connections; beyond it packets are dropped",
    );
    let tracks = load.facts.number("net.netfilter.nf_conntrack_count");
    let Some(tracks) = tracks.filter(|count| *count > 0) else {
        // Not loaded, or loaded and idle: it tracks only once a rule needs it.
        return limit.standing(Standing::NotInUse);
    };
    let mut limit = load.weigh(limit, load.facts.number(key), tracks, 1);
    if let (true, Some(connections)) = (limit.is_short(), load.connections) {
        // Those that were closed lately are tracked for two minutes more.
        limit.cures = vec![
            Cure::sysctl(key, super::roomy(connections.saturating_mul(2))),
            Cure::new(Place::Shell, untracked(load.target.address.port())),
        ];
    }
    limit
}

fn untracked(port: u16) -> Vec<String> {
    vec![
        "nft add table inet millgate".to_owned(),
        "nft add chain inet millgate in '{ type filter hook prerouting priority raw; }'".to_owned(),
        "nft add chain inet millgate out '{ type filter hook output priority raw; }'".to_owned(),
        format!("nft add rule inet millgate in tcp dport {port} notrack"),
        format!("nft add rule inet millgate out tcp sport {port} notrack"),
    ]
}
