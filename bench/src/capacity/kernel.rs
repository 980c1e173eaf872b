//! Ceilings of memory and of the kernel's tables.

use super::{FORETOLD, Measured, Question, ceiling};
use crate::report::words;
use crate::result::Ceiling;
use crate::units::{bytes_text, grouped};

pub(super) fn ceilings(measured: &Measured, question: &Question) -> Vec<Ceiling> {
    let host = &question.host;
    let all = [
        memory(measured, question),
        descriptors(question),
        host.files_max.and_then(|most| {
            let because = format!("{} open files of the whole machine", grouped(most));
            let remedy = format!("sysctl -w fs.file-max={}", raised(most, question));
            ceiling("fs.file-max", most as f64, because, remedy)
        }),
        host.epoll_watches_max.and_then(|most| {
            let because = format!("{} descriptors in the epoll sets of one user", grouped(most));
            let remedy = format!("sysctl -w fs.epoll.max_user_watches={}", raised(most, question));
            ceiling("fs.epoll.max_user_watches", most as f64, because, remedy)
        }),
        tcp_mem(question),
        host.conntrack_max.and_then(|most| {
            let because = format!("{} tracked connections", grouped(most));
            let remedy = format!(
                "no tracking for the server's port (NOTRACK in the raw table), or \
                 sysctl -w net.netfilter.nf_conntrack_max={}",
                raised(most, question)
            );
            ceiling("nf_conntrack_max", most as f64, because, remedy)
        }),
        ports(question),
    ];
    all.into_iter().flatten().collect()
}

/// What a limit may be set to: a quarter more than is wanted, or twice what it is.
fn raised(most: u64, question: &Question) -> u64 {
    match question.wanted {
        Some(wanted) if wanted > most => wanted.saturating_add(wanted / 4),
        _ => most.saturating_mul(2),
    }
}

/// Server's own memory and one side of the kernel's, in what the system leaves.
fn memory(measured: &Measured, question: &Question) -> Option<Ceiling> {
    let slopes = measured.memory?;
    let user = slopes.user.high;
    let (slab, how) = if measured.loopback {
        let share = SERVER_SIDE_BYTES / (SERVER_SIDE_BYTES + CLIENT_SIDE_BYTES);
        let both = slopes.slab.high;
        let how = format!(
            "{} of the kernel ({} of the {} measured for both ends: a server's side is 4.02 kB, a client's 4.15 kB)",
            words::bytes_each(both * share),
            words::percent(share),
            words::bytes_each(both)
        );
        (both * share, how)
    } else {
        let how = "4,020 B of the kernel (6.18, one accepted socket in an epoll set)";
        (SERVER_SIDE_BYTES, how.to_owned())
    };
    // Buffers of both ends: half of them are the server's.
    let buffers = if measured.loopback { slopes.socket.high.max(0.0) / 2.0 } else { 0.0 };
    let each = user.max(0.0) + slab.max(0.0) + buffers;
    let usable =
        question.memory_bytes as f64 * (1.0 - SYSTEM_SHARE) - slopes.user.intercept.max(0.0);
    let because = format!(
        "{} left of {}, of which 10 % are the system's; a connection takes {} of the server, {how}{}; \
         upper ends of the confidence intervals",
        bytes_text(usable.max(0.0)),
        bytes_text(question.memory_bytes as f64),
        words::bytes_each(user.max(0.0)),
        if buffers >= 1.0 {
            format!(" and {} of buffers", words::bytes_each(buffers))
        } else {
            String::new()
        },
    );
    let mut found =
        ceiling("RAM", usable / each, because, "more RAM: nearly all of it is the kernel's")?;
    found.extrapolated = usable / each > FORETOLD * measured.connections as f64;
    Some(found)
}

fn descriptors(question: &Question) -> Option<Ceiling> {
    let each = question.host.open_files_max?;
    let tables = question.host.descriptor_tables.max(1);
    let usable = each.saturating_sub(DESCRIPTORS_OF_ITS_OWN);
    let (because, remedy) = if tables > 1 {
        (
            format!(
                "{} descriptors in each of {tables} private tables, one for each reactor",
                grouped(each)
            ),
            "more reactors, each with its own table; or LimitNOFILE=2000000 and fs.nr_open=2097152",
        )
    } else {
        (
            format!("{} descriptors in the one table of the process", grouped(each)),
            "a private table for each reactor (reactor.private_fd_table), or LimitNOFILE=2000000 and fs.nr_open=2097152",
        )
    };
    ceiling("descriptors", usable as f64 * f64::from(tables), because, remedy)
}

/// The kernel charges whole pages: one segment that waits on each connection, as
/// after a message to all, takes a page of each.
fn tcp_mem(question: &Question) -> Option<Ceiling> {
    let pages = question.host.tcp_mem_pages_max? as f64;
    let deadly = question.memory_bytes as f64 * DEADLY_SHARE / PAGE_BYTES;
    let (bound, why) = if deadly < pages {
        (deadly, "of 40 % of RAM, beyond which the kernel itself runs out".to_owned())
    } else {
        (pages, format!("of tcp_mem's {}", bytes_text(pages * PAGE_BYTES)))
    };
    let because =
        format!("a page {why} for each connection while one segment waits on all of them");
    let remedy =
        "sysctl -w net.ipv4.tcp_mem='1048576 1572864 2097152' with 32 GiB; with less, more RAM";
    ceiling("tcp_mem", bound, because, remedy)
}

fn ports(question: &Question) -> Option<Ceiling> {
    let tuples = question.proxy_tuples?.max(1);
    let because = format!(
        "64,512 ports (1024 to 65535) for each of {tuples} tuples of proxy address, server address and server port"
    );
    let remedy = "no L7 proxy; or a unix-socket upstream; or several upstream ports; or split_clients and proxy_bind";
    ceiling("ports behind the proxy", PORTS_PER_TUPLE * f64::from(tuples), because, remedy)
}

/// Kernel memory of an accepted socket in an epoll set, measured on 6.18.
const SERVER_SIDE_BYTES: f64 = 4_020.0;
/// The same of a connecting socket, which has a bind bucket of 128 bytes besides.
const CLIENT_SIDE_BYTES: f64 = 4_150.0;
/// What the rest of the system needs.
const SYSTEM_SHARE: f64 = 0.1;
/// TCP memory above this share of RAM ends the kernel before it ends the traffic.
const DEADLY_SHARE: f64 = 0.4;
const PAGE_BYTES: f64 = 4_096.0;
const PORTS_PER_TUPLE: f64 = 64_512.0;
/// Listener, epoll set, bells and standard streams of a reactor, with room.
const DESCRIPTORS_OF_ITS_OWN: u64 = 128;
