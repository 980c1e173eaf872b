//! The real program, which can be ended and started again on the same ports.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

pub struct Server {
    program: Child,
    websocket: SocketAddr,
    http: SocketAddr,
    /// Holds the file with its admin key.
    folder: TempDir,
}

impl Server {
    /// On free ports, with these settings besides.
    pub fn start(settings: &[&str]) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::listening(any, any, settings)
    }

    /// The same again, after it was stopped.
    pub fn start_again(&mut self) {
        self.start_again_with(&[]);
    }

    /// The same with other settings.
    pub fn start_again_with(&mut self, settings: &[&str]) {
        *self = Self::listening(self.websocket, self.http, settings);
    }

    /// Where clients connect to.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.websocket, self.http)
    }

    pub fn websocket_url(&self) -> String {
        format!("ws://{}/acc", self.websocket)
    }

    /// The origin of its pages under another name for this machine.
    pub fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.http.port())
    }

    fn listening(websocket: SocketAddr, http: SocketAddr, settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millgate"));
        command.args(["serve", "--threads", "2", "--log-level", "info"]);
        command.args(["--websocket", &websocket.to_string(), "--http", &http.to_string()]);
        command.args(["--set", "log.format=json", "--set", "reactor.pin=false"]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        let folder = tempfile::tempdir().expect("a folder");
        command.env("RUNTIME_DIRECTORY", folder.path());
        let mut program = command.stderr(Stdio::piped()).spawn().expect("the gateway starts");
        let mut lines = BufReader::new(program.stderr.take().expect("a pipe")).lines();
        let listening = loop {
            let line = lines.next().expect("it listens before it ends").expect("text");
            let line: Value = serde_json::from_str(&line).expect("a log line in JSON");
            if line["message"] == "listening" {
                break line;
            }
        };
        if !settings.iter().any(|setting| setting.starts_with("auth.keys")) {
            // Its key is written after that.
            lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("admin key")));
        }
        // Reads on, lest the program waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let address =
            |name: &str| listening[name].as_str().expect("text").parse().expect("address");
        Self { program, websocket: address("websocket"), http: address("http"), folder }
    }

    /// Ends in good order.
    pub fn stop(&mut self) {
        let pid = Pid::from_child(&self.program);
        if matches!(self.program.try_wait(), Ok(None)) {
            kill_process(pid, Signal::TERM).expect("it runs");
        }
        self.program.wait().expect("it ends");
    }

    /// Ends without a word to anybody.
    pub fn kill(&mut self) {
        self.program.kill().expect("it runs");
        self.program.wait().expect("it ends");
    }

    /// The value of a metric, which may carry labels.
    pub fn metric(&self, name: &str) -> f64 {
        let mut answer =
            ureq::get(format!("http://{}/metrics", self.http)).call().expect("answered");
        let text = answer.body_mut().read_to_string().expect("a page");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or(f64::NAN)
    }

    pub fn page(&self, app: u32) -> String {
        format!("http://{}/home/index?appID={app}", self.http)
    }

    /// Where operators look.
    pub fn admin_page(&self) -> String {
        format!("http://{}/admin", self.http)
    }

    /// The same as a terminal shows it, where there are no keys.
    pub fn admin_link(&self) -> String {
        format!("{}#key={}", self.admin_page(), self.admin_key())
    }

    /// The key that it has made.
    pub fn admin_key(&self) -> String {
        let file = self.folder.path().join(format!("admin-{}.key", self.http.port()));
        std::fs::read_to_string(file).expect("it is written").trim_end().to_owned()
    }

    /// Somebody who is no browser: connected and logged in.
    pub fn visitor(&self, app: u32, name: &str) -> Visitor {
        let url = format!("ws://{}/acc", self.websocket);
        let socket = TcpStream::connect(self.websocket).expect("connects");
        let (mut visitor, _) =
            tungstenite::client(url, MaybeTlsStream::Plain(socket)).expect("is let in");
        let login =
            serde_json::json!({"seq": "1", "cmd": "login", "data": {"userID": name, "appID": app}});
        visitor.send(Message::text(login.to_string())).expect("sent");
        let reply = visitor.read().expect("a reply").into_text().expect("text");
        assert!(reply.contains("\"code\":200"), "{reply}");
        visitor
    }

    /// Sends a message to all of a room, as a back-end would.
    pub fn say(&self, app: u32, from: &str, message: &str) {
        let form = [("appID", &*app.to_string()), ("userID", from), ("message", message)];
        ureq::post(format!("http://{}/user/sendMessageAll", self.http))
            .send_form(form)
            .expect("taken");
    }
}

pub type Visitor = WebSocket<MaybeTlsStream<TcpStream>>;

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed need not wait for an end in good order.
        let _may_have_ended = self.program.kill();
        let _reaped = self.program.wait();
    }
}
