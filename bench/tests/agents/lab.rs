//! Agents and coordinators as processes, and an echo server to aim at.

use crate::agent::Agent;
use millgate_bench::result::RunResult;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const BENCH: &str = env!("CARGO_BIN_EXE_millgate-bench");

pub(crate) fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(BENCH);
    command.args(arguments).env_remove("MILLGATE_BENCH_KEY").stdin(Stdio::null());
    command
}

/// Two agents' addresses, as the coordinator is given them.
pub(crate) fn both(agents: &[Agent; 2]) -> String {
    format!("{},{}", agents[0].address, agents[1].address)
}

/// A coordinator under way.
pub(crate) struct Lead {
    process: Child,
    said: BufReader<ChildStderr>,
}

impl Lead {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = bench(arguments);
        command.args(["--output-format", "json"]);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        let said = BufReader::new(process.stderr.take().unwrap());
        Self { process, said }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.process.id().try_into().unwrap()
    }

    /// Reads what it shows until a line has this in it.
    pub(crate) fn until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.said.read_line(&mut line).unwrap() > 0, "it has ended without {text:?}");
        }
    }

    /// Its exit code, and what it has said.
    pub(crate) fn outcome(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        (self.process.wait_with_output().unwrap().status.code(), said)
    }

    /// Its exit code, what it has found out, and what else it has said.
    pub(crate) fn end(mut self) -> (Option<i32>, RunResult, String) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        let done = self.process.wait_with_output().unwrap();
        let result = serde_json::from_slice(&done.stdout);
        (done.status.code(), result.unwrap_or_else(|error| panic!("{error}: {said}")), said)
    }
}

/// A coordinator that says only why it does nothing.
pub(crate) fn refusal(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(output.stdout.is_empty() && said.lines().count() == 1, "{said}");
    said
}

/// Answers every message with itself, over tungstenite. Counts who is connected.
pub(crate) struct Echo {
    pub(crate) url: String,
    address: std::net::SocketAddr,
    ended: Arc<AtomicBool>,
}

impl Echo {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { url: format!("ws://{address}/"), address, ended }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The one call that lets it look up.
        let _last = TcpStream::connect(self.address);
    }
}

fn answer(stream: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            return;
        }
    }
}
