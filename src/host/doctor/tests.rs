//! Invented hosts and what the doctor says of them.

use super::*;
use crate::host::memory::Memory;

/// A host with 2 cores, 24 GiB and a hard limit of 20,000 that nobody can raise.
fn host() -> Facts {
    let sysctl = [
        ("fs.nr_open", vec![1_048_576]),
        ("fs.file-max", vec![2_466_177]),
        ("fs.file-nr", vec![8_000, 0, 2_466_177]),
        ("fs.epoll.max_user_watches", vec![5_491_511]),
        ("kernel.threads-max", vec![192_730]),
        ("kernel.pid_max", vec![32_768]),
        ("net.core.somaxconn", vec![4_096]),
        ("net.core.netdev_max_backlog", vec![1_000]),
        ("net.ipv4.ip_local_port_range", vec![32_768, 60_999]),
        ("net.ipv4.tcp_ehash_entries", vec![262_144]),
        ("net.ipv4.tcp_max_orphans", vec![131_072]),
        ("net.ipv4.tcp_max_syn_backlog", vec![2_048]),
        ("net.ipv4.tcp_max_tw_buckets", vec![131_072]),
        ("net.ipv4.tcp_mem", vec![287_901, 383_868, 575_802]),
        ("net.ipv4.tcp_migrate_req", vec![0]),
        ("net.ipv4.tcp_retries2", vec![15]),
        ("net.ipv4.tcp_rmem", vec![4_096, 131_072, 33_554_432]),
        ("net.ipv4.tcp_sack", vec![1]),
        ("net.ipv4.tcp_slow_start_after_idle", vec![1]),
        ("net.ipv4.tcp_syncookies", vec![1]),
        ("net.ipv4.tcp_timestamps", vec![1]),
        ("net.ipv4.tcp_window_scaling", vec![1]),
        ("net.ipv4.tcp_wmem", vec![4_096, 16_384, 4_194_304]),
        ("net.netfilter.nf_conntrack_count", vec![0]),
        ("net.netfilter.nf_conntrack_max", vec![262_144]),
    ];
    Facts {
        kernel: "6.18.0".to_owned(),
        cores: 2,
        page_bytes: 4_096,
        open_files_max: Some(20_000),
        open_files_raisable: Some(false),
        user_threads_max: Some(96_365),
        threads: Some(118),
        memory: Memory {
            host_bytes: Some(24 << 30),
            host_free_bytes: Some(23 << 30),
            ..Memory::default()
        },
        group_threads: None,
        sysctl: sysctl.into(),
    }
}

fn with_free(bytes: u64) -> Facts {
    Facts { memory: Memory { host_free_bytes: Some(bytes), ..host().memory }, ..host() }
}

fn million() -> Target {
    Target { connections: Some(1_000_000), ..Target::default() }
}

fn limit(facts: &Facts, target: &Target, name: &str) -> Limit {
    judge(facts, target).into_iter().find(|limit| limit.name == name).unwrap()
}

/// Each way out as one line: its lines, `|` between them.
fn cures(limit: &Limit) -> Vec<String> {
    let lines = |cure: &Cure| {
        cure.parts.iter().flat_map(|part| part.lines.clone()).collect::<Vec<_>>().join(" | ")
    };
    limit.cures.iter().map(lines).collect()
}

const FILES: &str = "open files, each table";

#[test]
fn more_reactors_where_the_descriptor_limit_is_fixed() {
    let files = limit(&host(), &million(), FILES);
    assert_eq!(files.here, Some(20_000));
    assert_eq!(files.needs, Some(Need::AtLeast(500_000 + 64 + 2)));
    assert_eq!(files.permits, Some(2 * (20_000 - 64 - 2)));
    assert_eq!(files.standing, Standing::Short);
    assert_eq!(cures(&files), ["reactor.threads = 53"]);
    let cured = Target { reactors: 53, ..million() };
    let files = limit(&host(), &cured, FILES);
    assert_eq!((files.standing, files.permits), (Standing::Fits, Some(53 * (20_000 - 64 - 53))));
    assert!(files.cures.is_empty());
}

#[test]
fn a_larger_table_where_it_can_be_had() {
    let facts = Facts { open_files_raisable: Some(true), ..host() };
    let files = limit(&facts, &million(), FILES);
    // A twentieth more than needed is 525,066: the next power of two.
    assert_eq!(cures(&files), ["LimitNOFILE=1048576", "reactor.threads = 53"]);
    let unknown = Facts { open_files_raisable: None, ..host() };
    assert_eq!(cures(&limit(&unknown, &million(), FILES)), cures(&files));
}

