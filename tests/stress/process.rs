//! The gateway as a process of its own, with a limit of descriptors of its own.

use crate::crowd::{PATIENCE, eventually};
use millgate::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tempfile::TempDir;

pub struct Process {
    child: Child,
    /// What it said before it listened.
    early: Vec<String>,
    log: Receiver<String>,
    websocket: SocketAddr,
    http: SocketAddr,
    agent: ureq::Agent,
    /// Holds the file with its admin key.
    folder: TempDir,
}

impl Process {
    /// Starts the program on free ports with these settings (`section.key=value`).
    pub fn start(settings: &[&str]) -> Self {
        Self::with_limit("-n", settings)
    }

    /// The same under another limit of open files; `-n` alone changes nothing.
    pub fn with_limit(ulimit: &str, settings: &[&str]) -> Self {
        Self::run(&mut command(ulimit, settings))
    }

    /// The same with a configuration file.
    pub fn with_file(file: &Path, settings: &[&str]) -> Self {
        Self::run(command("-n", settings).arg("--config").arg(file))
    }

    /// The same on a host whose clock is wrong by so much, such as `+60s`.
    pub fn with_clock(offset: &str, settings: &[&str]) -> Self {
        let mut command = command("-n", settings);
        // The loader puts the architecture's folder in the place of $LIB.
        command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1");
        // Time that passes is measured right, as on such a host.
        command.env("FAKETIME", offset).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Self::run(&mut command)
    }

    /// The same as a service, which tells this socket how it is.
    pub fn as_service(notify: &Path, settings: &[&str]) -> Self {
        Self::run(command("-n", settings).env("NOTIFY_SOCKET", notify))
    }

    fn run(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        command.env("RUNTIME_DIRECTORY", folder.path());
        let mut child = command.spawn().expect("the program starts");
        let log = lines(&mut child);
        let (clock, mut early) = (Clock::start(), Vec::new());
        loop {
            let left = PATIENCE.saturating_sub(clock.now());
            let line = log.recv_timeout(left).expect("it says that it listens");
            if let Some((websocket, http)) = listening(&line) {
                let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE));
                let agent = config.build().into();
                return Self { child, early, log, websocket, http, agent, folder };
            }
            early.push(line);
        }
    }

    pub fn websocket(&self) -> SocketAddr {
        self.websocket
    }

    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The header line with the key of an operator.
    pub fn admin_key(&self) -> String {
        let file = self.folder.path().join(format!("admin-{}.key", self.http.port()));
        eventually("its key is there", || {
            fs::read_to_string(&file).is_ok_and(|key| key.ends_with('\n'))
        });
        let key = fs::read_to_string(&file).expect("it is there");
        format!("X-API-Key: {}\r\n", key.trim_end())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for a line of its log that holds this text.
    pub fn await_line(&self, text: &str) -> String {
        let clock = Clock::start();
        loop {
            let left = PATIENCE.saturating_sub(clock.now());
            let line = self.log.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("no line with {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// What it said before it listened.
    pub fn early_lines(&self) -> &[String] {
        &self.early
    }

    /// Waits for its end, which is when nobody holds its log any more; returns what it has
    /// said, but for lines that were waited for.
    pub fn ended_within(mut self, limit: Duration) -> (ExitStatus, Vec<String>) {
        let later = until_end(&self.log, limit).expect("it ends in time");
        let mut lines = std::mem::take(&mut self.early);
        lines.extend(later);
        (self.child.wait().expect("it has ended"), lines)
    }

    /// The status and the text of `/readyz`.
    pub fn ready(&self) -> (u16, String) {
        let url = format!("http://{}/readyz", self.http);
        let asked = self.agent.get(url).config().http_status_as_error(false).build().call();
        let mut answer = asked.expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("text"))
    }

    /// The value of a metric, summed over its labels; `name` may carry some.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = self.agent.get(format!("http://{}/metrics", self.http)).call();
        let text = answer.expect("an answer").body_mut().read_to_string().expect("a page");
        let of_name =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let value = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse::<f64>().ok());
        text.lines().filter(of_name).filter_map(value).sum()
    }

    /// Descriptors in the tables of its reactor threads.
    pub fn reactor_descriptors(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        let tasks = tasks.map(|task| task.unwrap().path());
        let reactors = tasks.filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("reactor-"))
        });
        reactors.map(|task| fs::read_dir(task.join("fd")).unwrap().count()).sum()
    }

    /// Anonymous memory that is resident, in bytes, counted page by page
    /// (`status` is late by some pages for each core).
    pub fn resident_bytes(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1_024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// The program with a stderr that is full and that nobody reads.
pub struct Unheard {
    child: Child,
    websocket: SocketAddr,
    _stderr: BufReader<ChildStderr>,
}

impl Unheard {
    pub fn start(settings: &[&str]) -> Self {
        let mut child = command("-n", settings).spawn().expect("the program starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (websocket, _) = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).expect("text") > 0, "it says that it listens");
            if let Some(addresses) = listening(&line) {
                break addresses;
            }
        };
        fill(stderr.get_ref());
        Self { child, websocket, _stderr: stderr }
    }

    pub fn websocket(&self) -> SocketAddr {
        self.websocket
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Fills a pipe, opened anew: whoever else writes to it goes on to block.
fn fill(pipe: &ChildStderr) {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut end = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
    for piece in [&[b' '; 4_096][..], b" "] {
        let full = loop {
            if let Err(error) = end.write_all(piece) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
}

/// Where it listens, WebSocket and HTTP, if this line says so.
fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).expect("JSON");
    // Behind an address may be what comes first there, such as tls.
    let address = |key: &str| {
        let place = line[key].as_str().unwrap();
        place.split(' ').next().unwrap().parse().unwrap()
    };
    (line["message"] == "listening").then(|| (address("websocket"), address("http")))
}

/// Starts the program where it cannot start; returns how it ended and what it said.
pub fn failed_start(settings: &[&str]) -> (ExitStatus, Vec<String>) {
    let mut child = command("-n", settings).spawn().expect("the program starts");
    let lines = until_end(&lines(&mut child), PATIENCE);
    // Without effect on one that has ended.
    let _gone = child.kill();
    (child.wait().expect("it has ended"), lines.expect("it does not serve"))
}

/// Every line up to the end of the log; `None` if that does not come in time.
fn until_end(log: &Receiver<String>, limit: Duration) -> Option<Vec<String>> {
    let clock = Clock::start();
    let mut lines = Vec::new();
    loop {
        match log.recv_timeout(limit.saturating_sub(clock.now())) {
            Ok(line) => lines.push(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Some(lines),
            Err(mpsc::RecvTimeoutError::Timeout) => return None,
        }
    }
}

/// The program in a shell that sets its limit of open files and then becomes it.
fn command(ulimit: &str, settings: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit {ulimit} >/dev/null && exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_millgate")).arg("serve");
    let usual = ["listen.websocket=127.0.0.1:0", "listen.http=127.0.0.1:0", "log.format=json"];
    let more = ["reactor.threads=2", "reactor.pin=false", "log.level=info"];
    for setting in usual.iter().chain(&more).chain(settings) {
        command.arg("--set").arg(setting);
    }
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The lines of its log, read by a thread so that waiting can have a deadline.
fn lines(child: &mut Child) -> Receiver<String> {
    let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stderr.lines() {
            if line.is_ok_and(|line| tell.send(line).is_ok()) {
                continue;
            }
            return;
        }
    });
    told
}
