//! What is decided inside Redis, where nobody comes in between and one clock counts.

use super::keys;
use crate::id::{AppId, NodeAddr};
use redis::{Cmd, Script, Value};
use std::net::SocketAddr;

/// What is to become of a user's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::cluster) enum Verb {
    /// The user has logged in here, from this address: the record is ours.
    Arrive(Option<SocketAddr>),
    /// The user is still here: the record is renewed, unless another node's is live.
    Keep,
    /// The user has left: the record says so, if it is ours.
    Depart,
}

/// KEYS: the record. ARGV: verb, our address, the first half of our record, the
/// client's address as JSON. Answers with the node that held the user live: the
/// one that an arrival has replaced, or the one that a renewal has respected.
/// Whatever is odd about an old record, it is then nobody's.
const RECORD: &str = r#"
local now = tonumber(redis.call('TIME')[1])
local read, old = pcall(cjson.decode, redis.pcall('GET', KEYS[1]))
if not read or type(old) ~= 'table' then old = {} end
local function time(field)
  local seconds = tonumber(old[field])
  return seconds and seconds >= 0 and seconds < 1e12 and math.floor(seconds) or 0
end
local verb, holder = ARGV[1], ''
if type(old.accIp) == 'string' and type(old.accPort) == 'string' then
  holder = old.accIp .. ':' .. old.accPort
end
local ours = holder == ARGV[2]
local on = old.isLogoff ~= true
local held = holder ~= '' and not ours and on and time('heartbeatTime') + 180 >= now
if verb == 'keep' and held then return holder end
if verb == 'depart' and not (ours and on) then return '' end
local client, login, beat, logout = ARGV[4], now, now, 0
if ours and on and verb ~= 'arrive' then
  login = time('loginTime')
  if type(old.clientIp) == 'string' then client = cjson.encode(old.clientIp) end
end
if verb == 'depart' then beat, logout = time('heartbeatTime'), now end
redis.call('SET', KEYS[1], ARGV[3] .. client .. ',"clientPort":"","loginTime":' .. login
  .. ',"heartbeatTime":' .. beat .. ',"logOutTime":' .. logout
  .. ',"qua":"","deviceInfo":"","isLogoff":' .. tostring(verb == 'depart') .. '}', 'EX', 86400)
return verb == 'arrive' and held and holder or ''
"#;

/// Deletes a field of a hash if it still has this value; KEYS: the hash, ARGV: field, value.
const REMOVE: &str = r#"
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"#;

/// Writes the time of Redis into a field of a hash; KEYS: the hash, ARGV: field.
const STAMP: &str = r#"
redis.call('HSET', KEYS[1], ARGV[1], redis.call('TIME')[1])
return redis.call('EXPIRE', KEYS[1], 7200)
"#;

/// The time of the server that has this key: TIME itself would ask any server of a cluster.
const TIME: &str = "return redis.call('TIME')[1]";

/// Makes the commands that change records in the name of one node.
#[derive(Clone, Debug)]
pub(in crate::control::cluster) struct Records {
    here: NodeAddr,
    script: Script,
}

impl Records {
    /// For the node that is reached at `here`.
    pub(in crate::control::cluster) fn new(here: NodeAddr) -> Self {
        Self { here, script: Script::new(RECORD) }
    }

    /// The command for one user; with `is_known` the server gets the script's
    /// hash alone. The first command of a pipeline makes the script known.
    pub(in crate::control::cluster) fn command(
        &self,
        app: AppId,
        user: &str,
        verb: Verb,
        is_known: bool,
    ) -> Cmd {
        let (name, client) = match verb {
            Verb::Arrive(client) => ("arrive", client),
            Verb::Keep => ("keep", None),
            Verb::Depart => ("depart", None),
        };
        let client = client.map_or_else(String::new, |client| client.to_string());
        let json = |text: &str| serde_json::Value::from(text).to_string();
        let head = format!(
            r#"{{"accIp":{},"accPort":{},"appID":{app},"userID":{},"clientIp":"#,
            json(self.here.host()),
            json(self.here.port()),
            json(user),
        );
        let mut command = if is_known { redis::cmd("EVALSHA") } else { redis::cmd("EVAL") };
        if is_known {
            command.arg(self.script.get_hash())
        } else {
            command.arg(RECORD)
        };
        command.arg(1).arg(keys::user(app, user)).arg(name).arg(self.here.as_str());
        command.arg(head).arg(json(&client));
        command
    }
}

/// The node that a record's command answers with.
pub(in crate::control::cluster) fn holder(answer: &Value) -> Option<NodeAddr> {
    match answer {
        Value::BulkString(text) => NodeAddr::parse(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}

/// Deletes `field` of the hash `key` if it is `value`; answers how many fields that were.
pub(in crate::control::cluster) fn remove(key: &str, field: &str, value: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(REMOVE).arg(1).arg(key).arg(field).arg(value);
    command
}

/// Writes the time of Redis into `field` of the hash `key`, which then lives for two more hours.
pub(in crate::control::cluster) fn stamp(key: &str, field: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(STAMP).arg(1).arg(key).arg(field);
    command
}

/// Asks for the time, in unix seconds.
pub(in crate::control::cluster) fn time(key: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(TIME).arg(1).arg(key);
    command
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
