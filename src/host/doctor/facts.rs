//! What a host says about itself, read once into a plain struct.

use crate::host::group;
use crate::host::memory::Memory;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A host as the doctor sees it. What could not be read is `None`, or absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The kernel's release, empty if unknown.
    pub kernel: String,
    /// Cores this process may use; that of the reading process, whatever the root.
    pub cores: usize,
    /// Bytes in a page of memory; likewise.
    pub page_bytes: u64,
    /// `RLIMIT_NOFILE`, hard; `u64::MAX` without limit. The gateway raises the soft one to it.
    pub open_files_max: Option<u64>,
    /// Whether somebody on this host could raise that limit.
    pub open_files_raisable: Option<bool>,
    /// `RLIMIT_NPROC`, soft; `u64::MAX` without limit.
    pub user_threads_max: Option<u64>,
    /// Threads that live now.
    pub threads: Option<u64>,
    /// Memory of the host and of the control groups around this process.
    pub memory: Memory,
    /// The tightest limit of threads of these groups.
    pub group_threads: Option<Room>,
    /// The numbers of each key in [`KEYS`] that this kernel has.
    pub sysctl: BTreeMap<&'static str, Vec<u64>>,
}

/// A limit, and what is taken already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All.
    pub limit: u64,
    /// Of which is taken.
    pub used: u64,
}

impl Room {
    /// What is left.
    #[must_use]
    pub fn left(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// What is read of /proc/sys.
pub const KEYS: [&str; 25] = [
    "fs.nr_open",
    "fs.file-max",
    "fs.file-nr",
    "fs.epoll.max_user_watches",
    "kernel.threads-max",
    "kernel.pid_max",
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_ehash_entries",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_migrate_req",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_window_scaling",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
];

impl Facts {
    /// Reads the host whose file systems hang under `root`, which is `/` but for
    /// tests. Never fails: what is missing stays unknown.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let proc = root.join("proc");
        let read = |path: &str| fs::read_to_string(proc.join(path)).unwrap_or_default();
        let limits = read("self/limits");
        let groups = group::of(root, &read("self/cgroup"));
        Self {
            kernel: read("sys/kernel/osrelease").trim().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            page_bytes: rustix::param::page_size() as u64,
            open_files_max: rlimit(&limits, "Max open files", HARD),
            open_files_raisable: raisable(&read("self/status"), &read("1/comm")),
            user_threads_max: rlimit(&limits, "Max processes", SOFT),
            threads: threads(&read("loadavg")),
            memory: Memory::read(root),
            group_threads: groups.threads,
            sysctl: KEYS
                .into_iter()
                .filter_map(|key| Some((key, numbers(&read(&sysctl_path(key)))?)))
                .collect(),
        }
    }

    /// The first number of a key.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.sysctl.get(key)?.first().copied()
    }

    /// The three numbers of a key.
    #[must_use]
    pub fn triple(&self, key: &str) -> Option<[u64; 3]> {
        self.sysctl.get(key)?.as_slice().try_into().ok()
    }
}

const SOFT: usize = 0;
const HARD: usize = 1;

/// One column of a line of /proc/self/limits.
fn rlimit(limits: &str, name: &str, column: usize) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_ascii_whitespace().nth(column)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Root may raise a hard limit while its bounding set has `CAP_SYS_RESOURCE`
/// (containers and sandboxes take it away), and systemd for its services.
fn raisable(status: &str, first_process: &str) -> Option<bool> {
    const CAP_SYS_RESOURCE: u32 = 24;
    let bounding = status.lines().find_map(|line| line.strip_prefix("CapBnd:"))?;
    let bounding = u64::from_str_radix(bounding.trim(), 16).ok()?;
    Some(bounding >> CAP_SYS_RESOURCE & 1 == 1 || first_process.trim() == "systemd")
}

