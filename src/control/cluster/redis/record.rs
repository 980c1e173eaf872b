//! A user's record in Redis, as nodes of the reference read and write it.

use crate::id::NodeAddr;
use serde::Deserialize;

/// Seconds after the last sign of life at which a user, or a node of the
/// reference, counts as gone.
pub(in crate::control::cluster) const FRESH_SECONDS: u64 = 180;

/// What this node reads of a record. What is missing is empty, as in Go.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::control::cluster) struct Record {
    acc_ip: String,
    acc_port: String,
    heartbeat_time: u64,
    is_logoff: bool,
}

impl Record {
    /// `None` if it is not a record.
    pub(in crate::control::cluster) fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The node that holds the user, if the user is online at `now` by the clock
    /// of Redis, and when it has last said so.
    pub(in crate::control::cluster) fn holder(&self, now: u64) -> Option<(NodeAddr, u64)> {
        let is_fresh = self.heartbeat_time.saturating_add(FRESH_SECONDS) >= now;
        let holder = NodeAddr::parse(&format!("{}:{}", self.acc_ip, self.acc_port));
        holder.filter(|_| is_fresh && !self.is_logoff).map(|holder| (holder, self.heartbeat_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(text: &str) -> Option<NodeAddr> {
        Record::parse(text.as_bytes())?.holder(1_000).map(|(holder, _)| holder)
    }

    #[test]
    fn a_record_of_a_go_node_is_read() {
        let record = |beat: u64, off: bool| {
            format!(
                r#"{{"accIp":"10.0.0.2","accPort":"9001","appID":101,"userID":"ua",
                "clientIp":"203.0.113.7:24442","clientPort":"","loginTime":5,"heartbeatTime":{beat},
                "logOutTime":0,"qua":"","deviceInfo":"","isLogoff":{off}}}"#
            )
        };
        let there = NodeAddr::parse("10.0.0.2:9001");
        assert_eq!(holder(&record(820, false)), there, "180 s are still fresh");
        assert_eq!(holder(&record(819, false)), None);
        assert_eq!(holder(&record(1_060, false)), there, "a node whose clock is ahead");
        assert_eq!(holder(&record(1_000, true)), None);
    }

    #[test]
    fn garbage_is_nobodys() {
        let odd =
            ["", "1", "[]", "null", "{}", r#"{"accIp":1}"#, r#"{"accIp":"a","heartbeatTime":-1}"#];
        for text in odd {
            assert_eq!(holder(text), None, "{text}");
        }
        let no_port = r#"{"accIp":"10.0.0.2","accPort":"x","heartbeatTime":1000}"#;
        assert_eq!(holder(no_port), None);
    }
}
