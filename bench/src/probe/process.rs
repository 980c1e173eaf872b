//! A process, looked at from outside.

use std::fs;
use std::io;
use std::time::Duration;

/// A process whose memory and CPU time are read from /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Self { pid: std::process::id() }
    }

    /// CPU time of all its living threads, to the nanosecond (kernel: `proc/<pid>/task/*/schedstat`).
    ///
    /// # Errors
    /// When the process is gone, or belongs to somebody else.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // A thread may end while its process goes on.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let ran = text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
            nanos += ran.unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Resident memory that is the process's own, exactly: the kernel walks its page tables.
    ///
    /// # Errors
    /// As [`Process::cpu`].
    pub fn memory_exact(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        kibibytes(&text, "Anonymous:")
            .ok_or_else(|| io::Error::other("no Anonymous: in smaps_rollup"))
    }

    /// The same from the kernel's running count, which may be off by some pages for every
    /// thread, but costs nothing.
    ///
    /// # Errors
    /// As [`Process::cpu`].
    pub fn memory(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        kibibytes(&text, "RssAnon:").ok_or_else(|| io::Error::other("no RssAnon: in status"))
    }

    /// Descriptors that one table of it may hold: its soft `RLIMIT_NOFILE`; `u64::MAX` without limit.
    ///
    /// # Errors
    /// As [`Process::cpu`].
    pub fn open_files_max(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/limits", self.pid))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
        let word = line.and_then(|line| line.split_ascii_whitespace().next());
        match word {
            Some("unlimited") => Ok(u64::MAX),
            word => word
                .and_then(|word| word.parse().ok())
                .ok_or_else(|| io::Error::other("no Max open files in limits")),
        }
    }

    /// Threads whose name begins with `prefix`.
    ///
    /// # Errors
    /// As [`Process::cpu`].
    pub fn threads_named(&self, prefix: &str) -> io::Result<usize> {
        let mut count = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let name = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
            count += usize::from(name.starts_with(prefix));
        }
        Ok(count)
    }
}

/// A line such as `Slab:   123 kB`, in bytes.
pub(super) fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|number| number * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_run() {
        let own = Process::own();
        assert!(own.cpu().unwrap() > Duration::ZERO);
        assert!(own.memory().unwrap() > 1 << 16);
        assert!(own.memory_exact().unwrap() > 1 << 16);
        assert!(own.open_files_max().unwrap() > 64);
    }

    #[test]
    fn threads_are_found_by_their_names() {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let (name, names) = std::sync::mpsc::channel();
        let work = move || {
            name.send(()).unwrap();
            ended.recv().unwrap_err()
        };
        let thread = std::thread::Builder::new().name("wanted-1".into()).spawn(work).unwrap();
        names.recv().unwrap();
        assert_eq!(Process::own().threads_named("wanted-").unwrap(), 1);
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let gone = Process { pid: u32::MAX };
        assert!(gone.open_files_max().is_err() && gone.threads_named("").is_err());
        assert!(gone.cpu().is_err() && gone.memory().is_err() && gone.memory_exact().is_err());
    }

    #[test]
    fn lines_are_read_in_bytes() {
        assert_eq!(kibibytes("A: 1 kB\nSlab:   12 kB\n", "Slab:"), Some(12_288));
        assert_eq!(kibibytes("Slab: much\n", "Slab:"), None);
    }
}
