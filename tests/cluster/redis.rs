//! A Redis of a test's own.

use crate::nodes::eventually;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server that keeps nothing on disk.
pub struct Redis {
    child: Child,
    addr: SocketAddr,
}

impl Redis {
    pub fn start() -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], free_port())))
    }

    /// The same at an address of this host, for whoever can reach it.
    pub fn on(addr: SocketAddr) -> Self {
        let (host, port) = (addr.ip().to_string(), addr.port().to_string());
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", &host, "--protected-mode", "no", "--save", ""])
            .args(["--appendonly", "no", "--dir", "/tmp", "--daemonize", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = Self { child, addr };
        eventually("Redis answers", || server.ask(&["PING"]).is_some_and(|a| a == "+PONG\r\n"));
        server
    }

    pub fn addr(&self) -> String {
        self.addr.to_string()
    }

    /// kill -9, and whatever it knew is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }

    /// Starts again after [`Redis::kill`], empty, on the same port.
    pub fn restart(&mut self) {
        *self = Self::on(self.addr);
    }

    /// It keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// The raw answer to a command; `None` if there is none within a moment.
    pub fn ask(&self, words: &[&str]) -> Option<String> {
        let mut socket = TcpStream::connect_timeout(&self.addr, MOMENT).ok()?;
        socket.set_read_timeout(Some(MOMENT)).ok()?;
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        socket.write_all(command.as_bytes()).ok()?;
        let mut answer = vec![0; 65_536];
        let n = socket.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..n]).into_owned())
    }

    /// A user's record, as text; empty if there is none.
    pub fn record(&self, app: u32, user: &str) -> String {
        self.ask(&["GET", &format!("acc:user:online:{app}_{user}")]).unwrap_or_default()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed already, or be frozen: -9 ends both.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

const MOMENT: Duration = Duration::from_millis(500);

fn free_port() -> u16 {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a free port");
    probe.local_addr().expect("it is bound").port()
}
