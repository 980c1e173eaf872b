//! Closes the doors to new clients before memory runs out.

use crate::host::kernel;
use crate::host::pressure::{Memory, Pressure};
use crate::hub::Hub;
use crate::metrics::Metrics;
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

/// Watches the memory of the host as long as the node runs; `reserve_bytes` are
/// to be left, 0 for the default.
pub(super) async fn watch(hub: Arc<Hub>, metrics: Arc<Metrics>, reserve_bytes: usize) {
    let reserve = match reserve_bytes {
        // Who cannot be asked has no reserve; the start has read it already.
        0 => kernel::memory_bytes().unwrap_or(0) / RESERVE_SHARE,
        bytes => bytes,
    };
    let mut pressure = Pressure::new(reserve as u64);
    let mut ticks = tokio::time::interval(EVERY);
    let mut before = None;
    loop {
        ticks.tick().await;
        let memory = Memory::read(Path::new("/"));
        let short = pressure.judge(&memory);
        hub.admission.close(short.is_some());
        metrics.shared.memory_free_bytes.store(memory.free_bytes, Ordering::Relaxed);
        metrics.shared.tcp_used_bytes.store(memory.tcp_used_bytes, Ordering::Relaxed);
        metrics.shared.tcp_limit_bytes.store(memory.tcp_limit_bytes, Ordering::Relaxed);
        if short != before {
            match short {
                Some(what) => tracing::warn!(?memory, "no new clients: {what} is short"),
                None => tracing::info!("new clients are let in again"),
            }
            before = short;
        }
    }
}
