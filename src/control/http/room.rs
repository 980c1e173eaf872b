//! How many more connections fit, for the metrics and the admin page.

use super::Site;
use crate::control::pressure;
use crate::host::doctor::{Facts, Headroom, Usage};
use std::path::Path;

pub(super) use crate::host::doctor::KERNEL_BYTES_EACH;

/// What is left now.
pub(super) fn of(site: &Site) -> Headroom {
    let holdings = &site.holdings;
    let budgets = [&holdings.outboxes, &holdings.assemblies];
    let left =
        budgets.map(|budget| budget.limit_bytes().saturating_sub(budget.used_bytes()) as u64);
    let (policy, facts) = (site.policy.get(), Facts::read(Path::new("/")));
    let usage = Usage {
        connections: site.metrics.total(|block| &block.connections),
        capacity: holdings.capacity as u64,
        connections_max: policy.config.limits.connections as u64,
        budget_left_bytes: left.into_iter().sum(),
        reserve_bytes: pressure::reserve_bytes(&policy.config, &facts.memory),
    };
    Headroom::of(&facts, &usage)
}
