//! The fingerprint of a host: what another one must have to be compared with it.

use crate::result::Machine;
use millgate::host::memory::Memory;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Settings that decide about a run with many connections.
const SETTINGS: [&str; 19] = [
    "fs.file-max",
    "fs.nr_open",
    "fs.epoll.max_user_watches",
    "net.core.netdev_max_backlog",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_migrate_req",
    "net.ipv4.tcp_retries2",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_max",
    "vm.max_map_count",
    "vm.overcommit_memory",
];

/// Reads this host.
#[must_use]
pub fn read() -> Machine {
    let text = |path: &str| fs::read_to_string(path).map_or(String::new(), |t| t.trim().to_owned());
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Machine {
        host: text("/proc/sys/kernel/hostname"),
        kernel: text("/proc/sys/kernel/osrelease"),
        cpu: name.map_or(String::new(), |(_, name)| name.to_owned()),
        cores: cores(),
        memory_bytes: Memory::read(Path::new("/")).total_bytes().unwrap_or(0),
        sysctl: SETTINGS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), sysctl(name)?)))
            .collect::<BTreeMap<_, _>>(),
        open_files_max: limit.maximum.unwrap_or(u64::MAX),
    }
}

/// Cores that this process may use.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

/// A kernel setting, its words parted by single spaces; none if this kernel has none of that name.
#[must_use]
pub fn sysctl(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_fingerprint() {
        let machine = read();
        assert!(!machine.kernel.is_empty() && machine.cores > 0);
        assert!(machine.memory_bytes > 1 << 27);
        assert!(machine.sysctl.contains_key("fs.nr_open"));
        assert_eq!(sysctl("net.ipv4.no_such_thing"), None);
    }
}
