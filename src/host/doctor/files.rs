//! Descriptors of a table, and the ways out when it is too small.

use super::limit::{Cure, Grade, Limit, Place, Unit};
use super::{ENDLESS, Load, Need, Standing};
use crate::host::fd_table;
use crate::limits::{FD_RESERVE, REACTORS_MAX};

/// `RLIMIT_NOFILE`: bounds a descriptor table, of which each reactor has its own.
pub(super) fn open_files(load: &Load) -> Limit {
    let limit = Limit::new(
        "open files, each table",
        Grade::Ceiling,
        Unit::Count,
        "hard RLIMIT_NOFILE; beyond it EMFILE",
    );
    let mut limit = table(load, limit, load.facts.open_files_max);
    if limit.is_short() {
        limit.cures = cures(load, load.facts.open_files_raisable != Some(false), unit_line);
    }
    limit
}

/// `fs.nr_open`: how far `RLIMIT_NOFILE` can be raised.
pub(super) fn nr_open(load: &Load) -> Limit {
    let limit =
        Limit::new("fs.nr_open", Grade::Ceiling, Unit::Count, "the ceiling of every RLIMIT_NOFILE");
    let nr_open = load.facts.number("fs.nr_open");
    let mut limit = table(load, limit, nr_open);
    if load.facts.open_files_raisable == Some(false) && load.facts.open_files_max <= nr_open {
        // No table here ever grows so far that this one matters.
        limit.permits = None;
        limit.standing = Standing::Fits;
    }
    if limit.is_short() {
        limit.cures = cures(load, true, |files| Cure::sysctl("fs.nr_open", files));
    }
    limit
}

/// Weighs a limit on the size of one table.
fn table(load: &Load, limit: Limit, files: Option<u64>) -> Limit {
    if files.is_some_and(|files| files >= ENDLESS) {
        return limit.standing(Standing::Unlimited);
    }
    let needs = load.connections.map(|n| files_of_a_table(load, n));
    let permits = files.map(|files| held(files, load.reactors, load.target.private_tables));
    load.with(limit, files, needs, permits)
}

/// Connections of all reactors together where a table has so many descriptors.
pub(super) fn held(files: u64, reactors: usize, private: bool) -> u64 {
    (fd_table::capacity(files, reactors, private) as u64).saturating_mul(reactors as u64)
}

/// Descriptors a table must have for so many connections in all.
fn files_of_a_table(load: &Load, connections: u64) -> u64 {
    let reactors = load.reactors as u64;
    let share = connections.div_ceil(reactors);
    let sockets = if load.target.private_tables { share } else { share * reactors };
    sockets + FD_RESERVE as u64 + reactors
}

/// A larger table where it can be had, or more tables.
fn cures(load: &Load, can_grow: bool, grown: fn(u64) -> Cure) -> Vec<Cure> {
    let Some(connections) = load.connections else { return Vec::new() };
    let roomy = roomy_table(load, connections);
    let mut cures = Vec::new();
    if can_grow {
        cures.push(grown(roomy));
    }
    if let Some(threads) = enough_reactors(load, connections) {
        let mut lines = vec![format!("reactor.threads = {threads}")];
        if !load.target.private_tables {
            lines.push("reactor.private_fd_table = true".to_owned());
        }
        cures.push(Cure::new(Place::Configuration, lines));
    }
    if cures.is_empty() {
        let line = format!(
            "a hard limit of open files of {roomy} or more: {REACTORS_MAX} reactors do not make up for it"
        );
        cures.push(Cure::new(Place::Deed, [line]));
    }
    cures
}

/// A power of two, but not above `fs.nr_open` where that suffices: no limit can be set above it.
fn roomy_table(load: &Load, connections: u64) -> u64 {
    let roomy = files_of_a_table(load, with_reserve(connections)).next_power_of_two();
    match load.facts.number("fs.nr_open") {
        Some(nr_open) if nr_open >= files_of_a_table(load, connections) => roomy.min(nr_open),
        _ => roomy,
    }
}

/// The fewest reactors whose tables, as large as they can be now, hold that
/// many with a reserve; `None` if no number does.
pub(super) fn enough_reactors(load: &Load, connections: u64) -> Option<usize> {
    let nr_open = load.facts.number("fs.nr_open").unwrap_or(u64::MAX);
    let files = load.facts.open_files_max.unwrap_or(u64::MAX).min(nr_open);
    let wanted = with_reserve(connections);
    (load.reactors..=REACTORS_MAX).find(|reactors| held(files, *reactors, true) >= wanted)
}

/// A twentieth more: the kernel deals connections out by hash, never evenly,
/// and a table that is full closes its listener until others have left.
fn with_reserve(connections: u64) -> u64 {
    connections.saturating_add(connections.div_ceil(20))
}

fn unit_line(files: u64) -> Cure {
    Cure::new(Place::Unit, [format!("LimitNOFILE={files}")])
}

/// `fs.file-max`: open files of the whole host.
pub(super) fn file_max(load: &Load) -> Limit {
    let limit = Limit::new(
        "fs.file-max",
        Grade::Ceiling,
        Unit::Count,
        "open files of the host; beyond it ENFILE",
    );
    // Each reactor has a listener, an epoll instance and a bell.
    let own = (FD_RESERVE + 4 * load.reactors) as u64;
    let spare = load.facts.number("fs.file-nr").unwrap_or(0).saturating_add(own);
    let limit = load.weigh(limit, load.facts.number("fs.file-max"), spare, load.ends);
    sysctl_cure(limit, "fs.file-max")
}

/// `fs.epoll.max_user_watches`: sockets that all epoll instances of a user watch.
pub(super) fn epoll_watches(load: &Load) -> Limit {
    let key = "fs.epoll.max_user_watches";
    let limit =
        Limit::new(key, Grade::Ceiling, Unit::Count, "sockets watched by a user; beyond it ENOSPC");
    // The bell and the listener of each reactor.
    let spare = 2 * load.reactors as u64;
    sysctl_cure(load.weigh(limit, load.facts.number(key), spare, load.ends), key)
}

/// A short limit of things gets the line that makes it large enough.
pub(super) fn sysctl_cure(mut limit: Limit, key: &str) -> Limit {
    if let (true, Some(Need::AtLeast(needs))) = (limit.is_short(), limit.needs) {
        limit.cures = vec![Cure::sysctl(key, super::roomy(needs))];
    }
    limit
}
