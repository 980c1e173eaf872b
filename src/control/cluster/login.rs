//! Which of two logins of a user is the newer one. No I/O, no clock.

use crate::id::NodeAddr;

/// A login as all nodes see it. The order is total: of two logins at the same time the one
/// at the greater address is the newer one, here and in the script that runs in Redis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::control) struct Login {
    /// Unix milliseconds by the clock of Redis.
    pub(in crate::control) since_ms: u64,
    /// Where it took place.
    pub(in crate::control) node: NodeAddr,
}

/// What a node does with its own login when another node says that it has one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The other login is newer: the own one is displaced.
    Yield,
    /// The own login is newer: the notice is of an older conflict.
    Stay,
    /// One of the two times is not known.
    Unclear,
}

/// Compares the own login with another node's; `None` where the time is not known.
pub(super) fn judge(ours: Option<&Login>, theirs: Option<&Login>) -> Verdict {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if theirs > ours => Verdict::Yield,
        (Some(_), Some(_)) => Verdict::Stay,
        _ => Verdict::Unclear,
    }
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