/// All threads of the host: the number behind the slash.
fn threads(loadavg: &str) -> Option<u64> {
    loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// The numbers of a file in /proc/sys. Negative ones count by their amount:
/// -262144 buckets are 262,144 that are shared with the first network namespace.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let numbers: Vec<u64> = text
        .split_ascii_whitespace()
        .map(|word| word.parse::<i128>().ok().map(|n| u64::try_from(n.abs()).unwrap_or(u64::MAX)))
        .collect::<Option<_>>()?;
    (!numbers.is_empty()).then_some(numbers)
}

fn sysctl_path(key: &str) -> String {
    format!("sys/{}", key.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_host_is_read_from_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "proc/sys/kernel/osrelease", "6.1.0-test\n");
        write(
            root,
            "proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units\n\
             Max processes             96365                unlimited            processes\n\
             Max open files            1024                 524288               files\n",
        );
        write(root, "proc/self/status", "CapEff:\t0\nCapBnd:\t000001fffeffffff\n");
        write(root, "proc/1/comm", "tini\n");
        write(root, "proc/loadavg", "1.00 2.00 3.00 3/118 29914\n");
        write(root, "proc/meminfo", "MemTotal:  2048 kB\nMemAvailable:  1024 kB\n");
        write(root, "proc/sys/fs/file-nr", "8799\t0\t2466177\n");
        write(root, "proc/sys/net/ipv4/tcp_mem", "1\t2\t3\n");
        write(root, "proc/sys/net/ipv4/tcp_ehash_entries", "-262144\n");
        write(root, "proc/sys/net/core/somaxconn", "many\n");
        write(root, "proc/self/cgroup", "0::/a/b\n");
        write(root, "sys/fs/cgroup/a/memory.max", "4096\n");
        write(root, "sys/fs/cgroup/a/memory.current", "1024\n");
        let facts = Facts::read(root);
        assert_eq!(facts.kernel, "6.1.0-test");
        assert_eq!(facts.open_files_max, Some(524_288));
        assert_eq!(facts.open_files_raisable, Some(false));
        assert_eq!(facts.user_threads_max, Some(96_365));
        assert_eq!(facts.threads, Some(118));
        assert_eq!(facts.memory.host_bytes, Some(2 << 20));
        assert_eq!(facts.memory.host_free_bytes, Some(1 << 20));
        assert_eq!(facts.memory.group, Some(Room { limit: 4096, used: 1024 }));
        assert_eq!(facts.memory.total_bytes(), Some(4096));
        assert_eq!(facts.number("fs.file-nr"), Some(8799));
        assert_eq!(facts.triple("net.ipv4.tcp_mem"), Some([1, 2, 3]));
        assert_eq!(facts.triple("fs.nr_open"), None);
        assert_eq!(facts.number("net.ipv4.tcp_ehash_entries"), Some(262_144));
        assert_eq!(facts.number("net.core.somaxconn"), None);
    }

    #[test]
    fn a_host_that_tells_nothing_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let facts = Facts::read(folder.path());
        let Facts { cores, page_bytes, .. } = facts;
        assert!(cores > 0 && page_bytes >= 4096);
        assert_eq!(facts, Facts { cores, page_bytes, ..Facts::default() });
    }

    #[test]
    fn who_may_raise_the_limit() {
        let full = "CapBnd:\t000001ffffffffff\n";
        let without = "CapBnd:\t000001fffeffffff\n";
        assert_eq!(raisable(full, "bash\n"), Some(true));
        assert_eq!(raisable(without, "systemd\n"), Some(true));
        assert_eq!(raisable(without, "tini\n"), Some(false));
        assert_eq!(raisable("", "systemd\n"), None);
    }

    #[test]
    fn this_host_is_read() {
        let facts = Facts::read(Path::new("/"));
        assert!(facts.open_files_max > Some(0), "{facts:?}");
        assert!(facts.memory.host_free_bytes > Some(1 << 20), "{facts:?}");
        assert!(facts.number("fs.nr_open") > Some(0), "{facts:?}");
    }
}
