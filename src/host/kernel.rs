//! Facts and limits that the kernel tells.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io;

/// Raises the soft limit of open files to the hard one and returns it.
///
/// # Errors
/// When the kernel refuses, which it does not for the hard limit.
pub fn raise_open_files() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Memory of this host, or of the control group if that is less, in bytes.
///
/// # Errors
/// When /proc cannot be read.
pub fn memory_bytes() -> io::Result<usize> {
    let text = fs::read_to_string("/proc/meminfo")
        .map_err(|error| io::Error::new(error.kind(), format!("/proc/meminfo: {error}")))?;
    let host =
        memory_of_host(&text).ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal"))?;
    // Absent outside a container, "max" without a limit.
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok()).unwrap_or(usize::MAX);
    Ok(host.min(group))
}

fn memory_of_host(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// What the kernel says about this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Threads.
    pub threads: u64,
    /// Memory that is in RAM.
    pub resident_bytes: u64,
}

impl Process {
    /// As it is now; zero where the kernel does not tell.
    #[must_use]
    pub fn now() -> Self {
        fs::read_to_string("/proc/self/status").map_or_else(|_| Self::default(), |s| Self::of(&s))
    }

    fn of(status: &str) -> Self {
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        Self {
            threads: number("Threads:").unwrap_or(0),
            resident_bytes: number("VmRSS:").unwrap_or(0) * 1024,
        }
    }
}

/// What the kernel keeps in memory for sockets and the like, of the whole host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// TCP sockets in use in this network namespace.
    pub tcp_in_use: u64,
    /// Those in TIME-WAIT.
    pub tcp_time_wait: u64,
    /// Bytes of all buffers of TCP.
    pub tcp_buffer_bytes: u64,
    /// Bytes of all its objects: sockets, files, directory entries …
    pub slab_bytes: u64,
    /// What could be had of the RAM.
    pub available_bytes: u64,
    /// The RAM.
    pub total_bytes: u64,
}

impl KernelMemory {
    /// As it is now; zero where the kernel does not tell.
    #[must_use]
    pub fn now() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let page = rustix::param::page_size() as u64;
        Self::of(&read("/proc/net/sockstat"), &read("/proc/meminfo"), page)
    }

    fn of(sockstat: &str, meminfo: &str, page_bytes: u64) -> Self {
        let tcp = |name: &str| {
            let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"));
            let mut words = line.unwrap_or_default().split_ascii_whitespace();
            words.find(|word| *word == name)?;
            words.next()?.parse::<u64>().ok()
        };
        let memory = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Self {
            tcp_in_use: tcp("inuse").unwrap_or(0),
            tcp_time_wait: tcp("tw").unwrap_or(0),
            tcp_buffer_bytes: tcp("mem").unwrap_or(0) * page_bytes,
            slab_bytes: memory("Slab:").unwrap_or(0),
            available_bytes: memory("MemAvailable:").unwrap_or(0),
            total_bytes: memory("MemTotal:").unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_it_keeps() {
        let sockstat =
            "sockets: used 13\nTCP: inuse 3 orphan 0 tw 7 alloc 9 mem 32\nUDP: inuse 1 mem 5\n";
        let meminfo = "MemTotal: 8 kB\nMemAvailable: 4 kB\nSlab:  2 kB\n";
        let told = KernelMemory {
            tcp_in_use: 3,
            tcp_time_wait: 7,
            tcp_buffer_bytes: 32 * 4_096,
            slab_bytes: 2_048,
            available_bytes: 4_096,
            total_bytes: 8_192,
        };
        assert_eq!(KernelMemory::of(sockstat, meminfo, 4_096), told);
        assert_eq!(KernelMemory::of("", "x", 4_096), KernelMemory::default());
        assert!(KernelMemory::now().total_bytes > 1 << 27);
    }

    #[test]
    fn the_process_is_read_from_its_status() {
        let text = "Name:\tmillgate\nVmRSS:\t    1234 kB\nThreads:\t7\n";
        assert_eq!(Process::of(text), Process { threads: 7, resident_bytes: 1234 * 1024 });
        assert_eq!(Process::of("Name:\tx\nVmRSS:\tmuch\n"), Process::default());
        let now = Process::now();
        assert!(now.threads >= 1 && now.resident_bytes > 1 << 16, "{now:?}");
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemFree: 1 kB\nMemTotal:       24616068 kB\n";
        assert_eq!(memory_of_host(text), Some(24_616_068 * 1024));
        assert_eq!(memory_of_host("MemFree: 1 kB\n"), None);
        assert!(memory_bytes().unwrap() > 1 << 27);
    }

    #[test]
    fn the_soft_limit_follows_the_hard_one() {
        let hard = raise_open_files().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), hard);
    }
}
