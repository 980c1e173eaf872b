//! The bounds that types do not express.

mod auth;

use super::listen::overlap;
use super::stop::refuge_fault;
use super::trusted::TRUSTED_MAX;
use super::{Broadcast, Cluster, Config, Listen, Redis, RedisMode, Stop, Trusted};
use crate::id::NodeAddr;
use crate::limits::{
    APPS_MAX, BROADCASTS_MAX, OTHER_NODES_MAX, REACTORS_MAX, RECEIVE_BUFFER_BYTES,
    USER_ID_BYTES_MAX,
};
use std::collections::HashSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// A key whose value is out of bounds.
pub(super) struct Violation {
    pub(super) key: &'static str,
    /// The rest of a sentence that begins with the key.
    pub(super) complaint: String,
}

/// All that is out of bounds, in the order of the keys.
pub(super) fn violations(config: &Config) -> Vec<Violation> {
    let mut check = Check { violations: Vec::new() };
    check.listen(config);
    check.auth(config);
    check.threads(config);
    check.apps(&config.apps.ids);
    check.limits(config);
    check.broadcast(&config.broadcast);
    check.page(config);
    check.stop(&config.stop);
    let grace = config.ready.redis_grace;
    if grace > REDIS_GRACE_MAX {
        check
            .say("ready.redis_grace", format!("is {grace:?}, must be at most {REDIS_GRACE_MAX:?}"));
    }
    check.log_level(&config.log.level);
    check.cluster(config);
    if let Some(redis) = &config.redis {
        check.redis(redis);
    }
    check.violations
}

/// A duration longer than this is a slip of the pen; it also keeps sums of times far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

const SECOND: Duration = Duration::from_secs(1);

struct Check {
    violations: Vec<Violation>,
}

/// Longest silence on a connection of the HTTP API.
const KEEP_ALIVE_MAX: Duration = Duration::from_secs(3_600);

impl Check {
    fn say(&mut self, key: &'static str, complaint: impl Into<String>) {
        self.violations.push(Violation { key, complaint: complaint.into() });
    }

    fn between<T: PartialOrd + Display>(&mut self, key: &'static str, value: T, min: T, max: T) {
        if value < min || value > max {
            self.say(key, format!("is {value}, must be from {min} to {max}"));
        }
    }

    fn at_least<T: PartialOrd + Display>(&mut self, key: &'static str, value: T, min: T) {
        if value < min {
            self.say(key, format!("is {value}, must be at least {min}"));
        }
    }

    fn duration(&mut self, key: &'static str, value: Duration, min: Duration) {
        if value < min {
            // Debug would call nothing "0ns".
            let value = if value.is_zero() { "0s".to_owned() } else { format!("{value:?}") };
            self.say(key, format!("is {value}, must be at least {min:?}"));
        } else if value > DURATION_MAX {
            self.say(key, "is too long, must be at most 365days");
        }
    }

    fn broadcast(&mut self, broadcast: &Broadcast) {
        const WAIT_MAX: Duration = Duration::from_secs(10);
        let wait = broadcast.wait;
        self.duration("broadcast.wait", wait, Duration::from_millis(10));
        if wait > WAIT_MAX && wait <= DURATION_MAX {
            self.say("broadcast.wait", format!("is {wait:?}, must be at most {WAIT_MAX:?}"));
        }
        self.between("broadcast.messages", broadcast.messages, 1, BROADCASTS_MAX);
        self.at_least("broadcast.bytes", broadcast.bytes, 1);
    }

    fn listen(&mut self, config: &Config) {
        self.path("listen.path", &config.listen.path);
        let echo = &config.echo.path;
        if !echo.is_empty() {
            self.path("echo.path", echo);
            if *echo == config.listen.path {
                self.say("echo.path", format!("is {echo:?}, must differ from listen.path"));
            }
        }
        let Listen { websocket, http, trusted_proxies, tls_cert, tls_key, .. } = &config.listen;
        if let Some(both) = http.shared_with(websocket) {
            self.say("listen.http", format!("is {both}, must differ from listen.websocket"));
        }
        if http.iter().any(|listener| listener.proxy) {
            self.say("listen.http", "has proxy, which is for listen.websocket");
        }
        let files = [tls_cert, tls_key].map(|file| !file.as_os_str().is_empty());
        if files[0] != files[1] {
            self.say("listen.tls_cert", "needs tls_key, and that needs it");
        }
        for (key, listeners) in [("listen.websocket", websocket), ("listen.http", http)] {
            if let Some(twice) = listeners.twice() {
                self.say(key, format!("has {:?} twice", twice.to_string()));
            }
            if listeners.have_tls() && files == [false, false] {
                self.say(key, "has tls, which needs listen.tls_cert and listen.tls_key");
            }
        }
        self.trusted_proxies(trusted_proxies);
    }

