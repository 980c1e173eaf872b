//! Closes the doors to new clients before memory runs out.

use super::http::Site;
use crate::config::Config;
use crate::host::memory::Memory;
use crate::host::pressure::{Pressure, Supply};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often it is looked. At 50,000 new connections a second, each some 4 kB to
/// the kernel, 200 MB may have gone in between: less than the default reserve of
/// a host that can take in so many.
const EVERY: Duration = Duration::from_secs(1);

/// Watches the memory of the host as long as the node runs.
pub(super) async fn watch(site: Arc<Site>) {
    let mut pressure = Pressure::new(0);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        ticks.tick().await;
        let supply = Supply::read(Path::new("/"));
        pressure.set_reserve(site.policy.get().config.limits.memory_reserve_bytes as u64);
        let short = pressure.judge(&supply);
        site.hub.admission.close(short.is_some());
        let stats = &site.metrics.shared;
        stats.memory_free_bytes.store(supply.free_bytes(), Ordering::Relaxed);
        stats.tcp_used_bytes.store(supply.tcp_used_bytes, Ordering::Relaxed);
        stats.tcp_limit_bytes.store(supply.tcp_limit_bytes, Ordering::Relaxed);
        if short != before {
            match short {
                Some(what) => tracing::warn!(
                    free_bytes = supply.free_bytes(),
                    tcp_used_bytes = supply.tcp_used_bytes,
                    tcp_limit_bytes = supply.tcp_limit_bytes,
                    "no new clients: {what} is short"
                ),
                None => tracing::info!("new clients are let in again"),
            }
            before = short;
        }
    }
}

/// Bytes of this memory that are to be left.
pub(super) fn reserve_bytes(config: &Config, memory: &Memory) -> u64 {
    memory.reserve_bytes(config.limits.memory_reserve_bytes as u64)
}