#[test]
fn a_common_table_is_one_for_all() {
    let facts = Facts { open_files_raisable: Some(true), ..host() };
    let target = Target { private_tables: false, ..million() };
    let files = limit(&facts, &target, FILES);
    assert_eq!(files.needs, Some(Need::AtLeast(1_000_066)));
    assert_eq!(files.permits, Some(2 * ((20_000 - 66) / 2)));
    // No limit goes above nr_open, which suffices without the reserve.
    assert_eq!(
        cures(&files),
        ["LimitNOFILE=1048576", "reactor.threads = 53 | reactor.private_fd_table = true"]
    );
}

#[test]
fn nr_open_bounds_what_can_be_raised() {
    let target = Target { connections: Some(4_000_000), ..Target::default() };
    let facts = Facts { open_files_raisable: Some(true), open_files_max: Some(1 << 20), ..host() };
    let nr_open = limit(&facts, &target, "fs.nr_open");
    assert_eq!(nr_open.needs, Some(Need::AtLeast(2_000_066)));
    assert_eq!(nr_open.permits, Some(2 * ((1 << 20) - 66)));
    assert_eq!(cures(&nr_open), ["fs.nr_open = 4194304", "reactor.threads = 5"]);
    assert_eq!(cures(&limit(&facts, &target, FILES))[0], "LimitNOFILE=4194304");
    // Where no table can grow, it is in nobody's way.
    let nr_open = limit(&host(), &target, "fs.nr_open");
    assert_eq!((nr_open.standing, nr_open.permits), (Standing::Fits, None));
}

#[test]
fn reactors_have_an_end() {
    let facts = Facts { open_files_max: Some(1_024), ..host() };
    let files = limit(&facts, &million(), FILES);
    assert_eq!(files.cures[0].parts[0].place, Place::Deed);
    let endless = Facts { open_files_max: Some(u64::MAX), ..host() };
    let files = limit(&endless, &million(), FILES);
    assert_eq!((files.standing, files.here, files.permits), (Standing::Unlimited, None, None));
}

#[test]
fn files_of_the_whole_host() {
    let target = Target { both_ends: true, connections: Some(2_000_000), ..Target::default() };
    let files = limit(&host(), &target, "fs.file-max");
    assert_eq!(files.needs, Some(Need::AtLeast(4_000_000 + 8_000 + 64 + 8)));
    assert_eq!(files.permits, Some((2_466_177 - 8_072) / 2));
    // A fifth more, in steps of 2^18.
    assert_eq!(cures(&files), ["fs.file-max = 4980736"]);
    assert_eq!(limit(&host(), &million(), "fs.file-max").permits, Some(2_466_177 - 8_072));
    let watches = limit(&host(), &target, "fs.epoll.max_user_watches");
    assert_eq!(watches.permits, Some((5_491_511 - 4) / 2));
    let mut small = host();
    small.sysctl.insert("fs.epoll.max_user_watches", vec![500_000]);
    let watches = limit(&small, &million(), "fs.epoll.max_user_watches");
    assert_eq!((watches.standing, watches.permits), (Standing::Short, Some(499_996)));
    assert_eq!(cures(&watches), ["fs.epoll.max_user_watches = 1310720"]);
}

#[test]
fn memory_is_connections_and_budgets() {
    let fixed = (128 << 20) + 2 * (65_536 + 4_096 + 10_496 * 48);
    let budgets = 2 * (3_u64 << 30);
    let memory = limit(&host(), &million(), "RAM");
    // A 32nd is kept free.
    let fixed = fixed + (768 << 20);
    assert_eq!(memory.needs, Some(Need::AtLeast(4_205_000_000 + fixed + budgets)));
    assert_eq!(memory.permits, Some(((23 << 30) - fixed - budgets) / 4_205));
    assert_eq!(memory.standing, Standing::Fits);
    let target = Target { outbox_bytes: 1 << 30, assembly_bytes: 1 << 30, ..million() };
    let target = Target { both_ends: true, ..target };
    let memory = limit(&host(), &target, "RAM");
    assert_eq!(memory.permits, Some(((21 << 30) - fixed) / 8_418));
}

