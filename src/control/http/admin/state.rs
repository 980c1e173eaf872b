//! `GET /admin/state`: the node as the admin page draws it, asked for once a second.
//!
//! Counters are totals since the start: the page takes differences.

use super::Site;
use super::orders::told;
use crate::clock;
use crate::control::http::answer::success;
use crate::control::http::room;
use crate::control::ready::Findings;
use crate::host::kernel::{KernelMemory, Process};
use crate::host::memory::Memory;
use crate::limits::BACKLOGS_SHOWN;
use crate::link::Backlog;
use crate::metrics::{BOUNDS, Cause, Metrics, ReactorStats, Tally};
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Answers with all of it.
pub(super) async fn state(State(site): State<Arc<Site>>) -> Response {
    let Findings { complaints, remarks } = site.readiness.findings();
    success(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "upMs": site.clock.now().as_millis() as u64,
        "unixSeconds": clock::unix_seconds(),
        "listeners": site.listeners.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ready": complaints.is_empty(),
        "complaints": complaints,
        "remarks": remarks,
        "connections": site.metrics.total(|block| &block.connections),
        "users": site.hub.directory.users(),
        "apps": apps(&site),
        "totals": totals(&site.metrics),
        "closes": closes(&site.metrics),
        "turns": turns(&site.metrics),
        "reactors": reactors(&site),
        "backlog": backlog(&site),
        "memory": memory(&site),
        "room": fits(&site),
        "cluster": cluster(&site),
        "drain": told(&site, &site.drain.progress(site.clock.now())),
        "logLinesLost": site.dropped.count(),
    }))
}

/// So many apps are named, the largest ones.
const APPS_SHOWN: usize = 50;

fn apps(site: &Site) -> Value {
    let directory = &site.hub.directory;
    let mut apps: Vec<(u32, usize)> =
        directory.apps().map(|app| (app.0, directory.members(app))).collect();
    apps.sort_by_key(|(app, users)| (std::cmp::Reverse(*users), *app));
    let shown =
        apps.iter().take(APPS_SHOWN).map(|(app, users)| json!({"app": app, "users": users}));
    json!({"count": apps.len(), "largest": shown.collect::<Vec<_>>()})
}

fn totals(metrics: &Metrics) -> Value {
    let total = |of: fn(&ReactorStats) -> &Tally| metrics.total(of);
    let shared = |number: &AtomicU64| number.load(Ordering::Relaxed);
    json!({
        "messagesIn": total(|block| &block.messages_in),
        "messagesOut": total(|block| &block.messages_out),
        "bytesIn": total(|block| &block.bytes_in),
        "bytesOut": total(|block| &block.bytes_out),
        "accepts": total(|block| &block.accepts),
        "handshakes": total(|block| &block.handshakes),
        "logins": total(|block| &block.logins),
        "undeliverable": total(|block| &block.undeliverable),
        "refused": shared(&metrics.shared.deliver_refused) + shared(&metrics.shared.fanout_refused),
    })
}

fn closes(metrics: &Metrics) -> Value {
    let counts = Cause::ALL.into_iter().map(|(cause, name)| {
        (name.to_owned(), metrics.total(|block| &block.closes[cause as usize]).into())
    });
    Value::Object(counts.collect())
}

/// The histogram of turn times over all reactors.
fn turns(metrics: &Metrics) -> Value {
    let mut sum = [0_u64; BOUNDS + 1];
    for block in &metrics.reactors {
        let (counts, _) = block.pace.turn_us.read();
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let bounds = metrics.reactors.first().map(|block| block.pace.turn_us.bounds.to_vec());
    json!({"boundsUs": bounds.unwrap_or_default(), "counts": sum})
}

fn reactors(site: &Site) -> Value {
    let one = |(block, depth): (&ReactorStats, usize)| {
        let (counts, busy_us) = block.pace.turn_us.read();
        json!({
            "connections": block.connections.get(),
            "messagesIn": block.messages_in.get(),
            "messagesOut": block.messages_out.get(),
            "outboxBytes": block.outbox_bytes.get(),
            "outboxConnections": block.outbox_connections.get(),
            "mailDepth": depth,
            "busyUs": busy_us,
            "turns": counts.iter().sum::<u64>(),
        })
    };
    let blocks = site.metrics.reactors.iter().map(|block| &**block);
    blocks.zip(site.hub.router.depths()).map(one).collect()
}

fn backlog(site: &Site) -> Value {
    let worst = site.holdings.backlogs.largest(BACKLOGS_SHOWN);
    json!({
        "bytes": site.holdings.outboxes.used_bytes(),
        "bytesMax": site.holdings.outboxes.limit_bytes(),
        "connections": site.metrics.total(|block| &block.outbox_connections),
        "worst": worst.iter().map(one_backlog).collect::<Vec<_>>(),
    })
}

fn one_backlog(backlog: &Backlog) -> Value {
    json!({
        "conn": backlog.conn.to_string(),
        "app": backlog.user.as_ref().map(|user| user.app.0),
        "user": backlog.user.as_ref().map(|user| user.id.as_str()),
        "client": backlog.client.to_string(),
        "bytes": backlog.bytes,
    })
}

fn memory(site: &Site) -> Value {
    let (process, kernel) = (Process::now(), KernelMemory::now());
    let allowed = Memory::read(Path::new("/"));
    let connections = site.metrics.total(|block| &block.connections);
    json!({
        "processBytes": process.resident_bytes,
        "outboxBytes": site.holdings.outboxes.used_bytes(),
        "assemblyBytes": site.holdings.assemblies.used_bytes(),
        "assemblyBytesMax": site.holdings.assemblies.limit_bytes(),
        "kernelOfConnectionsBytes": connections * room::KERNEL_BYTES_EACH,
        "kernelSlabBytes": kernel.slab_bytes,
        "kernelTcpBufferBytes": kernel.tcp_buffer_bytes,
        "tcpInUse": kernel.tcp_in_use,
        "tcpTimeWait": kernel.tcp_time_wait,
        "availableBytes": allowed.free_bytes().unwrap_or(0),
        "totalBytes": allowed.total_bytes().unwrap_or(0),
    })
}

fn fits(site: &Site) -> Value {
    let room = room::of(site);
    let (binds, fits) = room.binds();
    let limits = room.limits.iter().map(|(name, fits)| json!({"name": name, "fits": fits}));
    json!({"fits": fits, "binds": binds, "limits": limits.collect::<Vec<_>>()})
}

fn cluster(site: &Site) -> Value {
    let Some(cluster) = &site.cluster else { return Value::Null };
    let now = site.clock.now();
    let peers = cluster.peers().states().into_iter().map(|peer| {
        json!({
            "addr": peer.addr.to_string(),
            "state": match (peer.kind.is_some(), peer.is_down) {
                (true, _) => "up",
                (false, true) => "down",
                (false, false) => "connecting",
            },
            "forMs": now.saturating_sub(peer.since).as_millis() as u64,
            "waiting": peer.waiting,
            "silentMs": peer.silent_for.map(|silence| silence.as_millis() as u64),
            "error": peer.error,
        })
    });
    let stats = &site.metrics.cluster;
    let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
    json!({
        "peers": peers.collect::<Vec<_>>(),
        "presenceWaiting": load(&stats.presence_waiting),
        "presenceLagMs": load(&stats.presence_lag_ms),
        "redisErrors": load(&stats.redis_errors),
        "eventsLost": load(&site.metrics.shared.events_lost),
    })
}
