//! How much memory is left before the kernel takes something away.

use super::group;
use std::fs;
use std::path::Path;

/// Of what connections live from: what there is, and what is left of it. What
/// a host does not tell counts as plenty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// RAM that could be had without swapping, or less if a control group allows less.
    pub free_bytes: u64,
    /// What all TCP sockets may take; above it the kernel drops packets (`tcp_mem`, third number).
    pub tcp_limit_bytes: u64,
    /// Of which is taken (`/proc/net/sockstat`, of this network namespace).
    pub tcp_used_bytes: u64,
}

impl Memory {
    /// Reads the host whose file systems hang under `root`, which is `/` but for
    /// tests. Three small files and those of the control groups: some 50 µs.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let read =
            |path: &str| fs::read_to_string(root.join("proc").join(path)).unwrap_or_default();
        let page = rustix::param::page_size() as u64;
        let group = group::of(root, &read("self/cgroup")).memory;
        let host =
            number_after(&read("meminfo"), "MemAvailable:").map(|kib| kib.saturating_mul(1024));
        let free = [host, group.map(|room| room.left())].into_iter().flatten().min();
        let tcp_mem = read("sys/net/ipv4/tcp_mem");
        let tcp_limit =
            tcp_mem.split_ascii_whitespace().nth(2).and_then(|pages| pages.parse().ok());
        let tcp_line = read("net/sockstat");
        let tcp_line = tcp_line.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
        let tcp_used = number_after(tcp_line, " mem ").unwrap_or(0);
        Self {
            free_bytes: free.unwrap_or(u64::MAX),
            tcp_limit_bytes: tcp_limit.map_or(u64::MAX, |pages: u64| pages.saturating_mul(page)),
            tcp_used_bytes: tcp_used.saturating_mul(page),
        }
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
    /// None yet; so much memory is to be left.
    #[must_use]
    pub fn new(reserve_bytes: u64) -> Self {
        Self { reserve_bytes, is_on: false }
    }

    /// So much memory is to be left from now on.
    pub fn set_reserve(&mut self, bytes: u64) {
        self.reserve_bytes = bytes;
    }

    /// What is short now, in words, or nothing.
    pub fn judge(&mut self, memory: &Memory) -> Option<&'static str> {
        let factor = if self.is_on { RELIEF } else { 1.0 };
        let is_short = |left: u64, reserve: u64| (left as f64) < reserve as f64 * factor;
        let tcp_left = memory.tcp_limit_bytes.saturating_sub(memory.tcp_used_bytes);
        let found = if is_short(memory.free_bytes, self.reserve_bytes) {
            Some("free memory")
        } else if is_short(tcp_left, memory.tcp_limit_bytes / TCP_SHARE) {
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
    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

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
        let expected =
            Memory { free_bytes: 2 << 20, tcp_limit_bytes: 300 * page, tcp_used_bytes: 7 * page };
        assert_eq!(Memory::read(folder.path()), expected);
    }

    #[test]
    fn a_host_that_tells_nothing_has_plenty() {
        let memory = Memory::read(host(&[]).path());
        assert_eq!(memory.free_bytes, u64::MAX);
        assert_eq!(Pressure::new(1 << 30).judge(&memory), None);
        let here = Memory::read(Path::new("/"));
        assert!(here.free_bytes > 1 << 20 && here.free_bytes < u64::MAX, "{here:?}");
        assert!(here.tcp_limit_bytes < u64::MAX, "{here:?}");
    }

    #[test]
    fn doors_open_again_only_when_there_is_room() {
        let mut pressure = Pressure::new(1_000);
        let of = |free_bytes| Memory { free_bytes, tcp_limit_bytes: 3_200, tcp_used_bytes: 0 };
        assert_eq!(pressure.judge(&of(1_000)), None);
        assert_eq!(pressure.judge(&of(999)), Some("free memory"));
        assert_eq!(pressure.judge(&of(1_249)), Some("free memory"));
        assert_eq!(pressure.judge(&of(1_250)), None);
        let tcp = Memory { tcp_used_bytes: 3_101, ..of(5_000) };
        assert!(pressure.judge(&tcp).is_some_and(|why| why.contains("tcp_mem")));
    }
}
