//! The reference's `config/app.yaml`, taken as it is.

use super::draft::{Draft, Setting, unknown};
use super::known::nearest;
use figment::value::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// All keys of that file; the reference reads them whatever their case.
const KEYS: [&str; 11] = [
    "app.logFile",
    "app.httpPort",
    "app.webSocketPort",
    "app.rpcPort",
    "app.httpUrl",
    "app.webSocketUrl",
    "redis.addr",
    "redis.password",
    "redis.DB",
    "redis.poolSize",
    "redis.minIdleConns",
];

/// Every value as it is written: a port may be a number or a text, and a
/// password of digits stays what it is.
type Sections = BTreeMap<String, Option<BTreeMap<String, Option<String>>>>;

/// Reads such a file. Problems and notices go to the draft; `listen_path` is
/// what the page's WebSocket address ends in.
pub(super) fn read(draft: &mut Draft, origin: &str, text: &str, listen_path: &str) -> Vec<Setting> {
    let sections: Sections = match serde_saphyr::from_str(text) {
        Ok(sections) => sections,
        Err(error) => {
            draft.problems.push(syntax_problem(origin, &error));
            return Vec::new();
        }
    };
    let mut file = AppYaml { draft, origin, listen_path, settings: Vec::new() };
    for (section, keys) in sections {
        if !KEYS.iter().any(|key| is_section(key, &section)) {
            let near = nearest(&section, ["app", "redis"].into_iter());
            file.draft.problems.push(unknown(origin, "section", &section, near));
            continue;
        }
        for (key, value) in keys.into_iter().flatten() {
            file.read_key(&format!("{section}.{key}"), value.as_deref().unwrap_or_default());
        }
    }
    file.settings
}

struct AppYaml<'a> {
    draft: &'a mut Draft,
    origin: &'a str,
    listen_path: &'a str,
    settings: Vec<Setting>,
}

impl AppYaml<'_> {
    fn read_key(&mut self, said: &str, text: &str) {
        let Some(key) = KEYS.into_iter().find(|key| key.eq_ignore_ascii_case(said)) else {
            let near = nearest(said, KEYS.into_iter());
            return self.draft.problems.push(unknown(self.origin, "key", said, near));
        };
        match key {
            "app.logFile" => self.push("log.file", said, text),
            "app.webSocketPort" => self.push_port("listen.websocket", said, text, ANYWHERE),
            // The reference listens on every address with both, and asks nobody
            // for a key: whoever reaches the port can send to every user. Here
            // they are for this machine until the owner says otherwise.
            "app.httpPort" => {
                self.push_port("listen.http", said, text, LOOPBACK);
                self.notice_loopback("the HTTP API", "listen.http");
            }
            "app.rpcPort" => {
                self.push_port("listen.grpc", said, text, LOOPBACK);
                self.notice_loopback("gRPC", "listen.grpc");
            }
            "app.httpUrl" => self.push_url("page.http_url", said, text, "http", ""),
            "app.webSocketUrl" => {
                self.push_url("page.websocket_url", said, text, "ws", self.listen_path);
            }
            "redis.addr" => self.push("redis.addr", said, text),
            "redis.password" => self.push("redis.password", said, text),
            "redis.DB" => self.push("redis.db", said, text),
            "redis.poolSize" => self.push("redis.pool_size", said, text),
            _ => self.push("redis.min_idle_conns", said, text),
        }
    }

    fn push(&mut self, key: &str, said: &str, text: &str) {
        // An empty value is one that was not given.
        if text.is_empty() && key != "redis.password" && key != "log.file" {
            return;
        }
        let value = match key {
            "redis.password" => Value::from(text),
            _ => self.draft.known.value_of_text(key, text),
        };
        let origin = self.origin.to_owned();
        self.settings.push(Setting { key: key.to_owned(), value, said: said.to_owned(), origin });
    }

    fn push_port(&mut self, key: &str, said: &str, text: &str, host: Ipv4Addr) {
        if text.is_empty() {
            return;
        }
        match text.trim().parse::<u16>() {
            Ok(port) => self.push(key, said, &SocketAddr::from((host, port)).to_string()),
            Err(_) => self.expected(said, text, "a port from 0 to 65535"),
        }
    }

    /// The reference puts `host:port` into its page. One that names this machine
    /// only would send the browser of a phone to the phone itself; left empty,
    /// the page goes back to where it came from, which is right in both cases.
    fn push_url(&mut self, key: &str, said: &str, text: &str, scheme: &str, path: &str) {
        if text.contains(['/', '"', '<', '>']) || text.contains(char::is_whitespace) {
            return self.expected(said, text, "host:port");
        }
        if is_loopback(text) {
            return self.notice(&format!(
                "{said}: {text} is this machine only, so the page uses the address it came from"
            ));
        }
        if !text.is_empty() {
            self.push(key, said, &format!("{scheme}://{text}{path}"));
        }
    }

    fn expected(&mut self, said: &str, text: &str, what: &str) {
        let origin = self.origin;
        self.draft.problems.push(format!("{origin}: \"{said}\" is {text:?}, expected {what}"));
    }

    fn notice_loopback(&mut self, what: &str, key: &str) {
        if !self.draft.is_overridden(key) {
            self.notice(&format!("{what} stays on 127.0.0.1; set {key} to open it"));
        }
    }

    fn notice(&mut self, remark: &str) {
        self.draft.notices.push(format!("{}: {remark}", self.origin));
    }
}

const ANYWHERE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn is_section(key: &str, section: &str) -> bool {
    key.split_once('.').is_some_and(|(name, _)| name.eq_ignore_ascii_case(section))
}

fn is_loopback(url: &str) -> bool {
    let host = match url.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => url,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// One line, and without the excerpt: there may be a password in it.
fn syntax_problem(origin: &str, error: &serde_saphyr::Error) -> String {
    let error = error.without_snippet();
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    match error.location() {
        Some(at) => {
            // The text ends in the place as well; it stands at the front, where editors look for it.
            let message = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
            format!("{origin}:{}:{}: {message}", at.line(), at.column())
        }
        None => format!("{origin}: {message}"),
    }
}
