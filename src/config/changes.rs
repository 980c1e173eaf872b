//! What differs between two configurations, and how much of that a running node can follow.

use super::{Cluster, Config, Control, Listen, Log, Protocol, Secret};
use serde_json::Value;
use std::collections::BTreeSet;

/// The secrets of a configuration, which look alike when they are serialised.
const SECRETS: [(&str, SecretOf); 6] = [
    ("auth.jwt.secret", |config| config.auth.jwt.as_ref().map(|jwt| &jwt.secret)),
    ("auth.jwt.previous_secret", |config| config.auth.jwt.as_ref().map(|jwt| &jwt.previous_secret)),
    ("cluster.token", |config| Some(&config.cluster.token)),
    ("cluster.previous_token", |config| Some(&config.cluster.previous_token)),
    ("redis.password", |config| config.redis.as_ref().map(|redis| &redis.password)),
    ("redis.sentinel_password", |config| {
        config.redis.as_ref().map(|redis| &redis.sentinel_password)
    }),
];

type SecretOf = fn(&Config) -> Option<&Secret>;

impl Config {
    /// This configuration as far as a node that runs by `running` can follow it: what
    /// is settled at the start stays as it is there.
    #[must_use]
    pub fn for_running(self, running: &Self) -> Self {
        Self {
            listen: Listen {
                websocket: running.listen.websocket.clone(),
                http: running.listen.http.clone(),
                grpc: running.listen.grpc,
                ..self.listen
            },
            reactor: running.reactor.clone(),
            control: Control { threads: running.control.threads, ..self.control },
            protocol: Protocol { displaced: self.protocol.displaced, ..running.protocol.clone() },
            log: Log { level: self.log.level, ..running.log.clone() },
            cluster: self.cluster.for_running(&running.cluster),
            redis: running.redis.clone(),
            ..self
        }
    }

    /// The keys whose values differ, as `section.key`, in the order of the alphabet.
    #[must_use]
    pub fn differing_keys(&self, other: &Self) -> Vec<String> {
        let (mine, others) = (self.values(), other.values());
        let mut keys: BTreeSet<String> =
            mine.symmetric_difference(&others).map(|(key, _)| key.clone()).collect();
        let secrets = SECRETS.into_iter().filter(|(_, of)| of(self) != of(other));
        keys.extend(secrets.map(|(key, _)| key.to_owned()));
        keys.into_iter().collect()
    }

    /// Every key with its value as text.
    fn values(&self) -> BTreeSet<(String, String)> {
        // Without Redis there is no such section: its keys differ from any that is there.
        let value = serde_json::to_value(self).unwrap_or(Value::Null);
        let mut values = BTreeSet::new();
        for (section, keys) in value.as_object().into_iter().flatten() {
            collect(section, keys, &mut values);
        }
        values
    }
}

impl Cluster {
    /// Tokens are followed, and files by which nodes show who they are; whether they do so by TLS
    /// is settled at the start.
    fn for_running(self, running: &Self) -> Self {
        let files = if self.has_tls() == running.has_tls() { &self } else { running };
        Self {
            tls_cert: files.tls_cert.clone(),
            tls_key: files.tls_key.clone(),
            tls_ca: files.tls_ca.clone(),
            token: self.token,
            token_file: self.token_file,
            previous_token: self.previous_token,
            previous_token_file: self.previous_token_file,
            ..running.clone()
        }
    }
}

