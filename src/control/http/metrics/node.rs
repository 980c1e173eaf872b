//! The part of the metrics that is about the node as a whole.

use super::{Page, as_f64, load};
use crate::control::http::{Site, room};
use crate::host::kernel::{KernelMemory, Process};
use crate::link::{Shortage, Stage};

impl Page {
    pub(super) fn of_node(self, site: &Site) -> Self {
        let directory = &site.hub.directory;
        let users = directory
            .apps()
            .map(|app| (vec![("app", app.to_string())], as_f64(directory.members(app) as u64)));
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        let Process { threads, resident_bytes } = Process::now();
        let refused = Shortage::ALL.map(|(shortage, name)| {
            let is_short = site.hub.admission.is_short(shortage);
            (vec![("reason", name.to_owned())], f64::from(u8::from(is_short)))
        });
        self.gauges(
            "millgate_build_info",
            "Always 1; the label says which version runs.",
            [(version, 1.0)],
        )
        .gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            resident_bytes,
        )
        .gauge("process_threads", "Threads of the process.", threads)
        .gauge(
            "millgate_ready",
            "1 while messages are delivered, as /readyz says.",
            u64::from(site.readiness.findings().complaints.is_empty()),
        )
        .gauge(
            "millgate_admission_closed",
            "1 while nobody new is let in because memory is short.",
            u64::from(site.hub.admission.is_closed()),
        )
        .gauges(
            "millgate_new_clients_refused",
            "1 while the node takes no new clients for this reason, as /readyz says.",
            refused,
        )
        .gauge(
            "millgate_host_memory_free_bytes",
            "Memory of the host, or of the control group, that could be had without swapping.",
            load(&site.metrics.shared.memory_free_bytes),
        )
        .gauge(
            "millgate_host_tcp_memory_bytes",
            "Memory that all TCP sockets of the host have taken.",
            load(&site.metrics.shared.tcp_used_bytes),
        )
        .gauge(
            "millgate_host_tcp_memory_limit_bytes",
            "What they may take (net.ipv4.tcp_mem, third number).",
            load(&site.metrics.shared.tcp_limit_bytes),
        )
        .gauges("millgate_users", "Users logged in, by app.", users)
        .gauge(
            "millgate_dedup_entries",
            "Message ids remembered so that none is sent twice.",
            site.delivery.remembered() as u64,
        )
        .counter(
            "millgate_log_lines_dropped_total",
            "Log lines lost because the queue was full or could not be written out.",
            site.dropped.count() as u64,
        )
    }

    /// What still fits, and what the kernel keeps.
    pub(super) fn of_room(self, site: &Site) -> Self {
        let room = room::of(site);
        let left = room
            .limits
            .iter()
            .map(|(name, left)| (vec![("limit", (*name).to_owned())], as_f64(*left)));
        let kernel = KernelMemory::now();
        self.gauge(
            "millgate_connections_that_fit",
            "Connections that this node can still take, by the limit that binds first.",
            room.binds().1,
        )
        .gauges(
            "millgate_connections_that_fit_by_limit",
            "Connections that this node can still take, by each limit alone.",
            left,
        )
        .gauge(
            "millgate_kernel_slab_bytes",
            "Memory of the kernel's objects on this host, sockets among them.",
            kernel.slab_bytes,
        )
    }

    /// How far the end has come.
    pub(super) fn of_drain(self, site: &Site) -> Self {
        let progress = site.drain.progress(site.clock.now());
        let stage = match progress.stage {
            Stage::Serving => 0,
            Stage::Grace => 1,
            Stage::Closing => 2,
        };
        self.gauge(
            "millgate_drain_stage",
            "0 while the node serves, 1 in the grace of a drain, 2 while connections are closed.",
            stage,
        )
        .gauge(
            "millgate_drain_connections",
            "Connections there were when the closing began.",
            progress.total as u64,
        )
        .gauge(
            "millgate_drain_told",
            "Connections that were told to come back later, or elsewhere.",
            progress.told as u64,
        )
        .gauges(
            "millgate_drain_rate",
            "Connections told a second.",
            [(Vec::new(), if progress.per_second.is_finite() { progress.per_second } else { 0.0 })],
        )
        .gauges(
            "millgate_drain_left_seconds",
            "Time until the grace ends, or the deadline comes.",
            [(Vec::new(), progress.left.as_secs_f64())],
        )
    }
}
