//! A server under measurement: a process of its own, looked at through /proc.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; killed when it goes out of scope.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// The gateway with one reactor and its echo endpoint, announcing as `exact_up_to` says.
    pub(crate) fn gateway(binary: &Path, threads: usize, settings: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(binary);
        command.args(["serve", "--websocket", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--threads", &threads.to_string(), "--set", "echo.path=/echo"]);
        command.args(["--set", "log.format=json"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let stderr = process.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut lines = BufReader::new(stderr).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            let after = line.split_once("\"websocket\":\"")?.1;
            after.split_once('"')?.0.parse().ok()
        });
        // The log must not fill its pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self::running(process, address)
    }

    /// The bare loop of this very binary.
    pub(crate) fn bare() -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.arg("bare-echo").stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let line = BufReader::new(stdout).lines().next().transpose()?;
        let address = line.and_then(|line| line.parse().ok());
        Self::running(process, address)
    }

    fn running(mut process: Child, address: Option<SocketAddr>) -> io::Result<Self> {
        match address {
            Some(address) => Ok(Self { process, address }),
            None => {
                let status = process.wait()?;
                Err(io::Error::other(format!("the server ended at once: {status}")))
            }
        }
    }

    /// CPU time of all its threads, to the nanosecond (kernel: `proc/<pid>/schedstat`).
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
            let ran = schedstat.split(' ').next().and_then(|word| word.parse::<u64>().ok());
            total += ran.unwrap_or(0);
        }
        Ok(Duration::from_nanos(total))
    }

    /// Resident anonymous memory in bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        let kibibytes = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
        kibibytes
            .and_then(|number| number.parse::<u64>().ok())
            .map(|number| number * 1_024)
            .ok_or_else(|| io::Error::other("no Anonymous: in smaps_rollup"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}
