//! A whole gateway in this process, on ports of its own.

use super::Answer;
use crossbeam_channel::Sender;
use millgate::config::{Config, Listener, Loaded, Secret};
use millgate::gateway::{Gateway, Source, StartError};
use millgate::link::{Order, Wish};
use millgate::logging::{Controls, DroppedLines};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use ureq::RequestBuilder;

pub struct Node {
    websocket: SocketAddr,
    listeners: Vec<Listener>,
    http: SocketAddr,
    http_listeners: Vec<Listener>,
    grpc: Option<SocketAddr>,
    admin_key: Option<Secret>,
    orders: Sender<Order>,
    /// What a reload reads.
    written: Arc<Mutex<Config>>,
    running: Option<JoinHandle<()>>,
}

impl Node {
    /// With the defaults, but on loopback and free ports, two reactors, and an
    /// echo endpoint on `/echo`.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::open(change, DroppedLines::default())
    }

    /// Beside a log that loses lines.
    pub fn logging(dropped: DroppedLines) -> Self {
        Self::open(|_| {}, dropped)
    }

    /// The same where it may fail: the places that it is to listen at may be taken.
    pub fn try_with(change: impl FnOnce(&mut Config)) -> Option<Self> {
        Self::run(Self::config(change), DroppedLines::default()).ok()
    }

    fn open(change: impl FnOnce(&mut Config), dropped: DroppedLines) -> Self {
        Self::run(Self::config(change), dropped).expect("the gateway starts")
    }

    fn run(config: Config, dropped: DroppedLines) -> Result<Self, StartError> {
        let written = Arc::new(Mutex::new(config.clone()));
        let gateway = Gateway::start(config, dropped)?;
        let reread = Arc::clone(&written);
        let read = move || {
            let config = reread.lock().expect("whole").clone();
            Ok(Loaded { config, ..Loaded::default() })
        };
        Ok(Self {
            websocket: gateway.websocket_addr(),
            listeners: gateway.websocket_listeners(),
            http: gateway.http_addr(),
            http_listeners: gateway.http_listeners().to_vec(),
            grpc: gateway.grpc_addr(),
            admin_key: gateway.admin_key().cloned(),
            orders: gateway.orders(),
            written,
            running: Some(std::thread::spawn(move || {
                gateway.run(Source { read, log: Controls::default() });
            })),
        })
    }

    fn config(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        config.listen.websocket = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        config.listen.http = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        config.reactor.threads = 2;
        config.reactor.pin = false;
        config.echo.path = "/echo".into();
        // Clients that a test has forgotten do not answer a close.
        config.stop.timeout = Duration::from_millis(300);
        change(&mut config);
        config
    }

    /// Changes the configuration and has it read again; the answer's data.
    pub fn reload(&self, change: impl FnOnce(&mut Config)) -> Value {
        data(self.try_reload(change))
    }

    /// Changes the configuration that the next reload reads.
    pub fn write(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.written.lock().expect("whole"));
    }

    /// The same where it may be refused.
    pub fn try_reload(&self, change: impl FnOnce(&mut Config)) -> (u16, String) {
        self.write(change);
        self.post("/admin/reload", &[])
    }

    /// Waits for the end that somebody has asked it for.
    pub fn ended(mut self) {
        let running = self.running.take().expect("not stopped yet");
        running.join().expect("it ends in good order");
    }

    pub fn websocket(&self) -> SocketAddr {
        self.websocket
    }

    /// All places where clients are listened for.
    pub fn listeners(&self) -> Vec<Listener> {
        self.listeners.clone()
    }

    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// All places where the API is served.
    pub fn http_listeners(&self) -> &[Listener] {
        &self.http_listeners
    }

    /// Where other nodes are listened for, in a cluster.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc.expect("it is in a cluster")
    }

    /// Ends it in good order.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(running) = self.running.take() else { return };
        // It may have ended by itself, drained.
        let _asked = self.orders.send(Order::Drain { wish: Wish::default(), answer: None });
        running.join().expect("it ends in good order");
    }

    /// The key that a node without any in its configuration has made; empty if there are some.
    pub fn admin_key(&self) -> &str {
        self.admin_key.as_ref().map_or("", Secret::reveal)
    }

    fn key_for(&self, path: &str) -> Option<&str> {
        self.admin_key.as_ref().filter(|_| path.starts_with("/admin")).map(Secret::reveal)
    }

    fn with_key_for<B>(&self, path: &str, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match self.key_for(path) {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        }
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        let request = agent().get(format!("http://{}{path}", self.http()));
        answer(self.with_key_for(path, request).call())
    }

    /// The `data` of an API answer, which must be a success.
    pub fn get_data(&self, path: &str) -> Value {
        data(self.get(path))
    }

    /// Asks until the answer is as it should be.
    pub fn await_data(&self, path: &str, as_it_should_be: impl Fn(&Value) -> bool) -> Value {
        let mut data = Value::Null;
        for _ in 0..5_000 {
            data = self.get_data(path);
            if as_it_should_be(&data) {
                return data;
            }
        }
        panic!("{path} stays {data}");
    }

    /// Status and body of a POST of form fields.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let url = format!("http://{}{path}", self.http());
        let request = self.with_key_for(path, agent().post(url));
        answer(request.send_form(fields.iter().copied()))
    }

    pub fn post_data(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        data(self.post(path, fields))
    }

    /// The whole answer to a request without a body.
    pub fn request(&self, verb: &str, path: &str) -> Answer {
        let key = match self.key_for(path) {
            Some(key) => format!("X-API-Key: {key}\r\n"),
            None => String::new(),
        };
        let request =
            format!("{verb} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}\r\n");
        self.raw(request.as_bytes())
    }

    /// The whole answer to a POST of any body.
    pub fn send(&self, path: &str, content_type: &str, body: &str) -> Answer {
        let len = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
             Content-Type: {content_type}\r\nContent-Length: {len}\r\n\r\n"
        );
        self.raw((head + body).as_bytes())
    }

    /// The whole answer to these bytes, which must make the server close.
    pub fn raw(&self, request: &[u8]) -> Answer {
        Answer::to(self.http(), request)
    }

    /// The value of a metric, summed over its labels; `name` may carry some.
    pub fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        let of_name =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let value = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse::<f64>().ok());
        text.lines().filter(of_name).filter_map(value).sum()
    }

    /// Asks for a metric until it is as it should be: gauges follow at the end of a turn.
    pub fn await_metric(&self, name: &str, as_it_should_be: impl Fn(f64) -> bool) {
        let mut value = f64::NAN;
        for _ in 0..5_000 {
            value = self.metric(name);
            if as_it_should_be(value) {
                return;
            }
        }
        panic!("{name} stays {value}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end();
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)));
    config.build().into()
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = result.expect("an answer");
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_string();
    (status, body.expect("a body"))
}

fn data((status, body): (u16, String)) -> Value {
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["code"], 200, "{body}");
    answer["data"].clone()
}
