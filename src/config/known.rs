//! The keys that exist, what their values look like, and which one a misspelt one meant.

use super::{Auth, Config, ConfigError, Jwt, Redis};
use figment::value::{Dict, Value};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Values of these keys are never repeated in a message.
pub(super) const SECRET_KEYS: [&str; 6] = [
    "redis.password",
    "redis.sentinel_password",
    "cluster.token",
    "cluster.previous_token",
    "auth.jwt.secret",
    "auth.jwt.previous_secret",
];

/// Only hashes belong there; but who puts a key there by mistake shall not find it in a log.
const KEYS: &str = "auth.keys";

/// A text for one, a list of texts for several. What is wrong with them they say
/// themselves, since it may be a single entry.
pub(super) const TEXT_OR_LIST: [&str; 2] = ["listen.websocket", "listen.http"];

/// Every key with its default, taken from the configuration itself so that
/// there is no second list to keep.
pub(super) struct Known {
    samples: BTreeMap<String, Value>,
}

impl Known {
    /// # Errors
    /// Never, as long as the defaults can be serialised.
    pub(super) fn new() -> Result<Self, ConfigError> {
        let auth = Auth { jwt: Some(Jwt::default()), ..Auth::default() };
        let complete = Config { redis: Some(Redis::default()), auth, ..Config::default() };
        let value = Value::serialize(complete)
            .map_err(|error| ConfigError::from(format!("the defaults cannot be read: {error}")))?;
        let mut samples = BTreeMap::new();
        for (section, keys) in value.as_dict().into_iter().flatten() {
            collect(section, keys.as_dict().into_iter().flatten(), &mut samples);
        }
        Ok(Self { samples })
    }

    /// All keys, as `section.key`; a section may have a dot in its name.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().map(String::as_str)
    }

    /// The default of a key.
    #[cfg(test)]
    pub(super) fn sample(&self, key: &str) -> Option<&Value> {
        self.samples.get(key)
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.samples.contains_key(key)
    }

    pub(super) fn has_section(&self, name: &str) -> bool {
        self.sections().any(|section| section == name)
    }

    /// What the environment and the command line say is text. Where a text is
    /// wanted it is taken as it stands, or a password of digits would become a
    /// number; everything else is read as TOML would read it.
    pub(super) fn value_of_text(&self, key: &str, text: &str) -> Value {
        match (self.samples.get(key), parsed(text)) {
            (Some(Value::String(..)), quoted @ Value::String(..)) if text.starts_with('"') => {
                quoted
            }
            (Some(Value::String(..)), list @ Value::Array(..)) if TEXT_OR_LIST.contains(&key) => {
                list
            }
            (Some(Value::String(..)), _) => Value::from(text),
            (_, value) => value,
        }
    }

    /// What is right about a value for this key, to be read after "expected".
    pub(super) fn expectation(&self, key: &str) -> &'static str {
        match self.samples.get(key) {
            Some(Value::Bool(..)) => "true or false",
            Some(Value::Num(..)) => "a whole number, 0 or more",
            Some(Value::Array(_, items)) if items.is_empty() => {
                "a list of texts such as [\"a\", \"b\"]"
            }
            Some(Value::Array(..)) => "a list of numbers such as [101, 102]",
            Some(Value::String(_, text)) if text.parse::<SocketAddr>().is_ok() => {
                "an address and port such as 127.0.0.1:8080"
            }
            Some(Value::String(_, text)) if is_duration(text) => {
                "a duration such as 500ms, 10s or 12h"
            }
            _ => "a text",
        }
    }

    /// The key that was probably meant.
    pub(super) fn nearest(&self, wanted: &str) -> Option<&str> {
        nearest(wanted, self.keys())
    }

    /// The section that was probably meant.
    pub(super) fn nearest_section(&self, wanted: &str) -> Option<&str> {
        nearest(wanted, self.sections())
    }

    fn sections(&self) -> impl Iterator<Item = &str> {
        self.keys().filter_map(|key| Some(key.rsplit_once('.')?.0))
    }
}