/// Takes the keys of a section, and of those within it.
fn collect(section: &str, keys: &Value, values: &mut BTreeSet<(String, String)>) {
    for (key, value) in keys.as_object().into_iter().flatten() {
        let name = format!("{section}.{key}");
        if value.is_object() {
            collect(&name, value, values);
        } else {
            values.insert((name, value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::known::{Known, SECRET_KEYS};
    use super::super::reload::{RELOAD, Reload};
    use super::super::{Auth, Jwt, Redis};
    use super::*;
    use figment::Figment;
    use figment::providers::Serialized;
    use figment::value::Value as FigmentValue;
    use std::net::SocketAddr;
    use std::time::Duration;

    #[test]
    fn every_secret_is_compared() {
        let mut compared: Vec<&str> = SECRETS.iter().map(|(key, _)| *key).collect();
        let mut secrets = SECRET_KEYS.to_vec();
        compared.sort_unstable();
        secrets.sort_unstable();
        assert_eq!(compared, secrets);
    }

    #[test]
    fn keys_that_differ_are_named() {
        let running = Config { redis: Some(Redis::default()), ..Config::default() };
        let mut other = running.clone();
        assert_eq!(running.differing_keys(&other), [""; 0]);
        other.apps.ids.push(7);
        other.heartbeat.idle_timeout += Duration::from_millis(1);
        other.cluster.token = "new".into();
        other.redis = Some(Redis { password: "new".into(), db: 1, ..Redis::default() });
        let all =
            ["apps.ids", "cluster.token", "heartbeat.idle_timeout", "redis.db", "redis.password"];
        assert_eq!(running.differing_keys(&other), all);
        let followed = other.clone().for_running(&running);
        assert_eq!(running.differing_keys(&followed), all[..3]);
        let left = ["redis.db", "redis.password"];
        assert_eq!(followed.differing_keys(&other), left);
        other.redis = None;
        assert!(running.differing_keys(&other).contains(&"redis.addr".to_owned()));
    }

    /// Another value for a key than this one, of the same type.
    fn changed(key: &str, sample: &FigmentValue) -> FigmentValue {
        match (key, sample) {
            ("redis.mode", _) => "cluster".into(),
            ("log.format", _) => "json".into(),
            ("log.rotation", _) => "never".into(),
            ("limits.excess", _) => "drop".into(),
            ("protocol.displaced", _) => "close".into(),
            ("protocol.language", _) => "english".into(),
            ("protocol.errors", _) => "json".into(),
            ("apps.ids", _) => vec![7_u32].into(),
            (_, FigmentValue::Bool(_, flag)) => (!flag).into(),
            (_, FigmentValue::Num(_, number)) => (number.to_u32().unwrap_or(0) + 1).into(),
            (_, FigmentValue::Array(..)) => vec!["changed"].into(),
            (_, FigmentValue::String(_, text)) if text.parse::<SocketAddr>().is_ok() => {
                "127.0.0.1:7".into()
            }
            (_, FigmentValue::String(_, text))
                if humantime_serde::re::humantime::parse_duration(text).is_ok() =>
            {
                "77s".into()
            }
            _ => "changed".into(),
        }
    }

    /// Without an entry nobody has thought about what a reload does with a key: then it would be
    /// told as followed, whether or not anything looks at it again.
    #[test]
    fn every_key_says_what_a_reload_does_with_it() {
        let known = Known::new().unwrap();
        let listed: BTreeSet<&str> = RELOAD.iter().map(|(key, _)| *key).collect();
        let all: BTreeSet<&str> = known.keys().collect();
        let odd: Vec<_> = listed.symmetric_difference(&all).collect();
        assert!(odd.is_empty(), "each key that exists has an entry in RELOAD: {odd:?}");
        assert_eq!(listed.len(), RELOAD.len(), "and no other one");
        let auth = Auth { jwt: Some(Jwt::default()), ..Auth::default() };
        let default = Config { redis: Some(Redis::default()), auth, ..Config::default() };
        for (key, reload) in RELOAD {
            let mut running = default.clone();
            if *reload == Reload::OtherFile {
                let Cluster { tls_cert, tls_key, tls_ca, .. } = &mut running.cluster;
                for file in [tls_cert, tls_key, tls_ca] {
                    *file = "before".into();
                }
            }
            let value = changed(key, known.sample(key).unwrap());
            let wanted = Figment::from(Serialized::defaults(&running)).merge((*key, value));
            let wanted: Config = wanted.extract().unwrap_or_else(|error| {
                panic!("{key}: `changed` needs another value for it: {error}")
            });
            let differing = running.differing_keys(&wanted);
            assert_eq!(differing, [*key], "`changed` changes the key and nothing else");
            let followed = wanted.clone().for_running(&running);
            let is_followed = followed.differing_keys(&wanted).is_empty();
            let is_kept = running.differing_keys(&followed).is_empty();
            let expected = match reload {
                Reload::AtOnce | Reload::OtherFile => (true, false),
                Reload::Restart => (false, true),
            };
            assert_eq!((is_followed, is_kept), expected, "{key} does not do what RELOAD says");
        }
    }

    #[test]
    fn tls_between_nodes_begins_and_ends_with_a_start() {
        let without = Config::default();
        let mut with = Config::default();
        let Cluster { tls_cert, tls_key, tls_ca, .. } = &mut with.cluster;
        for file in [tls_cert, tls_key, tls_ca] {
            *file = "a file".into();
        }
        let names = ["cluster.tls_ca", "cluster.tls_cert", "cluster.tls_key"];
        for (running, wanted) in [(&without, &with), (&with, &without)] {
            let followed = wanted.clone().for_running(running);
            assert_eq!(running.differing_keys(&followed), [""; 0]);
            assert_eq!(followed.differing_keys(wanted), names);
        }
    }

    #[test]
    fn addresses_and_threads_are_settled_at_the_start() {
        let running = Config::default();
        let mut other = running.clone();
        other.listen.path = "/ws".into();
        other.listen.http = "127.0.0.1:1".parse().unwrap();
        other.reactor.threads = 3;
        other.log.level = "debug".into();
        other.log.keep_files = 1;
        let followed = other.clone().for_running(&running);
        assert_eq!(running.differing_keys(&followed), ["listen.path", "log.level"]);
        assert_eq!(
            followed.differing_keys(&other),
            ["listen.http", "log.keep_files", "reactor.threads"]
        );
    }
}
