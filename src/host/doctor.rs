//! How many connections a host holds, which limit binds, and what lifts it.
//!
//! [`Facts::read`] looks at the host, [`judge`] is arithmetic over what was
//! seen, [`Report`] puts the answer into words. The host is judged as it is:
//! what others use now is theirs, so ask before the gateway has connections.

mod advice;
mod ceilings;
mod facts;
mod files;
mod headroom;
mod limit;
pub mod number;
mod paste;
mod ports;
mod report;
#[cfg(test)]
mod tests;

pub use ceilings::KERNEL_BYTES_EACH;
pub use facts::{Facts, KEYS, Room};
pub use headroom::{Headroom, Usage};
pub use limit::{Cure, Grade, Limit, Need, Part, Place, Standing, Unit};
pub use report::{Bound, Host, Report};

use crate::config::Config;
use crate::limits::REACTORS_MAX;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// What is asked of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Connections; `None` asks how many there can be.
    pub connections: Option<u64>,
    /// The clients run on this host too, as in a benchmark over loopback.
    pub both_ends: bool,
    /// How many (proxy address, gateway address) pairs a proxy in front
    /// connects over; 0 without a proxy.
    pub proxy_pairs: u64,
    /// Threads that own sockets; 0 means one per core.
    pub reactors: usize,
    /// Each of them has a descriptor table of its own.
    pub private_tables: bool,
    /// Threads of the control plane.
    pub control_threads: usize,
    /// Connections the configuration allows; 0 means no limit.
    pub connections_max: u64,
    /// Bytes that may wait for slow peers; 0 means an eighth of the RAM.
    pub outbox_bytes: u64,
    /// Bytes of half-received messages; 0 means an eighth of the RAM.
    pub assembly_bytes: u64,
    /// Bytes of memory that are kept free; 0 means a 32nd of the RAM.
    pub reserve_bytes: u64,
    /// Where clients, or the proxy, connect to.
    pub address: SocketAddr,
    /// A proxy on this host may connect over a unix socket, which has no ports to run out of.
    pub unix_socket: bool,
}

impl Target {
    /// A node of this configuration; what was not configured is to be set by the caller.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let Config { limits, reactor, .. } = config;
        let listeners = &config.listen.websocket;
        Self {
            connections: None,
            both_ends: false,
            proxy_pairs: 0,
            reactors: reactor.threads,
            private_tables: reactor.private_fd_table,
            control_threads: config.control.threads,
            connections_max: limits.connections as u64,
            outbox_bytes: limits.outbox_total_bytes as u64,
            assembly_bytes: limits.assembly_total_bytes as u64,
            reserve_bytes: limits.memory_reserve_bytes as u64,
            address: listeners.addresses().next().unwrap_or(NOWHERE),
            unix_socket: listeners.have_unix(),
        }
    }
}

/// Where there are unix sockets only.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

impl Default for Target {
    fn default() -> Self {
        Self::of(&Config::default())
    }
}

/// Judges each limit: the ceilings first, then what costs speed. Without a
/// number of connections the latter are held against what the former permit.
#[must_use]
pub fn judge(facts: &Facts, target: &Target) -> Vec<Limit> {
    let load = Load::new(facts, target);
    let mut limits = ceilings::judge(&load);
    let reach = load.connections.or_else(|| ceiling(&limits));
    limits.extend(advice::judge(&load, reach.unwrap_or(0)));
    limits
}

/// The number of connections that all these limits permit; `None` if none of them bounds it.
#[must_use]
pub fn ceiling(limits: &[Limit]) -> Option<u64> {
    let hard = limits.iter().filter(|limit| limit.grade == Grade::Ceiling);
    hard.filter_map(|limit| limit.permits).min()
}

/// What the rooms of the judgement share.
struct Load<'a> {
    facts: &'a Facts,
    target: &'a Target,
    /// Connections that are asked for, small enough to be multiplied.
    connections: Option<u64>,
    /// Reactors there will be, at least one.
    reactors: usize,
    /// Sockets of this host that a connection takes.
    ends: u64,
}

impl<'a> Load<'a> {
    fn new(facts: &'a Facts, target: &'a Target) -> Self {
        let reactors = match target.reactors {
            0 => facts.cores,
            threads => threads,
        };
        let reactors = reactors.clamp(1, REACTORS_MAX);
        let connections = target.connections.map(|asked| asked.min(number::COUNT_MAX));
        Self { facts, target, connections, reactors, ends: if target.both_ends { 2 } else { 1 } }
    }

    /// Fills in a limit of so many things, of which connections take some.
    /// `spare` is what something else takes, `each` what a connection takes.
    fn weigh(&self, limit: Limit, here: Option<u64>, spare: u64, each: u64) -> Limit {
        if here.is_some_and(|here| here >= ENDLESS) {
            return limit.standing(Standing::Unlimited);
        }
        let needs = self.connections.map(|n| n.saturating_mul(each).saturating_add(spare));
        let permits = here.map(|here| here.saturating_sub(spare) / each);
        self.with(limit, here, needs, permits)
    }

    /// Fills in a limit of which both sides of the judgement are known.
    fn with(
        &self,
        limit: Limit,
        here: Option<u64>,
        needs: Option<u64>,
        permits: Option<u64>,
    ) -> Limit {
        let standing = match (permits, self.connections) {
            (Some(permits), Some(wanted)) if permits < wanted => Standing::Short,
            (Some(_), _) => Standing::Fits,
            (None, _) => Standing::Unknown,
        };
        Limit { here, needs: needs.map(Need::AtLeast), permits, standing, ..limit }
    }
}

/// Above it nothing is limited: several distributions set `fs.file-max` to the largest number.
const ENDLESS: u64 = 1 << 62;

/// A fifth more than needed, in steps that are easy to recognise.
fn roomy(needed: u64) -> u64 {
    const STEP: u64 = 1 << 18;
    (needed.saturating_add(needed / 5)).checked_next_multiple_of(STEP).unwrap_or(needed)
}
