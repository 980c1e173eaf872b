//! The memory that this process may use: the one notion of it for budgets, the reserve,
//! admission, the doctor and the admin page.

use super::doctor::Room;
use super::group;
use std::fs;
use std::path::Path;

/// Memory of the host and of the control groups around this process. What could not be read
/// is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// RAM of the host, in bytes.
    pub host_bytes: Option<u64>,
    /// RAM of the host that is available without swapping, in bytes.
    pub host_free_bytes: Option<u64>,
    /// The control group with the least left, of all on the way up; `None` without a limit.
    pub group: Option<Room>,
    /// The least limit of all control groups on the way up, in bytes. It can be that of
    /// another group than the one with the least left.
    pub group_limit_bytes: Option<u64>,
}

impl Memory {
    /// Reads the host whose file systems hang under `root`, which is `/` but for tests. Never
    /// fails. It takes some 50 µs.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let read =
            |path: &str| fs::read_to_string(root.join("proc").join(path)).unwrap_or_default();
        let (groups, meminfo) = (group::of(root, &read("self/cgroup")), read("meminfo"));
        Self {
            host_bytes: field(&meminfo, "MemTotal:"),
            host_free_bytes: field(&meminfo, "MemAvailable:"),
            group: groups.memory,
            group_limit_bytes: groups.memory_limit_bytes,
        }
    }

    /// What this process may use at most: the tightest control group, or the host.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        [self.host_bytes, self.group_limit_bytes].into_iter().flatten().min()
    }

    /// What is left for it now.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        let group = self.group.map(Room::left);
        [self.host_free_bytes, group].into_iter().flatten().min()
    }

    /// A bound in bytes: as configured, or an eighth of the total.
    #[must_use]
    pub fn budget_bytes(&self, configured: u64) -> u64 {
        match configured {
            0 => self.total_bytes().map_or(BUDGET_UNKNOWN_BYTES, |total| total / BUDGET_SHARE),
            bytes => bytes,
        }
    }

    /// Bytes to be kept free: as configured, or a 32nd of the total. None where the total is
    /// unknown, since what is left is unknown there as well.
    #[must_use]
    pub fn reserve_bytes(&self, configured: u64) -> u64 {
        match configured {
            0 => self.total_bytes().unwrap_or(0) / RESERVE_SHARE,
            bytes => bytes,
        }
    }
}

/// The part of the memory that a budget gets by default.
const BUDGET_SHARE: u64 = 8;

/// A budget where nothing is known of the memory.
const BUDGET_UNKNOWN_BYTES: u64 = 256 << 20;

/// The part of the memory that is kept free by default.
const RESERVE_SHARE: u64 = 32;

/// A line of /proc/meminfo, in bytes.
pub(in crate::host) fn field(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::super::testing::host;
    use super::*;

    const OF_24_GIB: (&str, &str) =
        ("proc/meminfo", "MemTotal: 25165824 kB\nMemAvailable: 20971520 kB\n");

    #[test]
    fn everything_is_a_share_of_what_a_nested_group_allows() {
        let host = host(&[
            OF_24_GIB,
            ("proc/self/cgroup", "4:memory:/system.slice/millgate.service\n0::/\n"),
            (
                "sys/fs/cgroup/memory/system.slice/millgate.service/memory.limit_in_bytes",
                "536870912\n",
            ),
        ]);
        let memory = Memory::read(host.path());
        assert_eq!(memory.total_bytes(), Some(512 << 20));
        assert_eq!(memory.free_bytes(), Some(512 << 20));
        assert_eq!(memory.budget_bytes(0), 64 << 20);
        assert_eq!(memory.reserve_bytes(0), 16 << 20);
        assert_eq!((memory.budget_bytes(7), memory.reserve_bytes(8)), (7, 8));
    }

    #[test]
    fn the_least_limit_and_the_least_left_can_be_of_two_groups() {
        let host = host(&[
            OF_24_GIB,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "1000000\n"),
            ("sys/fs/cgroup/a/b/memory.current", "100\n"),
            ("sys/fs/cgroup/a/memory.max", "2000000\n"),
            ("sys/fs/cgroup/a/memory.current", "1900000\n"),
        ]);
        let memory = Memory::read(host.path());
        assert_eq!(memory.total_bytes(), Some(1_000_000));
        assert_eq!(memory.free_bytes(), Some(100_000));
    }

    #[test]
    fn without_proc_and_sys_budgets_are_still_bounded() {
        let memory = Memory::read(host(&[]).path());
        assert_eq!(memory, Memory::default());
        assert_eq!(memory.budget_bytes(0), 256 << 20);
        assert_eq!(memory.reserve_bytes(0), 0);
    }

    #[test]
    fn this_host_is_read() {
        let memory = Memory::read(Path::new("/"));
        assert!(memory.total_bytes() > Some(1 << 27), "{memory:?}");
        assert!(memory.free_bytes() > Some(1 << 20), "{memory:?}");
    }
}
