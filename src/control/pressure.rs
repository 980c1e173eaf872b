//! Closes the doors to new clients before memory runs out.

use super::http::Site;
use crate::config::Config;
use crate::host::kernel;
use crate::host::pressure::{Memory, Pressure};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it is looked. At 50,000 new connections a second, each some 4 kB to
/// the kernel, 200 MB may have gone in between: less than the default reserve of
/// a host that can take in so many.
const EVERY: Duration = Duration::from_secs(1);

/// The part of the RAM that is kept free by default.
const RESERVE_SHARE: usize = 32;

/// Watches the memory of the host as long as the node runs.
pub(super) async fn watch(site: Arc<Site>) {
    let mut pressure = Pressure::new(0);
    let mut ticks = tokio::time::interval(EVERY);
    let mut before = None;
    loop {
        ticks.tick().await;
        let memory = Memory::read(Path::new("/"));
        pressure.set_reserve(reserve_bytes(&site.policy.get().config));
        let short = pressure.judge(&memory);
        site.hub.admission.close(short.is_some());
        let stats = &site.metrics.shared;
        stats.memory_free_bytes.store(memory.free_bytes, Ordering::Relaxed);
        stats.tcp_used_bytes.store(memory.tcp_used_bytes, Ordering::Relaxed);
        stats.tcp_limit_bytes.store(memory.tcp_limit_bytes, Ordering::Relaxed);
        if short != before {
            match short {
                Some(what) => tracing::warn!(
                    free_bytes = memory.free_bytes,
                    tcp_used_bytes = memory.tcp_used_bytes,
                    tcp_limit_bytes = memory.tcp_limit_bytes,
                    "no new clients: {what} is short"
                ),
                None => tracing::info!("new clients are let in again"),
            }
            before = short;
        }
    }
}

/// Bytes that are to be left. Where the RAM cannot be asked for these are none; the
/// start has read it already.
pub(super) fn reserve_bytes(config: &Config) -> u64 {
    match config.limits.memory_reserve_bytes {
        0 => (kernel::memory_bytes().unwrap_or(0) / RESERVE_SHARE) as u64,
        bytes => bytes as u64,
    }
}
