//! How much memory is left before the kernel takes something away.

use super::memory::Memory;
use std::fs;
use std::path::Path;

/// Of what connections live from: what there is, and what is left of it. What
/// a host does not tell counts as plenty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// What this process may use at most, and what it must leave, follow from it.
    pub memory: Memory,
    /// What all TCP sockets may take; above it the kernel drops packets (`tcp_mem`, third number).
    pub tcp_limit_bytes: u64,
    /// Of which is taken (`/proc/net/sockstat`, of this network namespace).
    pub tcp_used_bytes: u64,
}

impl Supply {
    /// Reads the host whose file systems hang under `root`, which is `/` but for
    /// tests. Three small files and those of the control groups: some 50 µs.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let read =
            |path: &str| fs::read_to_string(root.join("proc").join(path)).unwrap_or_default();
        let page = rustix::param::page_size() as u64;
        let tcp_mem = read("sys/net/ipv4/tcp_mem");
        let tcp_limit =
            tcp_mem.split_ascii_whitespace().nth(2).and_then(|pages| pages.parse().ok());
        let tcp_line = read("net/sockstat");
        let tcp_line = tcp_line.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
        let tcp_used = number_after(tcp_line, " mem ").unwrap_or(0);
        Self {
            memory: Memory::read(root),
            tcp_limit_bytes: tcp_limit.map_or(u64::MAX, |pages: u64| pages.saturating_mul(page)),
            tcp_used_bytes: tcp_used.saturating_mul(page),
        }
    }
}

impl Supply {
    /// Memory that is left; [`u64::MAX`] where it is unknown.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.memory.free_bytes().unwrap_or(u64::MAX)
    }
}

/// The first number behind a name.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// Says when nobody new should be let in, so that those who are here stay alive.
#[derive(Clone, Copy, Debug)]
pub struct Pressure {
    reserve_bytes: u64,
    is_on: bool,
}

/// The share of what TCP may take that is kept free.
const TCP_SHARE: u64 = 32;

/// Doors open again when so much of the reserve is free, or they would open
/// and shut with every connection.
const RELIEF: f64 = 1.25;

impl Pressure {
    /// None yet; so much memory is to be left, or the default share for 0.
    #[must_use]
    pub fn new(reserve_bytes: u64) -> Self {
        Self { reserve_bytes, is_on: false }
    }

    /// So much memory is to be left from now on, or the default share for 0.
    pub fn set_reserve(&mut self, bytes: u64) {
        self.reserve_bytes = bytes;
    }

    /// What is short now, in words, or nothing.
    pub fn judge(&mut self, supply: &Supply) -> Option<&'static str> {
        let factor = if self.is_on { RELIEF } else { 1.0 };
        let is_short = |left: u64, reserve: u64| (left as f64) < reserve as f64 * factor;
        let tcp_left = supply.tcp_limit_bytes.saturating_sub(supply.tcp_used_bytes);
        let reserve = supply.memory.reserve_bytes(self.reserve_bytes);
        let found = if is_short(supply.free_bytes(), reserve) {
            Some("free memory")
        } else if is_short(tcp_left, supply.tcp_limit_bytes / TCP_SHARE) {
            Some("memory for TCP (net.ipv4.tcp_mem)")
        } else {
            None
        };
        self.is_on = found.is_some();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::host;
    use super::*;

    #[test]
    fn what_is_left_is_read_and_the_tighter_one_counts() {
        let page = rustix::param::page_size() as u64;
        let folder = host(&[
            ("proc/meminfo", "MemTotal: 8192 kB\nMemAvailable:   4096 kB\n"),
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/memory.max", "3145728\n"),
            ("sys/fs/cgroup/a/memory.current", "1048576\n"),
            ("proc/sys/net/ipv4/tcp_mem", "100\t200\t300\n"),
            (
                "proc/net/sockstat",
                "sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 6 mem 7\nUDP: inuse 1 mem 3\n",
            ),
        ]);
        let supply = Supply::read(folder.path());
        assert_eq!(supply.free_bytes(), 2 << 20);
        assert_eq!((supply.tcp_limit_bytes, supply.tcp_used_bytes), (300 * page, 7 * page));
    }

    #[test]
    fn a_host_that_tells_nothing_has_plenty() {
        let supply = Supply::read(host(&[]).path());
        assert_eq!(supply.free_bytes(), u64::MAX);
        assert_eq!(Pressure::new(1 << 30).judge(&supply), None);
        let here = Supply::read(Path::new("/"));
        assert!(here.free_bytes() > 1 << 20 && here.free_bytes() < u64::MAX, "{here:?}");
        assert!(here.tcp_limit_bytes < u64::MAX, "{here:?}");
    }

    #[test]
    fn doors_open_again_only_when_there_is_room() {
        let mut pressure = Pressure::new(1_000);
        let of = |free| {
            let memory = Memory { host_free_bytes: Some(free), ..Memory::default() };
            Supply { memory, tcp_limit_bytes: 3_200, tcp_used_bytes: 0 }
        };
        assert_eq!(pressure.judge(&of(1_000)), None);
        assert_eq!(pressure.judge(&of(999)), Some("free memory"));
        assert_eq!(pressure.judge(&of(1_249)), Some("free memory"));
        assert_eq!(pressure.judge(&of(1_250)), None);
        let tcp = Supply { tcp_used_bytes: 3_101, ..of(5_000) };
        assert!(pressure.judge(&tcp).is_some_and(|why| why.contains("tcp_mem")));
    }

    #[test]
    fn the_default_reserve_is_a_share_of_the_group() {
        let room = crate::host::doctor::Room { limit: 512 << 20, used: 40 << 20 };
        let memory = Memory {
            host_bytes: Some(24 << 30),
            host_free_bytes: Some(20 << 30),
            group: Some(room),
            group_limit_bytes: Some(room.limit),
        };
        let supply = Supply { memory, tcp_limit_bytes: u64::MAX, tcp_used_bytes: 0 };
        assert_eq!(Pressure::new(0).judge(&supply), None);
        assert_eq!(Pressure::new(500 << 20).judge(&supply), Some("free memory"));
    }
}
