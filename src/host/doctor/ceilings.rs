//! The limits beyond which connections are refused, or the process dies.

use super::limit::{Cure, Grade, Limit, Place, Unit};
use super::{Facts, Load, Standing, files, number, ports};
use crate::limits::{MAIL_DEPTH_MAX, MAIL_RESERVED, REACTORS_MAX, RECEIVE_BUFFER_BYTES};

/// All of them, in the order in which they usually bind.
pub(super) fn judge(load: &Load) -> Vec<Limit> {
    vec![
        configured(load),
        files::open_files(load),
        files::nr_open(load),
        files::file_max(load),
        files::epoll_watches(load),
        memory(load),
        group_memory(load),
        threads(load),
        ports::of_proxy(load),
        ports::tracked(load),
    ]
}

/// `limits.connections`.
fn configured(load: &Load) -> Limit {
    let limit = Limit::new(
        "limits.connections",
        Grade::Ceiling,
        Unit::Count,
        "configured; beyond it a handshake gets 503",
    );
    if load.target.connections_max == 0 {
        return limit.standing(Standing::Unlimited);
    }
    let mut limit = load.weigh(limit, Some(load.target.connections_max), 0, 1);
    if let (true, Some(connections)) = (limit.is_short(), load.connections) {
        limit.cures =
            vec![Cure::new(Place::Configuration, [format!("limits.connections = {connections}")])];
    }
    limit
}

/// Kernel memory of an accepted socket: 2,521 TCP socket + 862 socket inode +
/// 195 dentry + 195 file + 56 security + 128 epoll item + 64 wait entry.
/// Measured as a slope over plateaus on Linux 6.18, x86-64.
pub const KERNEL_BYTES_EACH: u64 = 4_021;

/// The same at the client's end, which has a bind bucket of 128 bytes more.
const CONNECTED_BYTES: u64 = KERNEL_BYTES_EACH + 128;

/// Own memory of a user who is logged in: see the table in [`crate::limits`], with the
/// slack of a hash table that has just grown.
pub(super) const USER_BYTES: u64 = 184;

/// What the load generator may spend on a connection.
const GENERATOR_BYTES: u64 = 64;

/// The process without connections: code, runtime, a full memory of message ids, pages being streamed.
const PROCESS_BYTES: u64 = 128 << 20;

/// Entries of a mailbox are this large.
const MAIL_BYTES: u64 = 48;

/// RAM that could be had now.
fn memory(load: &Load) -> Limit {
    let limit = Limit::new(
        "RAM",
        Grade::Ceiling,
        Unit::Bytes,
        "4.2 kB a connection, and the budgets for backlogs",
    );
    let limit = weigh_memory(load, limit, load.facts.memory.host_free_bytes);
    cure_memory(load, limit, |missing| {
        Cure::new(Place::Deed, [format!("{} more RAM", number::bytes(missing))])
    })
}

/// The control group's share of it; the kernel's memory for sockets is charged too.
fn group_memory(load: &Load) -> Limit {
    let limit = Limit::new(
        "memory of the control group",
        Grade::Ceiling,
        Unit::Bytes,
        "MemoryMax; beyond it the process is killed",
    );
    let Some(room) = load.facts.memory.group else {
        return limit.standing(Standing::Unlimited);
    };
    let limit = weigh_memory(load, limit, Some(room.left()));
    cure_memory(load, limit, |missing| {
        let wanted = room.limit.saturating_add(missing).div_ceil(1 << 30);
        Cure::new(Place::Unit, [format!("MemoryMax={wanted}G")])
    })
}

fn weigh_memory(load: &Load, limit: Limit, bytes: Option<u64>) -> Limit {
    let spare = budgets(load).into_iter().fold(fixed_bytes(load), u64::saturating_add);
    let spare = spare.saturating_add(load.facts.memory.reserve_bytes(load.target.reserve_bytes));
    load.weigh(limit, bytes, spare, bytes_each(load))
}

/// What all reactors take, whatever they carry.
fn fixed_bytes(load: &Load) -> u64 {
    let reactor =
        RECEIVE_BUFFER_BYTES as u64 + (MAIL_DEPTH_MAX + MAIL_RESERVED) as u64 * MAIL_BYTES;
    PROCESS_BYTES + load.reactors as u64 * reactor
}

/// Backlogs of slow readers, half-received messages.
fn budgets(load: &Load) -> [u64; 2] {
    [load.target.outbox_bytes, load.target.assembly_bytes]
        .map(|configured| load.facts.memory.budget_bytes(configured))
}

