//! The limits beyond which connections are held, but packets are lost or time is.

use super::Load;
use super::limit::{Cure, Grade, Limit, Need, Place, Standing, Unit};
use crate::limits::LISTEN_BACKLOG;

/// All of them, for this many connections.
pub(super) fn judge(load: &Load, connections: u64) -> Vec<Limit> {
    let mut limits = vec![tcp_memory(load, connections), hash(load, connections)];
    limits.extend(SIZES.iter().map(|size| size.judge(load, connections)));
    limits.extend(BUFFERS.iter().map(|(key, why)| buffers(load, key, why)));
    limits.extend(SWITCHES.iter().map(|(key, need, why)| switch(load, key, *need, why)));
    limits
}

/// `net.ipv4.tcp_mem`: charged in whole pages, so a single queued segment
/// takes one. At the limit the kernel drops packets of everybody.
fn tcp_memory(load: &Load, connections: u64) -> Limit {
    let key = "net.ipv4.tcp_mem";
    let mut limit = Limit::new(
        "tcp_mem",
        Grade::Advice,
        Unit::Pages,
        "a page for a segment to each; beyond it packets are dropped",
    );
    let (Some(now), Some(most)) = (load.facts.triple(key), pages_most(load)) else { return limit };
    let sockets = connections.saturating_mul(load.ends);
    let needs = if now[2] > most { Need::AtMost(most) } else { Need::AtLeast(sockets.min(most)) };
    limit = held_against(limit, now[2], needs);
    limit.permits = Some(now[2] / load.ends);
    if limit.is_short() {
        let top = sockets.min(most).next_power_of_two().saturating_mul(2).min(most);
        let wanted = [top / 2, top / 4 * 3, top];
        // Never below what is there, unless that is too much.
        let wanted = [0, 1, 2].map(|at| wanted[at].max(now[at].min(most)));
        let [low, pressure, top] = wanted;
        limit.cures = vec![Cure::sysctl(key, format!("{low} {pressure} {top}"))];
    }
    limit
}

/// Two fifths of the RAM: with more in socket buffers the kernel runs out before TCP does.
fn pages_most(load: &Load) -> Option<u64> {
    (load.facts.memory.host_bytes? / 5 * 2).checked_div(load.facts.page_bytes)
}

/// Buckets of the hash table of established connections, walked for every packet.
fn hash(load: &Load, connections: u64) -> Limit {
    const BUCKETS_MAX: u64 = 1 << 24;
    let limit = Limit::new(
        "TCP hash buckets",
        Grade::Advice,
        Unit::Count,
        "a chain is walked for every packet",
    );
    let Some(buckets) = load.facts.number("net.ipv4.tcp_ehash_entries") else { return limit };
    let sockets = connections.saturating_mul(load.ends);
    let wanted = sockets.checked_next_power_of_two().unwrap_or(BUCKETS_MAX).min(BUCKETS_MAX);
    let mut limit = held_against(limit, buckets, Need::AtLeast(sockets.min(BUCKETS_MAX)));
    limit.permits = Some(buckets / load.ends);
    if limit.is_short() {
        limit.cures = vec![
            Cure::new(Place::Boot, [format!("thash_entries={wanted}")]),
            // A network namespace made after the first line has a table of that size.
            Cure::new(
                Place::Shell,
                [
                    format!("sysctl -w net.ipv4.tcp_child_ehash_entries={wanted}"),
                    "ip netns add millgate # and run the gateway in it".to_owned(),
                ],
            ),
        ];
    }
    limit
}

/// A limit that grows with the number of connections: a share of it, between two bounds.
struct Size {
    key: &'static str,
    /// One for so many connections.
    share: u64,
    least: u64,
    most: u64,
    why: &'static str,
}

