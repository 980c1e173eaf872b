//! The reference's `config/app.yaml`, taken as it is.

use super::draft::{Draft, Setting};
use super::known::nearest;
use figment::value::Value;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
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

/// Its sections.
const SECTIONS: [&str; 2] = ["app", "redis"];

/// What the file says, in the order of the alphabet.
#[derive(Default)]
struct Content {
    /// The keys that the reference reads. Every value as it is written: a port may be a number or
    /// a text, and a password of digits stays what it is.
    settings: BTreeMap<String, String>,
    /// All others, which may have values of any kind: the reference ignores them.
    unknown: Vec<String>,
}

/// The names of unknown keys that are told at most.
const UNKNOWN_TOLD_MAX: usize = 20;

/// Reads such a file. Problems and notices go to the draft; `listen_path` is
/// what the page's WebSocket address ends in.
pub(super) fn read(draft: &mut Draft, origin: &str, text: &str, listen_path: &str) -> Vec<Setting> {
    let content: Content = match serde_saphyr::from_str(text) {
        Ok(content) => content,
        Err(error) => {
            draft.problems.push(syntax_problem(origin, &error));
            return Vec::new();
        }
    };
    let mut file = AppYaml { draft, origin, listen_path, settings: Vec::new() };
    for (key, value) in &content.settings {
        file.read_key(key, value);
    }
    if let Some(remark) = ignored(content.unknown) {
        file.draft.warnings.push(format!("{origin}: {remark}"));
    }
    file.settings
}

/// One remark about all keys that are not known. A misspelt one is among them: so the nearest
/// known key stands beside each.
fn ignored(mut unknown: Vec<String>) -> Option<String> {
    if unknown.is_empty() {
        return None;
    }
    unknown.sort();
    let left = unknown.len().saturating_sub(UNKNOWN_TOLD_MAX);
    let mut told: Vec<String> = unknown
        .iter()
        .take(UNKNOWN_TOLD_MAX)
        .map(|name| {
            let near = if name.contains('.') {
                nearest(name, KEYS.into_iter())
            } else {
                nearest(name, SECTIONS.into_iter())
            };
            match near {
                Some(near) => format!("{name:?} (did you mean {near:?}?)"),
                None => format!("{name:?}"),
            }
        })
        .collect();
    if left > 0 {
        told.push(format!("and {left} more"));
    }
    Some(format!("unknown keys are ignored: {}", told.join(", ")))
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sections;
        impl<'de> Visitor<'de> for Sections {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("sections")
            }

            fn visit_unit<E>(self) -> Result<Content, E> {
                Ok(Content::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut sections: A) -> Result<Content, A::Error> {
                let mut content = Content::default();
                while let Some(name) = sections.next_key::<String>()? {
                    if SECTIONS.iter().any(|section| section.eq_ignore_ascii_case(&name)) {
                        sections.next_value_seed(Section { name, content: &mut content })?;
                    } else {
                        sections.next_value::<IgnoredAny>()?;
                        content.unknown.push(name);
                    }
                }
                Ok(content)
            }
        }
        deserializer.deserialize_any(Sections)
    }
}

/// One of the sections that the reference reads, on its way into the content.
struct Section<'a> {
    name: String,
    content: &'a mut Content,
}

impl<'de> DeserializeSeed<'de> for Section<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Section<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys of the section {}", self.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut keys: A) -> Result<(), A::Error> {
        while let Some(name) = keys.next_key::<String>()? {
            let name = format!("{}.{name}", self.name);
            if KEYS.iter().any(|key| key.eq_ignore_ascii_case(&name)) {
                let value = keys.next_value::<Option<String>>()?.unwrap_or_default();
                if self.content.settings.insert(name.clone(), value).is_some() {
                    return Err(A::Error::custom(format_args!("{name} stands there twice")));
                }
            } else {
                keys.next_value::<IgnoredAny>()?;
                self.content.unknown.push(name);
            }
        }
        Ok(())
    }
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
            return;
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
