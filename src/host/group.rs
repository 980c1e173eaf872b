//! Control groups around this process, of either version.

use super::doctor::Room;
use std::fs;
use std::path::{Path, PathBuf};

/// The tightest limits on the way from this process's groups to the top.
#[derive(Debug, Default)]
pub(in crate::host) struct Groups {
    /// Memory in bytes.
    pub(in crate::host) memory: Option<Room>,
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
                keep(&mut groups.memory, tightest(&mount, path, memory_2));
                keep(&mut groups.threads, tightest(&mount, path, threads));
            }
        }
        if has("memory") {
            keep(&mut groups.memory, tightest(&mounts.join("memory"), path, memory_1));
        }
        if has("pids") {
            keep(&mut groups.threads, tightest(&mounts.join("pids"), path, threads));
        }
    }
    groups
}

/// What `read` says of a group and all those around it, the one with the least left.
/// Where a container sees its group as the top, only the top is found.
fn tightest(mount: &Path, path: &str, read: fn(&Path) -> Option<Room>) -> Option<Room> {
    let inside = PathBuf::from(path.trim_start_matches('/'));
    inside.ancestors().filter_map(|group| read(&mount.join(group))).min_by_key(|room| room.left())
}

fn keep(best: &mut Option<Room>, found: Option<Room>) {
    *best = [*best, found].into_iter().flatten().min_by_key(|room| room.left());
}

fn memory_2(group: &Path) -> Option<Room> {
    let limit = number(&group.join("memory.max"))?;
    let used = number(&group.join("memory.current")).unwrap_or(0);
    Some(Room { limit, used: used.saturating_sub(cached(group, "inactive_file ")) })
}

fn memory_1(group: &Path) -> Option<Room> {
    let limit = number(&group.join("memory.limit_in_bytes"))?;
    let used = number(&group.join("memory.usage_in_bytes")).unwrap_or(0);
    let used = used.saturating_sub(cached(group, "total_inactive_file "));
    // Without a limit version 1 says the largest multiple of a page.
    (limit < 1 << 62).then_some(Room { limit, used })
}

fn threads(group: &Path) -> Option<Room> {
    let limit = number(&group.join("pids.max"))?;
    Some(Room { limit, used: number(&group.join("pids.current")).unwrap_or(0) })
}

/// File pages nobody looks at: they count as used, but give way.
fn cached(group: &Path, name: &str) -> u64 {
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
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
        assert_eq!(groups.threads, Some(Room { limit: 7, used: 0 }));
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