const SIZES: [Size; 5] = [
    Size {
        key: "net.core.somaxconn",
        share: 16,
        least: 4_096,
        most: LISTEN_BACKLOG as u64,
        why: "accept queue in a storm of reconnects",
    },
    Size {
        key: "net.ipv4.tcp_max_syn_backlog",
        share: 64,
        least: 1_024,
        most: 16_384,
        why: "handshakes under way where SYN cookies are off",
    },
    Size {
        key: "net.core.netdev_max_backlog",
        share: 64,
        least: 1_000,
        most: 16_384,
        why: "packets waiting for a core; its drops become 200 ms",
    },
    Size {
        key: "net.ipv4.tcp_max_orphans",
        share: 4,
        least: 8_192,
        most: 1 << 20,
        why: "closed but not acknowledged, as at a restart",
    },
    Size {
        key: "net.ipv4.tcp_max_tw_buckets",
        share: 1,
        least: 8_192,
        most: 1 << 20,
        why: "TIME_WAIT on the side that closes first",
    },
];

impl Size {
    fn judge(&self, load: &Load, connections: u64) -> Limit {
        let limit = Limit::new(short_name(self.key), Grade::Advice, Unit::Count, self.why);
        let Some(here) = load.facts.number(self.key) else { return limit };
        let wanted = (connections / self.share).clamp(self.least, self.most);
        let round = wanted.next_power_of_two().min(self.most);
        with_cure(held_against(limit, here, Need::AtLeast(wanted)), self.key, round)
    }
}

/// Sizes to which the kernel may let one socket's buffers grow.
const BUFFERS: [(&str, &str); 2] = [
    ("net.ipv4.tcp_rmem", "what a hostile peer can make the kernel hold"),
    ("net.ipv4.tcp_wmem", "what a peer that does not read can"),
];

const BUFFER_BYTES_MAX: u64 = 1 << 20;

/// Only the largest size is lowered: buffers are not pre-allocated, the
/// smaller numbers save nothing.
fn buffers(load: &Load, key: &'static str, why: &'static str) -> Limit {
    let limit = Limit::new(short_name(key), Grade::Advice, Unit::Bytes, why);
    let Some([least, usual, most]) = load.facts.triple(key) else { return limit };
    let limit = held_against(limit, most, Need::AtMost(BUFFER_BYTES_MAX));
    with_cure(limit, key, format!("{least} {usual} {BUFFER_BYTES_MAX}"))
}

/// Settings that are right or wrong however many connections there are.
const SWITCHES: [(&str, Need, &str); 7] = [
    (
        "net.ipv4.tcp_migrate_req",
        Need::Exactly(1),
        "the queue of a closing listener goes to the others",
    ),
    (
        "net.ipv4.tcp_slow_start_after_idle",
        Need::Exactly(0),
        "a connection that was silent does not begin anew",
    ),
    ("net.ipv4.tcp_retries2", Need::AtMost(8), "half-open peers hold memory for 100 s, not 924"),
    ("net.ipv4.tcp_syncookies", Need::AtLeast(1), "a full queue of handshakes refuses nobody"),
    ("net.ipv4.tcp_timestamps", Need::AtLeast(1), "round trips are measured, old segments known"),
    ("net.ipv4.tcp_sack", Need::Exactly(1), "one lost packet costs one packet"),
    ("net.ipv4.tcp_window_scaling", Need::Exactly(1), "windows above 64 KiB"),
];

fn switch(load: &Load, key: &'static str, need: Need, why: &'static str) -> Limit {
    let limit = Limit::new(short_name(key), Grade::Advice, Unit::Count, why);
    let Some(here) = load.facts.number(key) else { return limit };
    let (Need::AtLeast(wanted) | Need::AtMost(wanted) | Need::Exactly(wanted)) = need;
    with_cure(held_against(limit, here, need), key, wanted)
}

fn held_against(limit: Limit, here: u64, need: Need) -> Limit {
    let standing = if need.met_by(here) { Standing::Fits } else { Standing::Short };
    Limit { here: Some(here), needs: Some(need), standing, ..limit }
}

fn with_cure(mut limit: Limit, key: &str, value: impl std::fmt::Display) -> Limit {
    if limit.is_short() {
        limit.cures = vec![Cure::sysctl(key, value)];
    }
    limit
}

fn short_name(key: &'static str) -> &'static str {
    key.rsplit('.').next().unwrap_or(key)
}
