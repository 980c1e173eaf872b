//! The program on a host that gives less than usual: it uses the next best and says so in a
//! line, or it ends at once with a line that says what is missing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Time for a start on a host that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs what follows under a system call filter: calls of these numbers fail with EPERM.
const FILTER: &str = r#"
import ctypes, os, struct, sys
numbers, program = [int(n) for n in sys.argv[1].split(",")], sys.argv[2:]
code = struct.pack("HBBI", 0x20, 0, 0, 0)
for number in numbers:
    code += struct.pack("HBBI", 0x15, 0, 1, number) + struct.pack("HBBI", 0x06, 0, 0, 0x00050001)
code += struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
class Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
memory = ctypes.create_string_buffer(code, len(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, ctypes.addressof(memory))), 0, 0) == 0
os.execvp(program[0], program)
"#;

const SERVE: [&str; 11] = [
    env!("CARGO_BIN_EXE_millgate"),
    "serve",
    "--websocket",
    "127.0.0.1:0",
    "--http",
    "127.0.0.1:0",
    "--threads",
    "2",
    "--set",
    "control.threads=2",
    "--log-level=info",
];

/// A node that is ended with the test.
struct Node {
    process: Child,
    lines: mpsc::Receiver<String>,
}

impl Node {
    fn start(mut command: Command) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        // Reads to the end whether the test wants it or not: a full pipe would stop the node.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _nobody_waits = tell.send(line);
            }
        });
        Self { process, lines }
    }

    /// What it says up to the line that contains `word`, or up to its end.
    fn says_up_to(&self, word: &str) -> String {
        let mut said = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                    if line.contains(word) {
                        return said;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return said,
                Err(RecvTimeoutError::Timeout) => panic!("it hangs; it said {said:?}"),
            }
        }
    }

    fn terminate(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    /// Its exit status, which has to come: stderr ends with the process.
    fn ends(&mut self) -> Option<i32> {
        self.says_up_to("no line has this");
        self.process.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _status = self.process.wait();
    }
}

/// A node that is refused these system calls; `None` where that cannot be tried.
fn filtered(calls: &str) -> Option<Node> {
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    if !cfg!(target_arch = "x86_64") || !has_python {
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", FILTER, calls]).args(SERVE);
    Some(Node::start(command))
}

#[test]
fn without_unshare_reactors_share_a_table() {
    const UNSHARE: &str = "272";
    let Some(mut node) = filtered(UNSHARE) else { return };
    let said = node.says_up_to("listening");
    let lines: Vec<_> = said.lines().filter(|line| line.contains("unshare")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].contains("WARN") && lines[0].contains("share one descriptor table"), "{said}");
    assert!(said.contains("listening"), "{said}");
    node.terminate();
    assert_eq!(node.ends(), Some(0));
}

#[test]
fn limits_that_cannot_be_raised_are_taken_as_they_are() {
    const PRLIMIT64_AND_SETRLIMIT: &str = "302,160";
    let Some(node) = filtered(PRLIMIT64_AND_SETRLIMIT) else { return };
    let said = node.says_up_to("listening");
    assert!(said.contains("listening"), "{said}");
}

#[test]
fn descriptors_that_are_missing_are_named() {
    for files in [4, 6, 9] {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={files}:{files}")).args(SERVE);
        let mut node = Node::start(command);
        let said = node.says_up_to("no line has this");
        assert_eq!(node.ends(), Some(1), "{files}: {said}");
        let last = said.lines().last().unwrap();
        assert!(last.contains("limit of open files"), "{files}: {said}");
        assert!(last.contains("(2)") && !said.contains("panicked"), "{files}: {said}");
    }
}

#[test]
fn threads_that_are_missing_are_named() {
    /// Nobody's, so that nobody else's threads count.
    const USER: u32 = 61_237;
    let is_root = rustix::process::geteuid().is_root();
    for threads in 1..=8 {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nproc={threads}")).arg("--core=0").args(SERVE);
        if is_root {
            command.uid(USER).gid(USER);
        }
        let mut node = Node::start(command);
        let said = node.says_up_to("no line has this");
        assert_eq!(node.ends(), Some(1), "{threads}: {said}");
        assert!(said.contains("threads are needed"), "{threads}: {said}");
        assert!(!said.contains("panicked"), "{threads}: {said}");
    }
}

#[test]
fn two_nodes_do_not_pin_to_the_same_core() {
    let node = |threads: usize| {
        let mut command = Command::new(SERVE[0]);
        command.args(&SERVE[1..6]).args(["--threads", &threads.to_string()]);
        let node = Node::start(command);
        let said = node.says_up_to("listening");
        (node, said)
    };
    let (_first, said) = node(1);
    assert!(said.contains("listening"), "{said}");
    let cores = std::thread::available_parallelism().unwrap().get();
    // One core is taken, by this node or by another one on this host.
    let (_second, said) = node(cores);
    assert!(said.contains("reactors are not pinned to cores"), "{said}");
    assert!(said.contains("listening"), "{said}");
}