/// Takes the keys of a section and of those within it, which stand for themselves with a dot
/// in their name.
fn collect<'a>(
    section: &str,
    keys: impl Iterator<Item = (&'a String, &'a Value)>,
    samples: &mut BTreeMap<String, Value>,
) {
    for (key, sample) in keys {
        let name = format!("{section}.{key}");
        match sample {
            Value::Dict(_, inner) => collect(&name, Dict::iter(inner), samples),
            _ => {
                samples.insert(name, sample.clone());
            }
        }
    }
}

/// The candidate that was probably meant by what was written, if there is one.
pub(super) fn nearest<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    candidates
        .filter_map(|candidate| Some((distance(&wanted, &candidate.to_lowercase())?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How far apart two names are, if they are near at all: a few letters differ;
/// or the section is right and a part of the key is; or the key is right and
/// its section was forgotten or mixed up.
fn distance(wanted: &str, candidate: &str) -> Option<usize> {
    const PART_OF_THE_KEY: usize = 1_000;
    const OTHER_SECTION: usize = 2_000;
    let letters = strsim::damerau_levenshtein(wanted, candidate);
    if letters <= (wanted.len() / 4).max(2) {
        return Some(letters);
    }
    let (wanted_section, wanted_key) = split(wanted);
    let (section, key) = split(candidate);
    if wanted_section == section && key.split('_').any(|word| word == wanted_key) {
        Some(PART_OF_THE_KEY + letters)
    } else {
        (wanted_key == key).then_some(OTHER_SECTION + letters)
    }
}

/// A value as it appears in a message; secrets do not.
pub(super) fn shown(key: &str, value: &Value) -> String {
    if key == KEYS || SECRET_KEYS.contains(&key) {
        return "a value not shown here".to_owned();
    }
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, letter) => format!("\"{letter}\""),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => number_shown(*number),
        Value::Empty(..) => "empty".to_owned(),
        Value::Dict(..) => "a section".to_owned(),
        Value::Array(_, items) => {
            let items: Vec<_> = items.iter().map(|item| shown(key, item)).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

fn number_shown(number: figment::value::Num) -> String {
    let signed = number.to_i128().map(|n| n.to_string());
    let unsigned = number.to_u128().map(|n| n.to_string());
    let float = number.to_f64().map(|n| n.to_string());
    signed.or(unsigned).or(float).unwrap_or_else(|| format!("{number:?}"))
}

fn parsed(text: &str) -> Value {
    match text.parse() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fn is_duration(text: &str) -> bool {
    Value::from(text).deserialize::<humantime_serde::Serde<std::time::Duration>>().is_ok()
}

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_finds_the_right_one() {
        let known = Known::new().unwrap();
        assert_eq!(known.nearest("listen.websoket"), Some("listen.websocket"));
        assert_eq!(known.nearest("listn.http"), Some("listen.http"));
        assert_eq!(known.nearest("idle_timeout"), Some("heartbeat.idle_timeout"));
        assert_eq!(known.nearest("heartbeat.timeout"), Some("heartbeat.idle_timeout"));
        assert_eq!(known.nearest("worker.threads"), Some("control.threads"));
        assert_eq!(known.nearest("colour.of_the_sky"), None);
        assert_eq!(known.nearest_section("lisen"), Some("listen"));
        assert_eq!(known.nearest_section("auth.jtw"), Some("auth.jwt"));
        assert_eq!(known.nearest("auth.jwt.secrt"), Some("auth.jwt.secret"));
        assert_eq!(known.nearest("auth.audience"), Some("auth.jwt.audience"));
        assert_eq!(known.nearest("http.allowed_origins"), Some("auth.allowed_origins"));
    }

    #[test]
    fn text_stays_text_where_text_is_wanted() {
        let known = Known::new().unwrap();
        assert_eq!(known.value_of_text("redis.password", "0042").as_str(), Some("0042"));
        assert_eq!(known.value_of_text("log.level", "\"warn\"").as_str(), Some("warn"));
        assert_eq!(known.value_of_text("reactor.pin", "false").to_bool(), Some(false));
        assert_eq!(known.value_of_text("apps.ids", "[1, 2]").as_array().map(<[_]>::len), Some(2));
        let listeners = known.value_of_text("listen.websocket", "[\"[::]:1\", \"unix:/a\"]");
        assert_eq!(listeners.as_array().map(<[_]>::len), Some(2));
        let listener = known.value_of_text("listen.websocket", "[::]:1");
        assert_eq!(listener.as_str(), Some("[::]:1"));
    }
}
