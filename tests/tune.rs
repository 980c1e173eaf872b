//! `scripts/tune` from outside: on an invented host, and once for real.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SHIPPED: &str = include_str!("../sysctl/99-millgate.conf");

/// A host, its memory of what was, and its /etc: all in one folder.
struct Host {
    folder: tempfile::TempDir,
    proc: PathBuf,
}

impl Host {
    /// An invented one with this much RAM and these settings.
    fn invented(gibibytes: u64, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proc = folder.path().join("proc");
        let host = Self { folder, proc };
        fs::create_dir_all(&host.proc).unwrap();
        let meminfo = format!("MemTotal: {} kB\n", gibibytes << 20);
        fs::write(host.proc.join("meminfo"), meminfo).unwrap();
        for (key, value) in settings {
            let path = host.path(key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{}\n", value.replace(' ', "\t"))).unwrap();
        }
        host
    }

    /// The one the test runs on; only its memory and its /etc are invented.
    fn real() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), proc: PathBuf::from("/proc") }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.proc.join("sys").join(key.replace('.', "/"))
    }

    fn now(&self, key: &str) -> String {
        let text = fs::read_to_string(self.path(key)).unwrap();
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn before(&self) -> PathBuf {
        self.folder.path().join("lib/sysctl.before")
    }

    fn persistent(&self) -> PathBuf {
        self.folder.path().join("etc/99-millgate.conf")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tune");
        let mut command = Command::new(script);
        command
            .args(arguments)
            .env("MILLGATE_TUNE_PROC", &self.proc)
            .env("MILLGATE_TUNE_BEFORE", self.before())
            .env("MILLGATE_TUNE_PERSISTENT", self.persistent());
        command
    }

    /// Runs it and insists on the exit status.
    fn tune(&self, arguments: &[&str], status: i32) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
        said(&output)
    }

    /// The same with a file of these lines.
    fn tune_with(&self, lines: &str, arguments: &[&str], status: i32) -> String {
        let file = self.folder.path().join("settings.conf");
        fs::write(&file, lines).unwrap();
        self.tune(&[arguments, &["--file", file.to_str().unwrap()]].concat(), status)
    }
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(text).unwrap()
}

/// Keys of a settings file.
fn keys(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.split_once('=')?.0.trim().trim_start_matches('-')))
}

/// Puts the kernel's settings back, however the test ends.
struct Restore(Vec<(PathBuf, String)>);

impl Restore {
    fn of<'a>(host: &Host, keys: impl Iterator<Item = &'a str>) -> Self {
        let paths = keys.map(|key| host.path(key)).filter(|path| path.exists());
        Self(paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect())
    }

    fn now(&self) -> Vec<(PathBuf, String)> {
        let read = |(path, _): &(PathBuf, String)| {
            (path.clone(), fs::read_to_string(path).unwrap_or_default())
        };
        self.0.iter().map(read).collect()
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        for (path, was) in &self.0 {
            if fs::read_to_string(path).ok().as_ref() != Some(was) {
                // A test that has failed already says more than this could.
                let _unheard = fs::write(path, was);
            }
        }
    }
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: kernel settings can be changed by root alone");
    }
    root
}

/// Not in a container, whose root sees them but may not write.
fn settings_can_be_written() -> bool {
    let path = Path::new("/proc/sys/net/core/somaxconn");
    let written = fs::read(path).and_then(|value| fs::write(path, value));
    if let Err(error) = &written {
        println!("SKIPPED: kernel settings cannot be changed here: {error}");
    }
    written.is_ok()
}

