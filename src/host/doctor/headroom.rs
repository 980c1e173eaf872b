//! How many more connections a gateway that runs can take, and what binds.
//!
//! The judgement asks what a host holds before the gateway runs; this asks
//! what is left while it does, so that what its connections use is counted once.

use super::Facts;
use super::ceilings::{KERNEL_BYTES_EACH, USER_BYTES};

/// What a gateway uses, and may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Connections it has.
    pub connections: u64,
    /// Connections that the descriptor tables of its reactors hold together.
    pub capacity: u64,
    /// `limits.connections`; 0 means no limit.
    pub connections_max: u64,
    /// Bytes of the budgets for backlogs and half-received messages that are not used yet.
    pub budget_left_bytes: u64,
    /// Bytes of the RAM that are to be left free: with less nobody new is let in.
    pub reserve_bytes: u64,
}

/// What is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Each limit that is known with the connections that still fit, the tightest first.
    pub limits: Vec<(&'static str, u64)>,
}

impl Headroom {
    /// What these facts leave.
    #[must_use]
    pub fn of(facts: &Facts, usage: &Usage) -> Self {
        let each = KERNEL_BYTES_EACH + USER_BYTES;
        let kept = usage.budget_left_bytes.saturating_add(usage.reserve_bytes);
        let of_memory = |bytes: u64| bytes.saturating_sub(kept) / each;
        let left = |limit: Option<u64>, used: u64| limit.map(|limit| limit.saturating_sub(used));
        let configured = Some(usage.connections_max).filter(|max| *max > 0);
        let files = facts.number("fs.file-nr").unwrap_or(0);
        let limits = [
            ("open files", left(Some(usage.capacity), usage.connections)),
            ("limits.connections", left(configured, usage.connections)),
            ("RAM", facts.memory.host_free_bytes.map(of_memory)),
            ("memory of the control group", facts.memory.group.map(|room| of_memory(room.left()))),
            ("fs.file-max", left(facts.number("fs.file-max"), files)),
            (
                "fs.epoll.max_user_watches",
                left(facts.number("fs.epoll.max_user_watches"), usage.connections),
            ),
        ];
        let mut limits: Vec<_> =
            limits.into_iter().filter_map(|(name, left)| Some((name, left?))).collect();
        // Stable: among equals the one that usually binds.
        limits.sort_by_key(|(_, left)| *left);
        Self { limits }
    }

    /// The tightest limit, and how many more connections it leaves.
    #[must_use]
    pub fn binds(&self) -> (&'static str, u64) {
        self.limits.first().copied().unwrap_or(("nothing known", u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Room;
    use super::*;
    use crate::host::memory::Memory;

    fn facts() -> Facts {
        Facts {
            memory: Memory { host_free_bytes: Some(8 << 30), ..Memory::default() },
            sysctl: [
                ("fs.file-nr", vec![5_000, 0, 2_000_000]),
                ("fs.file-max", vec![2_000_000]),
                ("fs.epoll.max_user_watches", vec![3_000_000]),
            ]
            .into(),
            ..Facts::default()
        }
    }

    #[test]
    fn the_tightest_limit_binds() {
        let usage = Usage { connections: 4_000, capacity: 39_800, ..Usage::default() };
        let room = Headroom::of(&facts(), &usage);
        assert_eq!(room.binds(), ("open files", 35_800));
        assert_eq!(room.limits[1], ("fs.file-max", 1_995_000));
        let usage = Usage { connections_max: 4_001, ..usage };
        assert_eq!(Headroom::of(&facts(), &usage).binds(), ("limits.connections", 1));
    }

    #[test]
    fn budgets_that_may_still_be_used_are_no_room_for_connections() {
        let usage = Usage {
            capacity: u64::MAX,
            budget_left_bytes: 6 << 30,
            reserve_bytes: 1 << 30,
            ..Usage::default()
        };
        let room = Headroom::of(&facts(), &usage);
        assert_eq!(room.binds(), ("RAM", (1 << 30) / (KERNEL_BYTES_EACH + USER_BYTES)));
        let group = Some(Room { limit: 8 << 30, used: (1 << 30) + 1 });
        let memory = Memory { group, ..facts().memory };
        let full = Headroom::of(&Facts { memory, ..facts() }, &usage);
        assert_eq!(full.binds(), ("memory of the control group", 0));
    }

    #[test]
    fn more_than_allowed_leaves_nothing() {
        let usage = Usage { connections: 10, capacity: 5, connections_max: 7, ..Usage::default() };
        assert_eq!(Headroom::of(&Facts::default(), &usage).binds(), ("open files", 0));
    }
}