fn bytes_each(load: &Load) -> u64 {
    let server = KERNEL_BYTES_EACH + USER_BYTES;
    if load.target.both_ends { server + CONNECTED_BYTES + GENERATOR_BYTES } else { server }
}

/// Smaller budgets where these suffice, else more memory.
fn cure_memory(load: &Load, mut limit: Limit, more: impl Fn(u64) -> Cure) -> Limit {
    /// A budget below this would close readers that are merely far away.
    const BUDGET_BYTES_MIN: u64 = 256 << 20;
    let (true, Some(connections), Some(here)) = (limit.is_short(), load.connections, limit.here)
    else {
        return limit;
    };
    let reserve = load.facts.memory.reserve_bytes(load.target.reserve_bytes);
    let fixed = fixed_bytes(load).saturating_add(reserve);
    let bare = connections.saturating_mul(bytes_each(load)).saturating_add(fixed);
    let whole = budgets(load).into_iter().fold(bare, u64::saturating_add);
    let enlarged = more(whole.saturating_sub(here));
    let each = here.saturating_sub(bare) / 2 / (1 << 20) * (1 << 20);
    limit.cures = if each >= BUDGET_BYTES_MIN {
        let lines = ["outbox", "assembly"].map(|of| {
            let configured =
                if of == "outbox" { load.target.outbox_bytes } else { load.target.assembly_bytes };
            let bytes = if configured == 0 { each } else { each.min(configured) };
            format!("limits.{of}_total_bytes = {bytes}")
        });
        vec![Cure::new(Place::Configuration, lines), enlarged]
    } else {
        vec![enlarged]
    };
    limit
}

/// Threads besides reactors and the control plane's: the main one, the log's,
/// those that may block for HTTP, and the one that ends the process.
const THREADS_BESIDE: u64 = 16;

/// Threads that may be started; it matters where many reactors are needed.
fn threads(load: &Load) -> Limit {
    let limit = Limit::new(
        "threads",
        Grade::Ceiling,
        Unit::Count,
        "threads-max, pid_max, RLIMIT_NPROC or TasksMax, what is left of it",
    );
    let facts = load.facts;
    let Some((bound, left)) = tightest_threads(facts) else { return limit };
    let beside = THREADS_BESIDE + load.target.control_threads as u64;
    let reactors = match load.connections {
        Some(connections) if load.target.private_tables => {
            files::enough_reactors(load, connections).unwrap_or(load.reactors)
        }
        _ => load.reactors,
    } as u64;
    let most = left.saturating_sub(beside).min(REACTORS_MAX as u64) as usize;
    let files = facts.open_files_max.unwrap_or(u64::MAX);
    let private = load.target.private_tables;
    let permits = if most == 0 { 0 } else { files::held(files, most, private) };
    let needs = reactors + beside;
    let mut limit = load.with(limit, Some(left), Some(needs), Some(permits));
    limit.standing = if left < needs { Standing::Short } else { Standing::Fits };
    if limit.is_short() {
        limit.cures = vec![bound.cure(facts, needs)];
    } else {
        // As many as are needed: then it is the descriptors that bound, in their own line.
        limit.permits = None;
    }
    limit
}

/// Which limit of threads is the least.
#[derive(Clone, Copy)]
enum ThreadBound {
    Host,
    Numbers,
    User,
    Group,
}

impl ThreadBound {
    fn cure(self, facts: &Facts, missing: u64) -> Cure {
        let alive = facts.threads.unwrap_or(0);
        let wanted = alive.min(1 << 31).saturating_add(missing).next_power_of_two().max(1 << 15);
        match self {
            Self::Host => Cure::sysctl("kernel.threads-max", wanted),
            Self::Numbers => Cure::sysctl("kernel.pid_max", wanted),
            Self::User => Cure::new(Place::Unit, [format!("LimitNPROC={wanted}")]),
            Self::Group => Cure::new(Place::Unit, [format!("TasksMax={wanted}")]),
        }
    }
}

fn tightest_threads(facts: &Facts) -> Option<(ThreadBound, u64)> {
    let alive = facts.threads.unwrap_or(0);
    let less_alive = |key| facts.number(key).map(|limit| limit.saturating_sub(alive));
    let bounds = [
        (ThreadBound::Host, less_alive("kernel.threads-max")),
        (ThreadBound::Numbers, less_alive("kernel.pid_max")),
        (ThreadBound::User, facts.user_threads_max),
        (ThreadBound::Group, facts.group_threads.map(super::Room::left)),
    ];
    let known = bounds.into_iter().filter_map(|(bound, left)| Some((bound, left?)));
    known.min_by_key(|(_, left)| *left)
}