/// The shipped file on this very kernel, in a window of a second at most; then
/// a smaller one with an installed file. One test, since settings are global.
#[test]
fn what_was_applied_is_undone() {
    if !is_root() || !settings_can_be_written() {
        return;
    }
    let host = Host::real();
    let restore = Restore::of(&host, keys(SHIPPED));
    let first = host.command(&["--apply"]).output().unwrap();
    let check = host.command(&["--check"]).output().unwrap();
    let memory = fs::read_to_string(host.before());
    let second = host.command(&["--apply"]).output().unwrap();
    let memory_after = fs::read_to_string(host.before());
    let undo = host.command(&["--undo"]).output().unwrap();
    // Only now may anything fail.
    for output in [&first, &check, &second, &undo] {
        assert!(output.status.success(), "{}", said(output));
    }
    assert!(!said(&check).contains("differs"), "{}", said(&check));
    assert!(said(&second).contains("all settings are as wanted"), "{}", said(&second));
    assert_eq!(memory.ok(), memory_after.ok());
    assert_eq!(restore.now(), restore.0);
    assert!(!host.before().exists());

    let somaxconn: u64 = host.now("net.core.somaxconn").parse().unwrap();
    let lines = format!("net.core.somaxconn = {}\nnet.ipv4.no_such_key = 1\n", somaxconn + 1);
    let text = host.tune_with(&lines, &["--apply", "--persist"], 0);
    let applied = host.now("net.core.somaxconn");
    host.tune(&["--undo"], 0);
    assert_eq!(applied, (somaxconn + 1).to_string());
    assert!(text.contains("net.ipv4.no_such_key: not on this kernel, left alone"), "{text}");
    assert_eq!(restore.now(), restore.0);
    assert!(!host.persistent().exists());
}

