//! Why Redis cannot be used, in the words of whoever has to mend it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// One line; no password is in it.
pub(super) fn in_words(error: &RedisError) -> String {
    let said = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    // The client of a Redis Cluster keeps the text of an error alone.
    let says = |words: &str| said.contains(words);
    if error.kind() == ErrorKind::AuthenticationFailed || says("AuthenticationFailed") {
        return format!("it refuses the login ({KEYS}): the name or the password is wrong");
    }
    if says("NOAUTH") {
        return format!("it wants a login ({KEYS})");
    }
    if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) {
        return format!("its user may not do what a node needs (redis.username): {said}");
    }
    if says("Parse error") {
        return "what answers at redis.addr is no Redis, or one that wants TLS (redis.tls)".into();
    }
    if error.kind() == ErrorKind::MasterNameNotFoundBySentinel {
        return "no Sentinel knows a master of that name that is up (redis.sentinel_master)".into();
    }
    said
}

const KEYS: &str = "redis.username, redis.password; for a Sentinel redis.sentinel_username, \
                    redis.sentinel_password";
