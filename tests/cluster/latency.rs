//! How long local chat takes, before and during a fault.

use crate::nodes::send;
use crate::support::{Client, Node};
use millgate::clock::Clock;
use serde_json::json;
use std::time::Duration;

/// Times of many messages, ascending.
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Of so many messages through the API to a user of the same node, and as many pings.
    pub fn of_chat(node: &Node, user: &str, client: &mut Client, count: usize) -> Self {
        let clock = Clock::start();
        let mut times = Vec::with_capacity(count);
        for n in 0..count {
            let (began, text) = (clock.now(), n.to_string());
            assert!(send(node, 101, user, &text));
            assert_eq!(client.recv_push("msg")["msg"], text);
            assert_eq!(client.request_reply("ping", json!({}))["response"]["data"], "pong");
            times.push(clock.now() - began);
        }
        times.sort_unstable();
        Self(times)
    }

    /// These and others.
    pub fn and(self, others: Self) -> Self {
        let mut times = [self.0, others.0].concat();
        times.sort_unstable();
        Self(times)
    }

    fn share(&self, share: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * share) as usize]
    }

    /// Panics if they are not those of a node that does its work as before. The room
    /// is for a machine with other things to do: whoever waits for a node that is
    /// out of reach, or for Redis, waits for half a second.
    pub fn expect_as_before(&self, before: &Self) {
        let bound = |share, room| before.share(share) * 3 + Duration::from_millis(room);
        for (share, room) in [(0.5, 20), (0.9, 100), (0.99, 400)] {
            let (now, bound) = (self.share(share), bound(share, room));
            assert!(now <= bound, "{share}: {now:?} > {bound:?}, was {:?}", before.share(share));
        }
    }
}
