//! A whole gateway in this process, on ports of its own.

use super::Answer;
use millgate::config::{Config, Listener};
use millgate::gateway::Gateway;
use millgate::logging::DroppedLines;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

pub struct Node(Option<Gateway>);

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
        let gateway = Gateway::start(Self::config(change), DroppedLines::default());
        gateway.ok().map(|gateway| Self(Some(gateway)))
    }

    fn open(change: impl FnOnce(&mut Config), dropped: DroppedLines) -> Self {
        let gateway = Gateway::start(Self::config(change), dropped);
        Self(Some(gateway.expect("the gateway starts")))
    }

    fn config(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        config.listen.websocket = SocketAddr::from(([127, 0, 0, 1], 0)).into();
        config.listen.http = SocketAddr::from(([127, 0, 0, 1], 0));
        config.reactor.threads = 2;
        config.reactor.pin = false;
        config.echo.path = "/echo".into();
        // Clients that a test has forgotten do not answer a close.
        config.stop.timeout = Duration::from_millis(300);
        change(&mut config);
        config
    }

    fn gateway(&self) -> &Gateway {
        self.0.as_ref().expect("not stopped yet")
    }

    pub fn websocket(&self) -> SocketAddr {
        self.gateway().websocket_addr()
    }

    /// All places where clients are listened for.
    pub fn listeners(&self) -> Vec<Listener> {
        self.gateway().websocket_listeners()
    }

    pub fn http(&self) -> SocketAddr {
        self.gateway().http_addr()
    }

    /// Where other nodes are listened for, in a cluster.
    pub fn grpc(&self) -> SocketAddr {
        self.gateway().grpc_addr().expect("it is in a cluster")
    }

    /// Ends it in good order.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(gateway) = self.0.take() {
            gateway.stop();
        }
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        answer(agent().get(format!("http://{}{path}", self.http())).call())
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
        answer(agent().post(url).send_form(fields.iter().copied()))
    }

    pub fn post_data(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        data(self.post(path, fields))
    }

    /// The whole answer to a request without a body.
    pub fn request(&self, verb: &str, path: &str) -> Answer {
        let request = format!("{verb} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
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
