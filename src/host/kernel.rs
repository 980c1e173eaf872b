//! Facts and limits that the kernel tells.

use super::memory;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::io;

/// The limit of open files that is in force.
#[derive(Debug)]
pub struct OpenFiles {
    /// The soft limit; [`u64::MAX`] without one.
    pub limit: u64,
    /// Why it is not the hard limit, if it is not.
    pub refused: Option<io::Error>,
}

/// Raises the soft limit of open files to the hard one. A hard limit above `fs.nr_open`, which
/// a container can inherit, cannot be set by anybody: then both limits become `fs.nr_open`. If
/// the kernel refuses that too, the limit stays as it is.
pub fn raise_open_files() -> OpenFiles {
    let nr_open = fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
    raise(open_files(), nr_open.trim().parse().ok(), |limit| setrlimit(Resource::Nofile, limit))
}

/// The limits as they are. The file comes first, because rustix takes for granted that
/// `prlimit(2)` succeeds, and a system call filter can refuse it.
fn open_files() -> Rlimit {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    open_files_in(&text).unwrap_or_else(|| getrlimit(Resource::Nofile))
}

fn open_files_in(limits: &str) -> Option<Rlimit> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut words = line.split_ascii_whitespace();
    let mut next = || match words.next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    };
    Some(Rlimit { current: next()?, maximum: next()? })
}

fn raise(
    limits: Rlimit,
    nr_open: Option<u64>,
    set: impl Fn(Rlimit) -> Result<(), Errno>,
) -> OpenFiles {
    let Rlimit { current, maximum } = limits;
    let reached =
        |limit: Option<u64>, refused| OpenFiles { limit: limit.unwrap_or(u64::MAX), refused };
    if current == maximum {
        return reached(current, None);
    }
    let refused = match set(Rlimit { current: maximum, maximum }) {
        Ok(()) => return reached(maximum, None),
        Err(refused) => refused.into(),
    };
    let possible = nr_open.filter(|most| maximum.is_none_or(|hard| *most < hard));
    if let Some(most) = possible.filter(|most| current.is_some_and(|soft| soft < *most))
        && set(Rlimit { current: Some(most), maximum: Some(most) }).is_ok()
    {
        return reached(possible, Some(refused));
    }
    reached(current, Some(refused))
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
        Self {
            tcp_in_use: tcp("inuse").unwrap_or(0),
            tcp_time_wait: tcp("tw").unwrap_or(0),
            tcp_buffer_bytes: tcp("mem").unwrap_or(0) * page_bytes,
            slab_bytes: memory::field(meminfo, "Slab:").unwrap_or(0),
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
        };
        assert_eq!(KernelMemory::of(sockstat, meminfo, 4_096), told);
        assert_eq!(KernelMemory::of("", "x", 4_096), KernelMemory::default());
        assert!(KernelMemory::now().slab_bytes > 1 << 20);
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
    fn the_soft_limit_follows_the_hard_one() {
        let files = raise_open_files();
        assert!(files.refused.is_none(), "{files:?}");
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), files.limit);
    }

    #[test]
    fn a_limit_that_cannot_be_raised_stays() {
        let text = "Limit  Soft  Hard  Units\nMax open files   1024   unlimited   files\n";
        let limits = open_files_in(text).unwrap();
        assert_eq!(limits, Rlimit { current: Some(1_024), maximum: None });
        let files = raise(limits, Some(4_096), |_| Err(Errno::PERM));
        assert_eq!((files.limit, files.refused.is_some()), (1_024, true));
        // As the kernel does for a hard limit above fs.nr_open.
        let set = |limit: Rlimit| match limit.maximum {
            Some(4_096) => Ok(()),
            _ => Err(Errno::PERM),
        };
        let files = raise(limits, Some(4_096), set);
        assert_eq!((files.limit, files.refused.is_some()), (4_096, true));
    }
}
