//! The kernel's side: sockets, their buffers, its own structures, what it dropped.

use super::process::kibibytes;
use crate::result::KernelSample;
use std::fs;
use std::io;

/// Reads how the kernel stands.
///
/// # Errors
/// When /proc cannot be read.
pub fn sample() -> io::Result<KernelSample> {
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    Ok(of(&sockets, &memory))
}

/// Pages of the kernel (`getconf PAGESIZE`).
fn page_bytes() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap_or(4_096)
}

fn of(sockets: &str, memory: &str) -> KernelSample {
    let tcp = sockets.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let words: Vec<&str> = tcp.split_ascii_whitespace().collect();
    let word = |name: &str| {
        let pair = words.chunks_exact(2).find(|pair| pair[0] == name);
        pair.and_then(|pair| pair[1].parse::<u64>().ok()).unwrap_or(0)
    };
    KernelSample {
        sockets: word("inuse"),
        time_wait: word("tw"),
        orphans: word("orphan"),
        socket_bytes: word("mem") * page_bytes(),
        slab_bytes: kibibytes(memory, "Slab:").unwrap_or(0),
        available_bytes: kibibytes(memory, "MemAvailable:").unwrap_or(0),
    }
}

/// What the kernel had to drop or to repeat, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Accept queues that were full.
    pub listen_overflows: u64,
    /// SYN packets that were sent again.
    pub syn_retransmits: u64,
    /// Times that TCP came near the end of its memory.
    pub memory_pressures: u64,
}

impl Drops {
    /// As it stands.
    #[must_use]
    pub fn read() -> Self {
        Self {
            listen_overflows: netstat("ListenOverflows"),
            syn_retransmits: netstat("TCPSynRetrans"),
            memory_pressures: netstat("TCPMemoryPressures"),
        }
    }
}

/// A counter of `/proc/net/netstat`, as `ListenOverflows`; 0 where there is none.
fn netstat(name: &str) -> u64 {
    fs::read_to_string("/proc/net/netstat").map_or(0, |text| counter(&text, name))
}

/// Names stand on one line, values at the same places on the next.
fn counter(text: &str, name: &str) -> u64 {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines
        .chunks_exact(2)
        .flat_map(|pair| pair[0].split_ascii_whitespace().zip(pair[1].split_ascii_whitespace()));
    let found = pairs.into_iter().find(|(found, _)| *found == name);
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockstat_and_meminfo_are_read() {
        let sockets = "sockets: used 5\nTCP: inuse 7 orphan 1 tw 2 alloc 9 mem 3\nUDP: inuse 1\n";
        let sample = of(sockets, "MemAvailable: 8 kB\nSlab: 4 kB\n");
        assert_eq!((sample.sockets, sample.orphans, sample.time_wait), (7, 1, 2));
        assert_eq!(sample.socket_bytes, 3 * page_bytes());
        assert_eq!((sample.slab_bytes, sample.available_bytes), (4_096, 8_192));
        assert_eq!(of("", ""), KernelSample::default());
        assert!(super::sample().unwrap().slab_bytes > 0);
    }

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: C\nIpExt: 3\n";
        assert_eq!(counter(text, "B"), 2);
        assert_eq!(counter(text, "C"), 3);
        assert_eq!(counter(text, "D"), 0);
    }
}
