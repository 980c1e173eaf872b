//! What is decided inside Redis, where nobody comes in between and one clock counts.

use super::keys;
use crate::address::ClientAddr;
use crate::id::{AppId, NodeAddr};
use redis::{Cmd, Script, Value};

/// What is to become of a user's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control::cluster) enum Verb {
    /// The user has logged in here, from this address: the record is ours, unless
    /// another node's login is newer.
    Arrive(Option<ClientAddr>),
    /// The user is here, and the node that the record names does not hold it.
    Claim,
    /// The user is still here: the record is renewed, unless another node's is live and
    /// newer, or of an unknown age.
    Keep,
    /// The user has left: the record says so, if it is ours.
    Depart,
}

/// KEYS: the record. ARGV: verb, our address, the first half of our record, the
/// client's address as JSON, the time of the login. Answers with the node
/// that held the user live: `older` and the one that was replaced, or `newer` and the
/// one that was respected. Whatever is odd about an old record, it is then nobody's.
/// Of two logins at the same time the one at the greater address is the newer one.
///
/// A record of a node of the reference has only the second of the login, by that node's own clock. A
/// renewal takes it over if this second is more than `REFERENCE` milliseconds before our login: such
/// a node brings an old record back when the older connection gives a sign of life, and a newer
/// login there is respected as long as its clock is not further behind.
///
/// `loginMs`, which nodes of the reference do not know and leave out, is when the
/// login took place, by the clock of Redis: so it does not matter which of two nodes
/// is the first to write. A time to come, further ahead than `AHEAD`, is that of another
/// master, whose clock is ahead, and says nothing.
const RECORD: &str = r#"
local CLOSE, PROMPT, STEP, AHEAD, REFERENCE = 30, 50, 10, 70, 5000
local clock = redis.call('TIME')
local now = tonumber(clock[1])
local found, read, old = redis.pcall('GET', KEYS[1]), false, nil
if type(found) == 'string' then read, old = pcall(cjson.decode, found) end
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
local theirs, since = tonumber(old.loginMs), nil
if theirs and not (theirs >= 0 and theirs < 1e15) then theirs = nil end
local ms = now * 1000 + math.floor(clock[2] / 1000)
if theirs and theirs > ms + AHEAD then theirs = nil end
since = tonumber(ARGV[5])
if verb == 'arrive' and not since then since = ms end
local moved = ''
if held and verb == 'arrive' and theirs and theirs >= since
  and (theirs - since <= CLOSE or theirs > ms + STEP) and ms - since <= PROMPT then
  since = theirs + STEP
  moved = ' ' .. string.format('%.0f', since)
end
if held and (verb == 'arrive' or verb == 'keep') then
  if not theirs and since and time('loginTime') > 0 and (time('loginTime') + 1) * 1000 + REFERENCE < since then
    theirs = time('loginTime') * 1000
  end
  if verb == 'keep' and not (theirs and since) then return 'newer ' .. holder end
  if theirs and (theirs > since or theirs == since and holder > ARGV[2]) then
    return 'newer ' .. holder
  end
end
if verb == 'depart' and not (ours and on) then return '' end
local client, login, beat, logout = ARGV[4], now, now, 0
if ours and on and verb ~= 'arrive' then
  login = time('loginTime')
  if not since or (theirs and theirs > since) then since = theirs end
  if type(old.clientIp) == 'string' then client = cjson.encode(old.clientIp) end
end
if verb == 'depart' then beat, logout = time('heartbeatTime'), now end
redis.call('SET', KEYS[1], ARGV[3] .. client .. ',"clientPort":"","loginTime":' .. login
  .. ',"heartbeatTime":' .. beat .. ',"logOutTime":' .. logout
  .. ',"qua":"","deviceInfo":"","isLogoff":' .. tostring(verb == 'depart')
  .. (since and ',"loginMs":' .. string.format('%.0f', since) or '') .. '}', 'EX', 86400)
return held and 'older ' .. holder .. moved or ''
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
const TIME_MS: &str = r#"
local clock = redis.call('TIME')
return string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
"#;

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

    /// The command for one user, who has logged in at this time in unix milliseconds of
    /// Redis, if that is known; with `is_known` the server gets the script's
    /// hash alone. A command without makes the script known to those that follow it.
    pub(in crate::control::cluster) fn command(
        &self,
        app: AppId,
        user: &str,
        verb: Verb,
        login_ms: Option<u64>,
        is_known: bool,
    ) -> Cmd {
        let (name, client) = match verb {
            Verb::Arrive(client) => ("arrive", client),
            Verb::Claim => ("claim", None),
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
        let login_ms = login_ms.map_or_else(String::new, |ms| ms.to_string());
        command.arg(head).arg(json(&client)).arg(login_ms);
        command
    }
}

/// Another live node that claims a user of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control::cluster) struct Rival {
    pub(in crate::control::cluster) node: NodeAddr,
    /// Whether the record is the other node's; otherwise it is ours now.
    pub(in crate::control::cluster) is_newer: bool,
    /// The time, in unix milliseconds of Redis, that our login has from now on, since the
    /// two were too close for the clocks.
    pub(in crate::control::cluster) moved_to: Option<u64>,
}

/// Who else claims the user, as a record's command answers.
pub(in crate::control::cluster) fn rival(answer: &Value) -> Option<Rival> {
    let Value::BulkString(text) = answer else { return None };
    let mut words = std::str::from_utf8(text).ok()?.split(' ');
    let is_newer = words.next()? == "newer";
    let node = NodeAddr::parse(words.next()?)?;
    let moved_to = words.next().and_then(|ms| ms.parse().ok());
    Some(Rival { node, is_newer, moved_to })
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

/// Asks for the time, in unix milliseconds.
pub(in crate::control::cluster) fn time_ms(key: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(TIME_MS).arg(1).arg(key);
    command
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
