//! Why a count of connections stands still: the plateau and the errors tell the limit.

use super::kernel::Drops;
use super::machine::sysctl;
use crate::result::Stall;
use std::collections::BTreeMap;

/// What is known when it happens.
#[derive(Clone, Debug, Default)]
pub struct Symptoms {
    /// Connections that are open.
    pub open: u64,
    /// Failures by cause, as the swarm counts them.
    pub causes: BTreeMap<String, u64>,
    /// Kernel settings, by name; what is missing does not exist here.
    pub settings: BTreeMap<String, String>,
    /// Connections that the kernel tracks (`nf_conntrack_count`), if it does.
    pub tracked: Option<u64>,
    /// Accept queues that overflowed during the run.
    pub listen_overflows: u64,
    /// Times that TCP ran out of its memory during the run (`TCPMemoryPressures`).
    pub memory_pressures: u64,
    /// Memory that is still available on this host.
    pub available_bytes: u64,
}

impl Symptoms {
    /// Looks at this host.
    #[must_use]
    pub fn read(open: u64, causes: BTreeMap<String, u64>, before: Drops) -> Self {
        const NAMES: [&str; 6] = [
            "net.ipv4.ip_local_port_range",
            "net.netfilter.nf_conntrack_max",
            "net.netfilter.nf_conntrack_count",
            "fs.epoll.max_user_watches",
            "fs.file-max",
            "net.ipv4.tcp_mem",
        ];
        let settings: BTreeMap<String, String> =
            NAMES.iter().filter_map(|name| Some(((*name).to_owned(), sysctl(name)?))).collect();
        let tracked = settings.get("net.netfilter.nf_conntrack_count");
        let now = Drops::read();
        Self {
            open,
            causes,
            tracked: tracked.and_then(|count| count.parse().ok()),
            settings,
            listen_overflows: now.listen_overflows.saturating_sub(before.listen_overflows),
            memory_pressures: now.memory_pressures.saturating_sub(before.memory_pressures),
            available_bytes: super::kernel::sample().map_or(u64::MAX, |now| now.available_bytes),
        }
    }

    fn failures(&self, error: &str) -> u64 {
        let named = self.causes.iter().filter(|(cause, _)| cause.contains(error));
        named.map(|(_, count)| *count).sum()
    }

    fn setting(&self, name: &str) -> Option<u64> {
        self.settings.get(name)?.parse().ok()
    }
}

/// Below this the kernel begins to fail allocations.
const LITTLE_MEMORY_BYTES: u64 = 256 << 20;

/// Errors that name their limit: what the cause of a failure contains, the limit, how to lift it.
const ERRORS: [(&str, &str, &str); 13] = [
    ("EADDRNOTAVAIL", "net.ipv4.ip_local_port_range", PORTS),
    ("EMFILE", "RLIMIT_NOFILE", FILES),
    ("ENFILE", "fs.file-max", "sysctl -w fs.file-max=2621440"),
    ("ENOSPC", "fs.epoll.max_user_watches", "sysctl -w fs.epoll.max_user_watches=2621440"),
    ("ENOBUFS", "net.ipv4.tcp_mem", TCP_MEM),
    ("ENOMEM", "memory of this host", "add RAM, or ask for fewer connections"),
    (
        "handshake: 503",
        "the server's limit of connections",
        "raise it there (millgate: limits.connections, handshakes_per_second, memory_reserve_bytes)",
    ),
    (
        "handshake: 429",
        "the server's limit of handshakes a second, or of connections, of one address",
        "use --connect-rate or --source-ip, or raise it there (millgate: limits.*_per_address)",
    ),
    ("handshake: 502", "the way from a proxy to the server", BEHIND_PROXY),
    ("handshake: 504", "the way from a proxy to the server", BEHIND_PROXY),
    (
        "handshake: 401",
        "tokens that the server does not take",
        "--token-secret-file, --token-issuer and --token-audience, as it is configured",
    ),
    (
        "login: 1003",
        "logins that the server does not take",
        "--token-secret-file if it wants tokens, --apps if it has others",
    ),
    (
        "ECONNREFUSED",
        "no listener at the server",
        "see whether it runs, and whether its descriptors are used up",
    ),
];

/// Names the limit that these symptoms show.
#[must_use]
pub fn diagnose(symptoms: &Symptoms) -> Stall {
    // The most frequent one: a stray error of another kind says nothing.
    let failed = ERRORS.iter().filter(|(error, ..)| symptoms.failures(error) > 0);
    let found = failed.max_by_key(|(error, ..)| symptoms.failures(error));
    if let Some((error, limit, remedy)) = found {
        let count = symptoms.failures(error);
        return stall(symptoms, limit, format!("{count} × {error}"), remedy);
    }
    let tracked_max = symptoms.setting("net.netfilter.nf_conntrack_max");
    if let (Some(tracked), Some(most)) = (symptoms.tracked, tracked_max)
        && tracked * 100 >= most * 98
    {
        let evidence = format!("{tracked} of {most} tracked connections");
        return stall(symptoms, "net.netfilter.nf_conntrack_max", evidence, CONNTRACK);
    }
    if symptoms.available_bytes < LITTLE_MEMORY_BYTES {
        let evidence = format!("{} MiB available", symptoms.available_bytes >> 20);
        return stall(
            symptoms,
            "memory of this host",
            evidence,
            "add RAM, or ask for fewer connections",
        );
    }
    if symptoms.memory_pressures > 0 {
        let evidence = format!("TCPMemoryPressures {}", symptoms.memory_pressures);
        return stall(symptoms, "net.ipv4.tcp_mem", evidence, TCP_MEM);
    }
    if let Some((_, limit, remedy)) =
        PLATEAUS.iter().find(|(range, ..)| range.contains(&symptoms.open))
    {
        let evidence = format!("the count stands at {}", symptoms.open);
        return stall(symptoms, limit, evidence, remedy);
    }
    if symptoms.listen_overflows > 0 {
        let evidence = format!("ListenOverflows {}", symptoms.listen_overflows);
        return stall(
            symptoms,
            "net.core.somaxconn",
            evidence,
            "sysctl -w net.core.somaxconn=65535, and listen() with as much",
        );
    }
    let remedy = "see the causes above, and `millgate doctor` on the server's host";
    stall(symptoms, "unknown", "no error, no known plateau".into(), remedy)
}

