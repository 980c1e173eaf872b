//! What another machine would hold, from what was measured on this one.
//!
//! Pure arithmetic: every limit becomes a [`Ceiling`] of its own, with how it
//! was computed and what lifts it; the least of them is the answer. A limit of
//! which nothing is known is left out, never guessed.

mod kernel;
mod work;

use crate::report::words;
use crate::result::{CapacityAnswer, Ceiling, CpuCosts, Knee, MemorySlopes};
use crate::units::grouped;

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// RAM of the machine.
    pub memory_bytes: u64,
    /// Its cores.
    pub cores: u32,
    /// Seconds between two heartbeats of a connection; 0 for none.
    pub heartbeat_s: f64,
    /// Messages a second to single users, of all connections together.
    pub messages_per_s: f64,
    /// Messages a second to many.
    pub fanouts_per_s: f64,
    /// To how many each of these goes; none for every connection.
    pub fanout_receivers: Option<u64>,
    /// Seconds within which a message to all has to be with the last; none if that does not matter.
    pub fanout_within_s: Option<f64>,
    /// Seconds within which all have to be back after all were dropped.
    pub storm_within_s: Option<f64>,
    /// Connections that are wanted.
    pub wanted: Option<u64>,
    /// Through how many (proxy address, server address, server port) tuples the
    /// connections come; none if no proxy opens TCP connections to the server.
    pub proxy_tuples: Option<u32>,
    /// Limits of the machine.
    pub host: Host,
}

/// Limits of the machine that is asked about; those not given are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Host {
    /// Descriptors in one table: the lesser of `RLIMIT_NOFILE` and `fs.nr_open`.
    pub open_files_max: Option<u64>,
    /// Private tables that the server has, one for each reactor; 1 if it shares one.
    pub descriptor_tables: u32,
    /// `fs.file-max`.
    pub files_max: Option<u64>,
    /// `fs.epoll.max_user_watches`.
    pub epoll_watches_max: Option<u64>,
    /// The last of the three numbers of `net.ipv4.tcp_mem`, pages.
    pub tcp_mem_pages_max: Option<u64>,
    /// `net.netfilter.nf_conntrack_max`, if a rule makes the kernel track connections.
    pub conntrack_max: Option<u64>,
    /// Packets a second that the network card takes, both directions together.
    pub packets_per_s: Option<f64>,
}

/// What was measured, and how far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Bytes per connection.
    pub memory: Option<MemorySlopes>,
    /// Whether both ends shared the host: its slab and socket memory are then of both.
    pub loopback: bool,
    /// The most connections of which memory was measured.
    pub connections: u64,
    /// CPU for each event.
    pub cpu: Option<CpuCosts>,
    /// The highest load that was borne.
    pub knee: Option<Knee>,
    /// Cores that the server had meanwhile.
    pub cores: u32,
    /// Receipts of messages to all, a second.
    pub receipts_per_s: Option<f64>,
    /// Handshakes a second.
    pub connects_per_s: Option<f64>,
}

/// Every ceiling, the tightest first. Without any known limit the answer is 0 connections.
#[must_use]
pub fn answer(measured: &Measured, question: &Question) -> CapacityAnswer {
    let mut ceilings: Vec<Ceiling> =
        [kernel::ceilings(measured, question), work::ceilings(measured, question)].concat();
    ceilings.sort_by_key(|ceiling| ceiling.connections);
    CapacityAnswer {
        question: question.text(),
        memory_bytes: question.memory_bytes,
        cores: question.cores,
        heartbeat_s: question.heartbeat_s,
        messages_per_s: question.messages_per_s,
        connections: ceilings.first().map_or(0, |ceiling| ceiling.connections),
        wanted: question.wanted,
        ceilings,
    }
}

impl Question {
    /// The question in words.
    #[must_use]
    pub fn text(&self) -> String {
        let mut parts = vec![match self.wanted {
            Some(wanted) => format!("{} connections", grouped(wanted)),
            None => "as many connections as fit".to_owned(),
        }];
        if self.heartbeat_s > 0.0 {
            parts.push(format!("a heartbeat every {} s", words::number(self.heartbeat_s)));
        }
        if self.messages_per_s > 0.0 {
            parts.push(format!("{} messages/s", words::number(self.messages_per_s)));
        }
        if self.fanouts_per_s > 0.0 {
            let receivers = self.fanout_receivers.map_or("all".to_owned(), grouped);
            parts.push(format!("{} messages/s to {receivers}", words::number(self.fanouts_per_s)));
        }
        if let Some(within) = self.fanout_within_s {
            parts.push(format!("a message with everybody within {} s", words::number(within)));
        }
        if let Some(within) = self.storm_within_s {
            parts.push(format!("everybody back within {} s", words::number(within)));
        }
        if let Some(tuples) = self.proxy_tuples {
            parts.push(format!("behind a proxy with {tuples} address and port tuples"));
        }
        parts.join(", ")
    }
}

/// A ceiling, unless nothing bounds it.
fn ceiling(
    limit: &str,
    connections: f64,
    because: String,
    remedy: impl Into<String>,
) -> Option<Ceiling> {
    connections.is_finite().then(|| Ceiling {
        limit: limit.to_owned(),
        // What is whole but for the error of a floating-point number stays whole.
        connections: (connections.max(0.0) + 1e-6) as u64,
        because,
        remedy: remedy.into(),
        extrapolated: false,
    })
}

/// Nothing is foretold without saying so beyond this multiple of what was measured.
const FORETOLD: f64 = 2.0;

#[cfg(test)]
mod tests;