#[test]
fn smaller_budgets_before_more_memory() {
    let tight = with_free(8 << 30);
    let memory = limit(&tight, &million(), "RAM");
    assert_eq!(memory.standing, Standing::Short);
    // What the connections leave of 8 GiB, halved, in whole MiB.
    assert_eq!(
        cures(&memory),
        [
            "limits.outbox_total_bytes = 1721761792 | limits.assembly_total_bytes = 1721761792",
            "2.8 GiB more RAM"
        ]
    );
    let tiny = with_free(2 << 30);
    assert_eq!(cures(&limit(&tiny, &million(), "RAM")), ["8.8 GiB more RAM"]);
}

#[test]
fn a_control_group_is_a_smaller_host() {
    let name = "memory of the control group";
    assert_eq!(limit(&host(), &million(), name).standing, Standing::Unlimited);
    let room = Room { limit: 4 << 30, used: 1 << 30 };
    let memory = Memory { group: Some(room), group_limit_bytes: Some(room.limit), ..host().memory };
    let facts = Facts { memory, ..host() };
    let memory = limit(&facts, &million(), name);
    // An eighth of the RAM is now an eighth of the group's.
    let fixed = (128 << 20) + 2 * (65_536 + 4_096 + 10_496 * 48) + (1 << 30) + (128 << 20);
    assert_eq!(memory.permits, Some(((3 << 30) - fixed) / 4_205));
    assert_eq!(cures(&memory), ["MemoryMax=7G"]);
}

#[test]
fn threads_matter_where_many_are_needed() {
    let threads = limit(&host(), &million(), "threads");
    // pid_max less those alive; 53 reactors, 2 of the control plane and 16 others.
    assert_eq!(threads.here, Some(32_768 - 118));
    assert_eq!(threads.needs, Some(Need::AtLeast(53 + 2 + 16)));
    assert_eq!((threads.standing, threads.permits), (Standing::Fits, None));
    let room = Some(Room { limit: 40, used: 10 });
    let facts = Facts { group_threads: room, ..host() };
    let threads = limit(&facts, &million(), "threads");
    assert_eq!((threads.here, threads.standing), (Some(30), Standing::Short));
    assert_eq!(threads.permits, Some(12 * (20_000 - 64 - 12)));
    assert_eq!(cures(&threads), ["TasksMax=32768"]);
    let facts = Facts { user_threads_max: Some(10), ..host() };
    let threads = limit(&facts, &Target::default(), "threads");
    assert_eq!((threads.standing, threads.permits), (Standing::Short, Some(0)));
    assert_eq!(cures(&threads), ["LimitNPROC=32768"]);
}

#[test]
fn a_proxy_has_ports_for_each_pair_of_addresses() {
    let name = "ports of the proxy";
    assert_eq!(limit(&host(), &million(), name).standing, Standing::NotInUse);
    let target = Target { proxy_pairs: 1, ..million() };
    let ports = limit(&host(), &target, name);
    assert_eq!((ports.permits, ports.standing), (Some(28_232), Standing::Short));
    let cures = cures(&ports);
    let socket = "listen.websocket = [\"0.0.0.0:8089\", \"unix:/run/millgate/ws.sock\"]";
    assert!(cures[0].starts_with(socket), "{cures:?}");
    assert!(cures[0].contains("server unix:/run/millgate/ws.sock;"), "{cures:?}");
    assert!(cures[1].contains("layer 4"), "{cures:?}");
    assert!(cures[2].starts_with("net.ipv4.ip_local_port_range = 1024 65535"), "{cures:?}");
    // A tenth more than a million over 64,512 ports each are 18 addresses.
    assert!(cures[2].contains("server 127.0.0.18:8089;"), "{cures:?}");
    assert!(!cures[2].contains("127.0.0.19"), "{cures:?}");
    assert!(cures[3].contains("5.55% 127.0.1.17; |     * 127.0.1.18;"), "{cures:?}");
    let few = Target { connections: Some(50_000), ..target };
    assert_eq!(limit(&host(), &few, name).cures.len(), 3);
    let socket = Target { unix_socket: true, ..few };
    assert_eq!(limit(&host(), &socket, name).standing, Standing::Unlimited);
    let enough = Target { proxy_pairs: 36, ..million() };
    assert_eq!(limit(&host(), &enough, name).permits, Some(36 * 28_232));
}