const PORTS: &str =
    "more source addresses (--source-ip), or sysctl -w net.ipv4.ip_local_port_range='1024 65535'";
const BEHIND_PROXY: &str = "a unix socket between them, or several addresses of the server: one pair of \
    addresses has 28,232 ports; or see in the proxy's log whether it may connect there at all";
const FILES: &str =
    "ulimit -n 1048576, or more threads, each with a descriptor table of its own (-t)";
const TCP_MEM: &str = "scripts/tune --apply (net.ipv4.tcp_mem)";
const CONNTRACK: &str = "sysctl -w net.netfilter.nf_conntrack_max=2621440, or no tracking for this port (nft … notrack)";

/// Counts at which something is known to end, where no error says so.
const PLATEAUS: [(std::ops::RangeInclusive<u64>, &str, &str); 7] = [
    (
        1_000..=1_030,
        "soft RLIMIT_NOFILE of the server (1,024)",
        "ulimit -n 1048576 before the server starts",
    ),
    (28_200..=28_240, "net.ipv4.ip_local_port_range (28,232 ports)", PORTS),
    (32_200..=32_260, "ports of one parity (32,256)", PORTS),
    (64_400..=64_520, "ports of one address (64,512)", "more source addresses (--source-ip)"),
    (
        65_400..=65_540,
        "a limit of 65,536: nf_conntrack_max, or LimitNOFILE of the server",
        CONNTRACK,
    ),
    (262_000..=262_150, "net.netfilter.nf_conntrack_max (262,144)", CONNTRACK),
    (
        524_000..=524_290,
        "LimitNOFILE of the server (524,288, systemd's default)",
        "LimitNOFILE=2000000 in its unit",
    ),
];

fn stall(symptoms: &Symptoms, limit: &str, evidence: String, remedy: &str) -> Stall {
    Stall {
        connections: symptoms.open,
        limit: limit.to_owned(),
        evidence,
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(open: u64, causes: &[(&str, u64)]) -> Symptoms {
        Symptoms {
            open,
            causes: causes.iter().map(|(cause, count)| ((*cause).to_owned(), *count)).collect(),
            available_bytes: 8 << 30,
            ..Symptoms::default()
        }
    }

    #[test]
    fn errors_name_their_limit() {
        let cases = [
            ("connect: EADDRNOTAVAIL", "net.ipv4.ip_local_port_range"),
            ("connect: EMFILE", "RLIMIT_NOFILE"),
            ("handshake: 503", "the server's limit of connections"),
            ("connect: ECONNREFUSED", "no listener at the server"),
            ("handshake: 502", "the way from a proxy to the server"),
            ("handshake: 401", "tokens that the server does not take"),
            ("login: 1003", "logins that the server does not take"),
        ];
        for (cause, limit) in cases {
            assert_eq!(diagnose(&with(5_000, &[(cause, 3)])).limit, limit);
        }
    }

    #[test]
    fn the_most_frequent_error_counts() {
        let causes = [("connect: EADDRNOTAVAIL", 1), ("handshake: 504", 5_000)];
        assert_eq!(diagnose(&with(5_000, &causes)).limit, "the way from a proxy to the server");
    }

    #[test]
    fn plateaus_name_their_limit() {
        for (open, word) in
            [(1_017, "1,024"), (28_232, "28,232"), (262_144, "conntrack"), (524_288, "systemd")]
        {
            let stall = diagnose(&with(open, &[]));
            assert!(stall.limit.contains(word), "{open}: {stall:?}");
            assert!(!stall.remedy.is_empty());
        }
        assert_eq!(diagnose(&with(77_777, &[])).limit, "unknown");
    }

    #[test]
    fn counters_name_their_limit() {
        let mut symptoms = with(90_000, &[]);
        symptoms.listen_overflows = 5;
        assert_eq!(diagnose(&symptoms).limit, "net.core.somaxconn");
        symptoms.memory_pressures = 1;
        assert_eq!(diagnose(&symptoms).limit, "net.ipv4.tcp_mem");
        symptoms.settings.insert("net.netfilter.nf_conntrack_max".into(), "90500".into());
        symptoms.tracked = Some(90_100);
        assert_eq!(diagnose(&symptoms).limit, "net.netfilter.nf_conntrack_max");
        symptoms.tracked = None;
        symptoms.available_bytes = 1 << 20;
        assert_eq!(diagnose(&symptoms).limit, "memory of this host");
    }
}
