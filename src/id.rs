//! Names of things: apps, users, connections.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A platform of a user (web, iOS, …) and a chat room at once, as in the reference.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AppId(pub u32);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name a client logs in with; up to 24 bytes are stored without a heap block.
pub type UserId = CompactString;

/// One user on one platform: what a message is addressed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserKey {
    /// Where the user is.
    pub app: AppId,
    /// Who it is.
    pub user: UserId,
}

impl fmt::Display for UserKey {
    /// The form the reference uses in Redis keys and in `/system/state`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.app, self.user)
    }
}

/// Where a node's gRPC is reached: `ip:port`, as nodes of the reference write it
/// into Redis. It names the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddr(CompactString);

/// The longest name of a host, a colon and a port.
const NODE_ADDR_BYTES_MAX: usize = 253 + 1 + 5;

impl NodeAddr {
    /// Takes what a registration says; `None` if that is not `host:port`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > NODE_ADDR_BYTES_MAX {
            return None;
        }
        let (host, port) = text.rsplit_once(':')?;
        let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic());
        (is_host && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| Self(text.into()))
    }

    /// `ip:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(host, _)| host)
    }

    /// The part behind the last colon.
    #[must_use]
    pub fn port(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(_, port)| port)
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of a connection: it carries its own way home.
///
/// A slot is used again after its connection has gone, so an address is only
/// valid while the serial stamped at accept is still the one in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    /// Which reactor owns the connection.
    pub reactor: u16,
    /// Index in that reactor's slab.
    pub slot: u32,
    /// Stamp given at accept; wraps after 2³² accepts of one reactor.
    pub serial: u32,
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.reactor, self.slot, self.serial)
    }
}

/// What is no address of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a connection")]
pub struct NotAConnection;

/// Reads what [`fmt::Display`] writes.
impl FromStr for ConnId {
    type Err = NotAConnection;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(NotAConnection);
        let (reactor, slot, serial) = (part()?, part()?, part()?);
        let number = |text: &str| text.parse::<u32>().map_err(|_| NotAConnection);
        let id = Self {
            reactor: reactor.parse().map_err(|_| NotAConnection)?,
            slot: number(slot)?,
            serial: number(serial)?,
        };
        if parts.next().is_some() { Err(NotAConnection) } else { Ok(id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_read_as_it_is_shown() {
        let id = ConnId { reactor: 3, slot: 70_000, serial: u32::MAX };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1.2", "1.2.3.4", "1.2.x", "70000.1.1", "-1.2.3"] {
            assert_eq!(text.parse::<ConnId>(), Err(NotAConnection), "{text}");
        }
    }
}