#[test]
fn only_root_changes_anything() {
    if !is_root() {
        return;
    }
    let host = Host::real();
    // Where the repository lies, others may not be allowed to look.
    let script = host.folder.path().join("tune");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tune"), &script).unwrap();
    let settings = host.folder.path().join("settings.conf");
    fs::write(&settings, "net.core.somaxconn = 1\n").unwrap();
    fs::set_permissions(host.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    const NOBODY: u32 = 65_534;
    for deed in ["--apply", "--undo"] {
        let mut command = Command::new(&script);
        command.args([deed, "--file"]).arg(&settings).env("MILLGATE_TUNE_BEFORE", host.before());
        let output = command.current_dir("/").uid(NOBODY).gid(NOBODY).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(said(&output), format!("tune: {deed} needs root: sudo scripts/tune {deed}\n"));
    }
}

const SMALL_HOST: [(&str, &str); 6] = [
    ("net.ipv4.tcp_mem", "45000 60000 90000"),
    ("net.ipv4.tcp_rmem", "4096 87380 6291456"),
    ("net.ipv4.tcp_wmem", "4096 16384 262144"),
    ("net.core.somaxconn", "100000"),
    ("net.ipv4.tcp_retries2", "15"),
    ("fs.file-max", "9223372036854775807"),
];

#[test]
fn the_shipped_file_is_fitted_to_the_host() {
    let host = Host::invented(4, &SMALL_HOST);
    let text = host.tune(&["--apply", "--persist"], 0);
    assert!(text.contains("fs.nr_open: not on this kernel, left alone"), "{text}");
    // Two fifths of 4 GiB, in pages; the others in proportion.
    let page = rustix::param::page_size() as u64;
    let top = ((4 << 30) / page) * 2 / 5;
    let share = |part: u64| (part * top / 2_097_152).to_string();
    let tcp_mem = [share(1_048_576), share(1_572_864), top.to_string()].join(" ");
    let fitted: BTreeMap<&str, &str> = BTreeMap::from([
        ("net.ipv4.tcp_mem", tcp_mem.as_str()),
        ("net.ipv4.tcp_rmem", "4096 87380 1048576"),
        ("net.ipv4.tcp_wmem", "4096 16384 262144"),
        ("net.core.somaxconn", "100000"),
        ("net.ipv4.tcp_retries2", "8"),
        ("fs.file-max", "9223372036854775807"),
    ]);
    let installed = fs::read_to_string(host.persistent()).unwrap();
    for (key, value) in &fitted {
        assert_eq!(host.now(key), *value, "{key}");
        assert!(installed.contains(&format!("\n{key} = {value}\n")), "{key}: {installed}");
    }
    // What is missing here must not be an error at the next boot.
    assert!(installed.contains("\n-fs.nr_open = 2097152\n"), "{installed}");
    assert!(installed.contains("\n# In pages of 4 KiB"), "{installed}");
    host.tune(&["--check"], 0);
    host.tune(&["--undo"], 0);
    for (key, value) in SMALL_HOST {
        assert_eq!(host.now(key), value, "{key}");
    }
    assert!(!host.persistent().exists() && !host.before().exists());
}

#[test]
fn the_first_memory_counts() {
    let host = Host::invented(32, &[("net.core.somaxconn", "4096"), ("vm.max_map_count", "7")]);
    host.tune_with("net.core.somaxconn = 5000\n", &["--apply"], 0);
    let more = "net.core.somaxconn = 6000\n-vm/max_map_count=8\n";
    host.tune_with(more, &["--apply"], 0);
    assert_eq!(
        (host.now("net.core.somaxconn"), host.now("vm.max_map_count")),
        ("6000".to_owned(), "8".to_owned())
    );
    // A host that has changed meanwhile, as by an update of the kernel.
    fs::remove_file(host.path("vm.max_map_count")).unwrap();
    let text = host.tune(&["--undo"], 0);
    assert!(text.contains("vm.max_map_count: no longer on this kernel"), "{text}");
    assert_eq!(host.now("net.core.somaxconn"), "4096");
    assert!(host.tune(&["--undo"], 0).starts_with("nothing to undo"));
}

#[test]
fn a_persistent_file_of_before_comes_back() {
    let host = Host::invented(32, &[("net.core.somaxconn", "4096")]);
    fs::create_dir_all(host.persistent().parent().unwrap()).unwrap();
    fs::write(host.persistent(), "# by hand\n").unwrap();
    for value in [5_000, 6_000] {
        let lines = format!("net.core.somaxconn = {value}\n");
        host.tune_with(&lines, &["--apply", "--persist"], 0);
        assert_eq!(fs::read_to_string(host.persistent()).unwrap(), lines);
    }
    host.tune(&["--undo"], 0);
    assert_eq!(fs::read_to_string(host.persistent()).unwrap(), "# by hand\n");
    assert_eq!(host.now("net.core.somaxconn"), "4096");
}

#[test]
fn check_shows_each_line_and_changes_nothing() {
    let host = Host::invented(32, &[("net.core.somaxconn", "4096"), ("net.ipv4.tcp_sack", "1")]);
    let lines = "net.core.somaxconn = 5000\nnet.ipv4.tcp_sack = 1\nfs.nr_open = 9\n";
    for arguments in [&[][..], &["--check"]] {
        let text = host.tune_with(lines, arguments, 1);
        let words: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
        assert_eq!(words[1], ["differs", "net.core.somaxconn", "4096", "5000"]);
        assert_eq!(words[2], ["ok", "net.ipv4.tcp_sack", "1", "1"]);
        assert_eq!(words[3], ["absent", "fs.nr_open", "-", "9"]);
    }
    assert_eq!(host.now("net.core.somaxconn"), "4096");
    assert!(!host.before().exists());
    host.tune_with("net.ipv4.tcp_sack = 1\n", &[], 0);
}

#[test]
fn folklore_is_refused() {
    let host = Host::invented(
        32,
        &[("net.core.somaxconn", "4096"), ("net.ipv4.tcp_max_orphans", "131072")],
    );
    for line in [
        "net.ipv4.tcp_tw_recycle = 1",
        "net.ipv4.tcp_mem = 4096 87380 4194304",
        "net.ipv4.tcp_mem = 94500 131072 196608",
        "net.ipv4.tcp_mem = 3000000 2000000 4000000",
        "net.ipv4.tcp_mem = 2097152",
        "net.ipv4.tcp_rmem = 4096 4096 16777216",
        "net.ipv4.tcp_wmem = 4096 16384 16384",
        "net.core.rmem_max = 16384",
        "net.core.wmem_max=16384",
        "net.ipv4.tcp_timestamps = 0",
        "net/ipv4/tcp_sack = 0",
        "-net.ipv4.tcp_syncookies = 0",
        "net.ipv4.tcp_window_scaling = 0",
        "net.ipv4.tcp_abort_on_overflow = 1",
        "net.ipv4.tcp_fin_timeout = 15",
        "net.ipv4.tcp_max_orphans = 16384",
        "net.ipv4.tcp_max_tw_buckets = 6000",
        "net.core.somaxconn = 0x10000",
        "net.core.somaxconn = 1e5",
    ] {
        for deed in ["--check", "--apply"] {
            let text = host.tune_with(&format!("net.core.somaxconn = 9\n{line}\n"), &[deed], 2);
            let first = text.lines().next().unwrap();
            let setting = line.trim_start_matches('-').replace('/', ".");
            let key = setting.split('=').next().unwrap().trim();
            assert!(first.contains(&format!("settings.conf:2: {key} = ")), "{text}");
            assert!(first.contains(" refused: "), "{text}");
            assert!(text.ends_with("tune: nothing was changed\n"), "{text}");
        }
    }
    assert_eq!(host.now("net.core.somaxconn"), "4096");
    assert!(!host.before().exists());
    let fine = "net.ipv4.tcp_congestion_control = bbr\nnet.core.default_qdisc = fq\n\
                net.ipv4.ip_local_reserved_ports = 8080,8089\nnet.ipv4.tcp_timestamps = 2\n";
    host.tune_with(fine, &["--check"], 0);
}

/// Where the shipped values are small for the RAM, they are no folklore.
#[test]
fn a_host_of_a_terabyte_is_left_as_it_is() {
    let host = Host::invented(1_024, &[("net.ipv4.tcp_mem", "12288000 16384000 24576000")]);
    host.tune(&["--apply"], 0);
    assert_eq!(host.now("net.ipv4.tcp_mem"), "12288000 16384000 24576000");
}

#[test]
fn wrong_usage_is_one_line() {
    let host = Host::invented(1, &[]);
    for (arguments, line) in [
        (&["--fly"][..], "tune: unknown argument \"--fly\", see scripts/tune --help\n"),
        (&["--apply", "--undo"], "tune: --apply and --undo exclude each other\n"),
        (&["--persist"], "tune: --persist goes with --apply\n"),
        (&["--file"], "tune: --file needs a file\n"),
        (&["--file", "/nowhere/x.conf"], "tune: /nowhere/x.conf: cannot be read\n"),
    ] {
        assert_eq!(host.tune(arguments, 2), line);
    }
    for lines in ["net.core.somaxconn\n", "../../etc/x = 1\n", "a b = 1\n", "fs.nr_open =\n", "#\n"]
    {
        let text = host.tune_with(lines, &["--apply"], 2);
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert!(host.tune(&["--help"], 0).starts_with("Usage: scripts/tune"));
}

#[test]
fn what_cannot_be_set_is_named_and_stays_remembered() {
    let key = "net.ipv4.tcp_retries2";
    let host = Host::invented(32, &[(key, "15"), ("net.ipv4.tcp_migrate_req", "0")]);
    fs::remove_file(host.path(key)).unwrap();
    // Nobody may write this one, not even root.
    let fixed = Path::new("/proc/sys/kernel/ngroups_max");
    std::os::unix::fs::symlink(fixed, host.path(key)).unwrap();
    let lines = format!("{key} = 8\nnet.ipv4.tcp_migrate_req = 1\n");
    let text = host.tune_with(&lines, &["--apply"], 1);
    assert!(text.contains(&format!("tune: {key}: cannot be set to 8\n")), "{text}");
    assert_eq!(host.now("net.ipv4.tcp_migrate_req"), "1");
    let before = fs::read_to_string(host.before()).unwrap();
    assert_eq!(before, format!("{key} = {}\nnet.ipv4.tcp_migrate_req = 0\n", host.now(key)));
    // It is what it was: nothing fails on the way back.
    host.tune(&["--undo"], 0);
    assert_eq!(host.now("net.ipv4.tcp_migrate_req"), "0");
}