    fn trusted_proxies(&mut self, entries: &[String]) {
        let key = "listen.trusted_proxies";
        if entries.len() > TRUSTED_MAX {
            let count = entries.len();
            self.say(key, format!("has {count} entries, must have at most {TRUSTED_MAX}"));
        }
        if let Some(wrong) = Trusted::wrong(entries) {
            self.say(
                key,
                format!(
                    "contains {wrong:?}, must have addresses, networks such as \"10.0.0.0/8\", \
                     or \"unix\""
                ),
            );
        }
    }

    fn path(&mut self, key: &'static str, path: &str) {
        if !path.starts_with('/') {
            self.say(key, format!("is {path:?}, must begin with \"/\""));
        } else if path.contains(['?', '#']) || !path.bytes().all(|b| b.is_ascii_graphic()) {
            self.say(key, format!("is {path:?}, must be a plain path"));
        }
    }

    fn threads(&mut self, config: &Config) {
        self.between("reactor.threads", config.reactor.threads, 0, REACTORS_MAX);
        let keep_alive = config.control.keep_alive;
        self.duration("control.keep_alive", keep_alive, Duration::from_secs(1));
        if keep_alive > KEEP_ALIVE_MAX && keep_alive <= DURATION_MAX {
            self.say("control.keep_alive", format!("is {keep_alive:?}, must be at most 1h"));
        }
        self.between("control.threads", config.control.threads, 1, CONTROL_THREADS_MAX);
        self.duration("heartbeat.idle_timeout", config.heartbeat.idle_timeout, SECOND);
        self.duration("dedup.window", config.dedup.window, Duration::ZERO);
        self.at_least("dedup.entries_max", config.dedup.entries_max, 1);
    }

    fn apps(&mut self, ids: &[u32]) {
        if ids.is_empty() || ids.len() > APPS_MAX {
            self.say("apps.ids", format!("has {} entries, must have 1 to {APPS_MAX}", ids.len()));
        }
        if ids.contains(&0) {
            self.say("apps.ids", "contains 0, which stands for no app");
        }
        let mut seen = HashSet::new();
        if let Some(twice) = ids.iter().find(|id| !seen.insert(**id)) {
            self.say("apps.ids", format!("contains {twice} twice"));
        }
    }

    fn limits(&mut self, config: &Config) {
        let limits = &config.limits;
        self.at_least("limits.message_bytes", limits.message_bytes, MESSAGE_BYTES_MIN);
        self.between(
            "limits.handshake_bytes",
            limits.handshake_bytes,
            HANDSHAKE_BYTES_MIN,
            HANDSHAKE_BYTES_MAX,
        );
        self.duration("limits.handshake_timeout", limits.handshake_timeout, SECOND);
        if !limits.login_timeout.is_zero() {
            self.duration("limits.login_timeout", limits.login_timeout, SECOND);
        }
        if !limits.message_timeout.is_zero() {
            self.duration("limits.message_timeout", limits.message_timeout, SECOND);
        }
        self.between("limits.user_id_bytes", limits.user_id_bytes, 1, USER_ID_BYTES_MAX);
        self.at_least("limits.outbox_bytes", limits.outbox_bytes, OUTBOX_BYTES_MIN);
    }

    fn page(&mut self, config: &Config) {
        self.url("page.websocket_url", &config.page.websocket_url, ["ws://", "wss://"]);
        self.url("page.http_url", &config.page.http_url, ["http://", "https://"]);
    }

    fn stop(&mut self, stop: &Stop) {
        self.duration("stop.timeout", stop.timeout, Duration::ZERO);
        self.duration("stop.grace", stop.grace, Duration::ZERO);
        let (key, nodes) = ("stop.other_nodes", &stop.other_nodes);
        if nodes.len() > OTHER_NODES_MAX {
            let complaint =
                format!("has {} entries, must have at most {OTHER_NODES_MAX}", nodes.len());
            self.say(key, complaint);
        }
        for (url, fault) in nodes.iter().filter_map(|url| Some((url, refuge_fault(url)?))) {
            self.say(key, format!("contains {url:?}, {fault}"));
        }
    }

