//! An agent on a port that the kernel chooses.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// It ends with the test.
pub(crate) struct Agent {
    process: Child,
    pub(crate) address: String,
}

impl Agent {
    pub(crate) fn start(key: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millgate-bench"));
        command.args(["agent", "--listen", "127.0.0.1:0"]).env_remove("MILLGATE_BENCH_KEY");
        if let Some(key) = key {
            command.env("MILLGATE_BENCH_KEY", key);
        }
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("agent on ").unwrap().trim().to_owned();
        Self { process, address }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}
