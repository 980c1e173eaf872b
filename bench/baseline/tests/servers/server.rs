//! A server under test, and clients that check what it says.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::Duration;
use tungstenite::WebSocket;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;

/// The nonce whose accept key the bare loops answer with (RFC 6455 §1.3).
pub(crate) const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// What takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running server; killed when it goes out of scope.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Server {
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = stdout.next().expect("a line that says where it listens").unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let ["listening", address, "pid", pid] = words[..] else { panic!("{line}") };
        assert_eq!(pid.parse(), Ok(process.id()));
        Self { process, address: address.parse().unwrap(), stdout, stderr }
    }

    /// A client that has shaken hands.
    pub(crate) fn client(&self) -> WebSocket<TcpStream> {
        let mut request = format!("ws://{}/any/path", self.address).into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Key", HeaderValue::from_static(NONCE));
        tungstenite::client(request, self.connect()).unwrap().0
    }

    /// A client that has not said anything yet.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Gives an order on stdin.
    pub(crate) fn order(&mut self, line: &str) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line on stdout.
    pub(crate) fn says(&mut self) -> String {
        self.stdout.next().unwrap().unwrap()
    }

    /// The next line on stderr.
    pub(crate) fn complains(&mut self) -> String {
        self.stderr.next().unwrap().unwrap()
    }

    /// Whether it is still at work.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}