    fn url(&mut self, key: &'static str, url: &str, schemes: [&str; 2]) {
        if url.is_empty() {
            return;
        }
        if !schemes.iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|r| !r.is_empty())) {
            let [plain, safe] = schemes;
            self.say(key, format!("is {url:?}, must begin with {plain} or {safe}"));
        } else if url.contains(['"', '\'', '<', '>', '\\']) || url.contains(char::is_whitespace) {
            self.say(key, format!("is {url:?}, must be a URL without spaces and quotes"));
        }
    }

    /// A filter takes any word for the name of a module and then logs nothing
    /// else, so a misspelt level has to be caught here.
    fn log_level(&mut self, level: &str) {
        let is_word = |part: &&str| !part.contains(['=', '[', ']', '{', '}', ':']);
        let mut words = level.split(',').map(str::trim).filter(is_word);
        if let Some(word) = words.find(|word| !LEVELS.contains(&word.to_lowercase().as_str())) {
            self.say("log.level", format!("has {word:?}, must be one of {}", LEVELS.join(", ")));
        } else if let Err(error) = EnvFilter::try_new(level) {
            self.say("log.level", format!("is {level:?}: {error}"));
        }
    }

    fn cluster(&mut self, config: &Config) {
        let Cluster { advertise, client_url, tls_cert, tls_key, tls_ca, .. } = &config.cluster;
        let fault = (!client_url.is_empty()).then(|| refuge_fault(client_url)).flatten();
        if let Some(fault) = fault {
            self.say("cluster.client_url", format!("is {client_url:?}, {fault}"));
        }
        if !advertise.is_empty() && !is_reachable(advertise) {
            let complaint = format!("is {advertise:?}, must be host:port where others reach it");
            self.say("cluster.advertise", complaint);
        }
        let Cluster { token, previous_token, .. } = &config.cluster;
        for (key, token) in [("cluster.token", token), ("cluster.previous_token", previous_token)] {
            if !token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
                let complaint =
                    "has a byte that is no visible ASCII letter, and only those can be sent";
                self.say(key, complaint);
            }
        }
        if token.is_empty() && !previous_token.is_empty() {
            let complaint = "is set and cluster.token is not: without that, calls need no token";
            self.say("cluster.previous_token", complaint);
        }
        let files = [tls_cert, tls_key, tls_ca].map(|file| !file.as_os_str().is_empty());
        if files.contains(&true) && files.contains(&false) {
            self.say("cluster.tls_cert", "needs tls_key and tls_ca, and they need it");
        }
        let grpc = config.listen.grpc;
        for (key, listeners) in
            [("listen.websocket", &config.listen.websocket), ("listen.http", &config.listen.http)]
        {
            let is_taken = listeners.addresses().any(|address| overlap(address, grpc));
            if is_taken && config.redis.is_some() {
                self.say("listen.grpc", format!("is {grpc}, must differ from {key}"));
            }
        }
        let is_open = config.cluster.is_guarded() || config.cluster.trust_network;
        if config.redis.is_some() && !grpc.ip().is_loopback() && !is_open {
            self.say(
                "listen.grpc",
                format!(
                    "is {grpc}, where strangers could send to every user: set cluster.token or \
                     cluster.tls_cert, or cluster.trust_network beside nodes of gowebsocket"
                ),
            );
        }
    }

    fn redis(&mut self, redis: &Redis) {
        let addr = &redis.addr;
        let is_place = |place: &str| {
            let Some((host, port)) = place.trim().rsplit_once(':') else { return false };
            let is_host = !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@']);
            is_host && port.parse::<u16>().is_ok_and(|port| port != 0)
        };
        if addr.contains('@') {
            self.say("redis.addr", "has a user or password in it, must be host:port");
        } else if !addr.split(',').all(is_place) {
            self.say("redis.addr", format!("is {addr:?}, must be host:port"));
        } else if redis.mode == RedisMode::Standalone && addr.contains(',') {
            self.say("redis.addr", "has several addresses, which needs redis.mode");
        }
        if redis.mode == RedisMode::Cluster && redis.db != 0 {
            self.say("redis.db", format!("is {}, a Redis Cluster has 0 alone", redis.db));
        }
        self.duration("redis.timeout", redis.timeout, REDIS_TIMEOUT_MIN);
    }
}

/// Whether others can call it: an address that is one, with a port, or a name.
fn is_reachable(place: &str) -> bool {
    if NodeAddr::parse(place).is_none() {
        return false;
    }
    if let Ok(address) = place.parse::<SocketAddr>() {
        return !address.ip().is_unspecified() && address.port() != 0;
    }
    let Some((name, port)) = place.rsplit_once(':') else { return false };
    // Only names: digits and dots alone would be an address that is none.
    let is_name = name.contains(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    is_name && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Longest time for which a node without Redis may call itself ready.
const REDIS_GRACE_MAX: Duration = Duration::from_secs(3_600);

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// More than any machine has use for beside its reactors.
const CONTROL_THREADS_MAX: usize = 1_024;

/// A control frame, which may be this long, must always fit.
const MESSAGE_BYTES_MIN: usize = 125;

/// The shortest head a browser sends has nearly this size.
const HANDSHAKE_BYTES_MIN: usize = 512;

/// A head and the next read have to fit into a reactor's receive buffer.
const HANDSHAKE_BYTES_MAX: usize = 65_536;
const _: () = assert!(HANDSHAKE_BYTES_MAX + 4_096 <= RECEIVE_BUFFER_BYTES);

/// Below it a busy but healthy server would count as gone.
const REDIS_TIMEOUT_MIN: Duration = Duration::from_millis(10);

/// Room for a few replies, or a client is closed at its first hiccup.
const OUTBOX_BYTES_MIN: usize = 4_096;