#[test]
fn tracking_counts_once_it_tracks() {
    let name = "nf_conntrack_max";
    assert_eq!(limit(&host(), &million(), name).standing, Standing::NotInUse);
    assert_eq!(limit(&Facts::default(), &million(), name).standing, Standing::NotInUse);
    let mut facts = host();
    facts.sysctl.insert("net.netfilter.nf_conntrack_count", vec![144]);
    let tracked = limit(&facts, &million(), name);
    assert_eq!((tracked.permits, tracked.standing), (Some(262_000), Standing::Short));
    assert_eq!(cures(&tracked)[0], "net.netfilter.nf_conntrack_max = 2621440");
    assert!(cures(&tracked)[1].contains("tcp dport 8089 notrack"));
}

#[test]
fn the_configuration_has_a_limit_too() {
    assert_eq!(limit(&host(), &million(), "limits.connections").standing, Standing::Unlimited);
    let target = Target { connections_max: 5_000, ..million() };
    let configured = limit(&host(), &target, "limits.connections");
    assert_eq!((configured.permits, configured.standing), (Some(5_000), Standing::Short));
    assert_eq!(cures(&configured), ["limits.connections = 1000000"]);
}

#[test]
fn a_broadcast_takes_a_page_for_each() {
    let pages = limit(&host(), &million(), "tcp_mem");
    assert_eq!((pages.needs, pages.permits), (Some(Need::AtLeast(1_000_000)), Some(575_802)));
    assert_eq!(cures(&pages), ["net.ipv4.tcp_mem = 1048576 1572864 2097152"]);
    // Two fifths of 4 GiB are 419,430 pages: not enough, but no more may be set.
    let mut small = host();
    small.memory.host_bytes = Some(4 << 30);
    small.sysctl.insert("net.ipv4.tcp_mem", vec![1, 300_000, 350_000]);
    let pages = limit(&small, &million(), "tcp_mem");
    assert_eq!(pages.needs, Some(Need::AtLeast(419_430)));
    assert_eq!(cures(&pages), ["net.ipv4.tcp_mem = 209715 314571 419430"]);
    small.sysctl.insert("net.ipv4.tcp_mem", vec![1, 300_000, 600_000]);
    let pages = limit(&small, &million(), "tcp_mem");
    assert_eq!((pages.needs, pages.standing), (Some(Need::AtMost(419_430)), Standing::Short));
}

#[test]
fn what_grows_with_the_connections() {
    for (name, needs, line) in [
        ("somaxconn", 62_500, "net.core.somaxconn = 65535"),
        ("tcp_max_syn_backlog", 15_625, "net.ipv4.tcp_max_syn_backlog = 16384"),
        ("netdev_max_backlog", 15_625, "net.core.netdev_max_backlog = 16384"),
        ("tcp_max_orphans", 250_000, "net.ipv4.tcp_max_orphans = 262144"),
        ("tcp_max_tw_buckets", 1_000_000, "net.ipv4.tcp_max_tw_buckets = 1048576"),
        ("TCP hash buckets", 1_000_000, "thash_entries=1048576"),
    ] {
        let size = limit(&host(), &million(), name);
        assert_eq!((size.needs, size.standing), (Some(Need::AtLeast(needs)), Standing::Short));
        assert_eq!((cures(&size)[0].as_str(), size.grade), (line, Grade::Advice));
        let few = Target { connections: Some(10_000), ..Target::default() };
        assert_eq!(limit(&host(), &few, name).standing, Standing::Fits, "{name}");
    }
    let both = Target { both_ends: true, ..million() };
    assert_eq!(cures(&limit(&host(), &both, "TCP hash buckets"))[0], "thash_entries=2097152");
}

#[test]
fn only_the_largest_buffer_is_lowered() {
    let buffers = limit(&host(), &million(), "tcp_rmem");
    assert_eq!(cures(&buffers), ["net.ipv4.tcp_rmem = 4096 131072 1048576"]);
    let mut facts = host();
    facts.sysctl.insert("net.ipv4.tcp_wmem", vec![4_096, 16_384, 262_144]);
    assert_eq!(limit(&facts, &million(), "tcp_wmem").standing, Standing::Fits);
}

