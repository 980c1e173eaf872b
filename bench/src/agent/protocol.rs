//! What coordinator and agent say to each other.

use crate::result::RunResult;
use crate::run::led::Part;
use serde::{Deserialize, Serialize};

/// What the coordinator says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Order {
    /// Run a generator with this command line; once in a conversation.
    Job(Vec<String>),
    /// What time is it? Also a sign of life.
    Ping {
        /// When that was asked, on the clock of the one who asks.
        sent_ns: i64,
    },
    /// Let the generator go on at this time on the agent's clock.
    Go {
        /// [`crate::clock::monotonic_ns`] of the agent's host.
        at_ns: i64,
    },
    /// End, and report what was measured.
    Abort,
}

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum News {
    /// The first line.
    Welcome {
        /// Version of the generator.
        version: String,
    },
    /// The job is not done, and why.
    Refused(String),
    /// The answer to a ping.
    Pong {
        /// As in the ping.
        sent_ns: i64,
        /// [`crate::clock::monotonic_ns`] of this host.
        now_ns: i64,
    },
    /// A line of the generator's for people.
    Said(String),
    /// The generator waits for the others.
    Meet(String),
    /// Something it has measured.
    Part(Part),
    /// The generator has ended.
    Done {
        /// Its exit code; none if a signal has ended it.
        code: Option<i32>,
        /// What it has found out, if it has come so far.
        result: Option<Box<RunResult>>,
    },
}

/// Longest line of a coordinator: a command line.
pub(super) const ORDER_BYTES_MAX: u64 = 1 << 18;

/// Longest line of an agent, a result: ten hours of samples are 20 MB.
pub(super) const NEWS_BYTES_MAX: u64 = 64 << 20;
