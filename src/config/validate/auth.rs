//! The bounds of `[auth]`, and of the doors that it guards.

use super::Check;
use crate::config::origin::is_pattern;
use crate::config::{ApiKey, Auth, Config, Jwt, SHARED_SECRET_BYTES_MIN};
use std::collections::HashSet;
use std::time::Duration;

impl Check {
    pub(super) fn auth(&mut self, config: &Config) {
        self.keys(&config.auth.keys);
        self.origins(&config.auth.allowed_origins);
        if let Some(jwt) = &config.auth.jwt {
            self.jwt(jwt);
        }
        self.open_doors(config);
    }

    /// No word of an entry is repeated: it may be a key that was put there by mistake.
    fn keys(&mut self, keys: &[String]) {
        let key = "auth.keys";
        if keys.len() > KEYS_MAX {
            self.say(key, format!("has {} entries, must have at most {KEYS_MAX}", keys.len()));
        }
        let mut names = HashSet::new();
        for (at, entry) in keys.iter().enumerate() {
            match ApiKey::parse(entry) {
                Err(complaint) => {
                    self.say(key, format!("has a wrong entry {}: it {complaint}", at + 1))
                }
                Ok(ApiKey { name, .. }) => {
                    if !names.insert(name.clone()) {
                        self.say(key, format!("has two entries with the name {name:?}"));
                    }
                }
            }
        }
    }

    fn origins(&mut self, origins: &[String]) {
        let key = "auth.allowed_origins";
        if origins.len() > ORIGINS_MAX {
            self.say(
                key,
                format!("has {} entries, must have at most {ORIGINS_MAX}", origins.len()),
            );
        }
        if let Some(wrong) = origins.iter().find(|origin| !is_pattern(origin)) {
            self.say(
                key,
                format!(
                    "contains {wrong:?}, must have origins as browsers send them, such as \
                     \"https://chat.example.org\", \"https://*.example.org\", \"http://localhost:*\" or \"capacitor://localhost\""
                ),
            );
        }
    }

    fn jwt(&mut self, jwt: &Jwt) {
        let (mut secrets, mut public_keys) = (jwt.secrets(), jwt.public_keys());
        if jwt.secret.is_empty() && jwt.public_key.as_os_str().is_empty() && jwt.key_set().is_none()
        {
            self.say(
                "auth.jwt.secret",
                "is empty, and so are public_key and jwks: one of them is needed",
            );
        }
        if let Some((key, _)) =
            secrets.find(|(_, secret)| secret.reveal().len() < SHARED_SECRET_BYTES_MIN)
        {
            // RFC 7518 §3.2; the length of a short one is no secret worth keeping.
            self.say(
                key,
                format!("is too short, must have at least {SHARED_SECRET_BYTES_MIN} bytes"),
            );
        }
        if jwt.secret.is_empty() && !jwt.previous_secret.is_empty() {
            self.say("auth.jwt.previous_secret", "needs a secret that it was before");
        }
        if jwt.public_key.as_os_str().is_empty() && public_keys.next().is_some() {
            self.say("auth.jwt.previous_public_key", "needs a public_key that it was before");
        }
        self.algorithms(jwt);
        if jwt.leeway > LEEWAY_MAX {
            self.say("auth.jwt.leeway", format!("is {:?}, must be at most 10min", jwt.leeway));
        }
    }

    /// An algorithm that no key is for would be a promise that is not kept, and a list with
    /// a shared secret's algorithms beside public keys is how algorithms get confused.
    fn algorithms(&mut self, jwt: &Jwt) {
        let key = "auth.jwt.algorithms";
        let has_set = jwt.key_set().is_some();
        for name in &jwt.algorithms {
            let (has_key, needed) = match name.as_str() {
                "HS256" | "HS384" | "HS512" => (jwt.secrets().next().is_some(), "auth.jwt.secret"),
                "RS256" | "ES256" | "EdDSA" => {
                    (jwt.public_keys().next().is_some(), "auth.jwt.public_key")
                }
                _ => {
                    let names = ALGORITHMS.join(", ");
                    self.say(key, format!("contains {name:?}, must have some of {names}"));
                    continue;
                }
            };
            if !has_key && !has_set {
                self.say(key, format!("contains {name:?}, which needs {needed}"));
            }
        }
    }

    /// Whoever reaches the API without a key can send to every user under any name.
    fn open_doors(&mut self, config: &Config) {
        let Auth { keys, open_api, .. } = &config.auth;
        let http = &config.listen.http;
        if keys.is_empty() && !open_api && !http.are_local() {
            self.say(
                "listen.http",
                format!(
                    "is {http}, where strangers could send to every user: set auth.keys (`millgate \
                     gen-key NAME` makes one), or auth.open_api = true to let everybody in"
                ),
            );
        }
        let is_open = !config.cluster.is_guarded() && !config.cluster.trust_network;
        if !keys.is_empty() && config.redis.is_some() && is_open {
            self.say(
                "cluster.token",
                "is empty, so that gRPC takes messages from whoever reaches it although auth.keys \
                 are set: set it or cluster.tls_cert, or cluster.trust_network beside nodes of gowebsocket",
            );
        }
    }
}

/// All algorithms that tokens may be signed with.
const ALGORITHMS: [&str; 6] = ["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"];

/// Each request is compared with all of them.
const KEYS_MAX: usize = 64;

/// Each handshake and each request from a page is compared with all of them.
const ORIGINS_MAX: usize = 256;

/// Clocks that differ by more are to be mended.
const LEEWAY_MAX: Duration = Duration::from_secs(600);