#[test]
fn switches_are_right_or_wrong() {
    let mut facts = host();
    for (name, standing) in [
        ("tcp_migrate_req", Standing::Short),
        ("tcp_slow_start_after_idle", Standing::Short),
        ("tcp_retries2", Standing::Short),
        ("tcp_syncookies", Standing::Fits),
        ("tcp_timestamps", Standing::Fits),
        ("tcp_sack", Standing::Fits),
    ] {
        assert_eq!(limit(&facts, &million(), name).standing, standing, "{name}");
    }
    facts.sysctl.insert("net.ipv4.tcp_timestamps", vec![0]);
    facts.sysctl.remove("net.ipv4.tcp_migrate_req");
    let timestamps = limit(&facts, &million(), "tcp_timestamps");
    assert_eq!(cures(&timestamps), ["net.ipv4.tcp_timestamps = 1"]);
    assert_eq!(limit(&facts, &million(), "tcp_migrate_req").standing, Standing::Unknown);
}

#[test]
fn the_least_binds_and_the_next_is_named() {
    let report = Report::new(&host(), &million());
    assert_eq!((report.fits, report.refuses()), (Some(false), true));
    assert_eq!(report.ceiling, Some(39_868));
    assert_eq!(report.binds, Some(Bound { limit: FILES, permits: 39_868 }));
    assert_eq!(report.next, Some(Bound { limit: "fs.file-max", permits: 2_458_105 }));
    let text = report.to_string();
    let verdict = "1,000,000 connections do not fit: the ceiling is 39,868 (open files, each table); \
                   next comes fs.file-max at 2,458,105.";
    assert!(text.contains(verdict), "{text}");
    assert!(text.contains("  [reactor]\n  threads = 53\n"), "{text}");
    let fits = Report::new(&host(), &Target { reactors: 53, ..million() });
    assert_eq!((fits.fits, fits.refuses()), (Some(true), false));
    let text = fits.to_string();
    assert!(text.contains("1,000,000 connections fit: the ceiling is 1,053,799"), "{text}");
    assert!(!text.contains("To make it fit"), "{text}");
}

#[test]
fn the_cure_cures() {
    let fits = |facts: &Facts, target: &Target| Report::new(facts, target).fits;
    let target = Target { connections_max: 1, ..million() };
    let mut facts = Facts { open_files_raisable: Some(true), ..host() };
    assert_eq!(fits(&facts, &target), Some(false));
    facts.open_files_max = Some(1_048_576);
    let target = Target { connections_max: 1_000_000, ..target };
    assert_eq!(fits(&facts, &target), Some(true));
}

#[test]
fn without_a_target_it_says_what_the_host_holds() {
    let report = Report::new(&host(), &Target::default());
    assert_eq!((report.fits, report.refuses(), report.ceiling), (None, false, Some(39_868)));
    let text = report.to_string();
    assert!(text.contains("This host holds 39,868 connections: open files, each table"), "{text}");
    assert!(!text.contains("To make it fit"), "{text}");
    // Advice is for as many as it holds.
    let somaxconn = report.limits.iter().find(|limit| limit.name == "somaxconn").unwrap();
    assert_eq!(somaxconn.standing, Standing::Fits);
}

#[test]
fn a_host_that_tells_nothing_is_no_failure() {
    let facts = Facts { cores: 1, page_bytes: 4_096, ..Facts::default() };
    let report = Report::new(&facts, &million());
    assert_eq!((report.fits, report.ceiling), (Some(true), None));
    let unknown = |limit: &&Limit| limit.standing == Standing::Unknown;
    assert!(report.limits.iter().filter(unknown).count() > 15, "{report}");
    assert!(report.to_string().contains("unknown"));
    for most in [u64::MAX, 0] {
        let facts = Facts {
            memory: Memory {
                host_bytes: Some(most),
                host_free_bytes: Some(most),
                ..Memory::default()
            },
            sysctl: KEYS.into_iter().map(|key| (key, vec![most; 3])).collect(),
            ..facts.clone()
        };
        let target = Target { connections: Some(u64::MAX), both_ends: true, ..million() };
        // Neither overflows.
        assert_eq!(Report::new(&facts, &target).refuses(), most == 0);
    }
}

#[test]
fn machines_are_told_the_same() {
    let report = Report::new(&host(), &million());
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["fits"], false);
    assert_eq!(json["ceiling"], 39_868);
    assert_eq!(json["binds"]["limit"], FILES);
    let files = &json["limits"][1];
    assert_eq!(files["standing"], "short");
    assert_eq!(files["grade"], "ceiling");
    assert_eq!(files["needs"]["at_least"], 500_066);
    assert_eq!(files["cures"][0][0]["place"], "configuration");
    assert_eq!(files["cures"][0][0]["lines"][0], "reactor.threads = 53");
}
