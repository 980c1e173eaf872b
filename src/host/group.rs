//! Control groups around this process, of either version.

use super::doctor::Room;
use std::fs;
use std::path::{Path, PathBuf};

/// The tightest limits on the way from this process's groups to the top.
#[derive(Debug, Default)]
pub(in crate::host) struct Groups {
    /// Memory in bytes, of the group with the least left.
    pub(in crate::host) memory: Option<Room>,
    /// The least limit of memory, in bytes.
    pub(in crate::host) memory_limit_bytes: Option<u64>,
    /// Threads.
    pub(in crate::host) threads: Option<Room>,
}

/// Reads the groups that `memberships`, the text of /proc/self/cgroup, names.
pub(in crate::host) fn of(root: &Path, memberships: &str) -> Groups {
    let mut groups = Groups::default();
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let mounts = root.join("sys/fs/cgroup");
        let has = |name: &str| controllers.split(',').any(|controller| controller == name);
        if controllers.is_empty() {
            // Beside version 1, version 2 is mounted one deeper and has these controllers rarely.
            for mount in [mounts.clone(), mounts.join("unified")] {
                groups.keep_memory(&mount, path, memory_2);
                keep(&mut groups.threads, tightest(&mount, path, threads));
            }
        }
        if has("memory") {
            groups.keep_memory(&mounts.join("memory"), path, memory_1);
        }
        if has("pids") {
            keep(&mut groups.threads, tightest(&mounts.join("pids"), path, threads));
        }
    }
    groups
}

impl Groups {
    fn keep_memory(&mut self, mount: &Path, path: &str, read: fn(&Path) -> Option<Room>) {
        let rooms = all(mount, path, read);
        let least = rooms.iter().map(|room| room.limit).min();
        self.memory_limit_bytes = [self.memory_limit_bytes, least].into_iter().flatten().min();
        keep(&mut self.memory, rooms.into_iter().min_by_key(|room| room.left()));
    }
}

/// What `read` says of a group and all those around it.
/// Where a container sees its group as the top, only the top is found.
fn all(mount: &Path, path: &str, read: fn(&Path) -> Option<Room>) -> Vec<Room> {
    let inside = PathBuf::from(path.trim_start_matches('/'));
    inside.ancestors().filter_map(|group| read(&mount.join(group))).collect()
}

/// The one of them with the least left.
fn tightest(mount: &Path, path: &str, read: fn(&Path) -> Option<Room>) -> Option<Room> {
    all(mount, path, read).into_iter().min_by_key(|room| room.left())
}

fn keep(best: &mut Option<Room>, found: Option<Room>) {
    *best = [*best, found].into_iter().flatten().min_by_key(|room| room.left());
}

fn memory_2(group: &Path) -> Option<Room> {
    // Above `memory.high` the kernel slows the process down until it is of no use.
    let limits = [number(&group.join("memory.max")), number(&group.join("memory.high"))];
    let limit = limits.into_iter().flatten().min()?;
    let used = number(&group.join("memory.current")).unwrap_or(0);
    Some(Room { limit, used: used.saturating_sub(stat(group, "inactive_file ").unwrap_or(0)) })
}

fn memory_1(group: &Path) -> Option<Room> {
    let own = number(&group.join("memory.limit_in_bytes"))?;
    // That of a group above, which a container cannot see.
    let limit = own.min(stat(group, "hierarchical_memory_limit ").unwrap_or(u64::MAX));
    let used = number(&group.join("memory.usage_in_bytes")).unwrap_or(0);
    let used = used.saturating_sub(stat(group, "total_inactive_file ").unwrap_or(0));
    // Without a limit version 1 says the largest multiple of a page.
    (limit < 1 << 62).then_some(Room { limit, used })
}

fn threads(group: &Path) -> Option<Room> {
    let limit = number(&group.join("pids.max"))?;
    Some(Room { limit, used: number(&group.join("pids.current")).unwrap_or(0) })
}

/// A number of `memory.stat`. Inactive file pages count as used, but give way.
fn stat(group: &Path, name: &str) -> Option<u64> {
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.trim().parse().ok())
}

/// `None` for `max` as for a file that is not there.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join("sys/fs/cgroup").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn version_2_takes_the_tightest_on_the_way_up() {
        let host = host(&[
            ("a/b/memory.max", "max\n"),
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "700\n"),
            ("a/memory.stat", "anon 1\ninactive_file 200\nfile 3\n"),
            ("memory.max", "5000\n"),
            ("a/b/pids.max", "40\n"),
            ("a/b/pids.current", "2\n"),
            ("a/pids.max", "50\n"),
            ("a/pids.current", "20\n"),
        ]);
        let groups = of(host.path(), "0::/a/b\n");
        assert_eq!(groups.memory, Some(Room { limit: 1000, used: 500 }));
        assert_eq!(groups.threads, Some(Room { limit: 50, used: 20 }));
    }

    #[test]
    fn version_1_has_a_folder_for_each_controller() {
        let host = host(&[
            ("memory/x/memory.limit_in_bytes", "4096\n"),
            ("memory/x/memory.usage_in_bytes", "4000\n"),
            ("memory/x/memory.stat", "inactive_file 1\ntotal_inactive_file 96\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("pids/pids.max", "7\n"),
        ]);
        let groups = of(host.path(), "9:name=systemd:/\n8:cpu,pids:/\n4:memory:/x\n0::/\n");
        assert_eq!(groups.memory, Some(Room { limit: 4096, used: 3904 }));
        assert_eq!(groups.memory_limit_bytes, Some(4096));
        assert_eq!(groups.threads, Some(Room { limit: 7, used: 0 }));
    }

    #[test]
    fn limits_that_only_the_kernel_sees_count() {
        let host = host(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.stat", "hierarchical_memory_limit 8192\ntotal_inactive_file 0\n"),
            ("high/memory.max", "max\n"),
            ("high/memory.high", "2048\n"),
        ]);
        assert_eq!(of(host.path(), "4:memory:/\n").memory_limit_bytes, Some(8192));
        assert_eq!(of(host.path(), "0::/high\n").memory_limit_bytes, Some(2048));
    }

    #[test]
    fn without_a_limit_there_is_none() {
        let host = host(&[("memory/memory.limit_in_bytes", "9223372036854771712\n")]);
        let groups = of(host.path(), "nonsense\n4:memory:/gone\n0::/gone\n");
        assert_eq!((groups.memory, groups.threads), (None, None));
        let groups = of(host.path(), "");
        assert_eq!((groups.memory, groups.threads), (None, None));
    }
}
