//! The machines that are asked about.

use super::super::hold::bad;
use crate::capacity::{Host, Question};
use crate::probe::machine;
use crate::probe::process::Process;
use crate::units::{bytes, count, duration};
use clap::Args;
use millgate::host::doctor::Facts;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What is asked of which machines.
#[derive(Args, Clone, Debug)]
pub(super) struct Machines {
    /// A machine, RAM:CORES, as 64GiB:16; may be repeated (this one, with its limits, if not given)
    #[arg(long = "machine", value_parser = size)]
    machines: Vec<(u64, u32)>,
    /// Connections that are wanted
    #[arg(long, value_parser = count)]
    want: Option<u64>,
    /// Time between two heartbeats of a connection there; 0s for none
    #[arg(long, default_value = "60s", value_parser = duration)]
    heartbeat_every: Duration,
    /// Messages a second to single users there
    #[arg(long, default_value = "0", value_parser = count)]
    messages: u64,
    /// Messages a minute to everybody there
    #[arg(long, default_value_t = 0.0)]
    broadcasts_per_minute: f64,
    /// Time within which a message to everybody has to be with the last
    #[arg(long, value_parser = duration)]
    broadcast_within: Option<Duration>,
    /// Time within which everybody has to be back after a restart
    #[arg(long, value_parser = duration)]
    back_within: Option<Duration>,
    /// Connections come through a TCP proxy with so many (own address, server address, server port) tuples
    #[arg(long)]
    proxy_tuples: Option<u32>,
    /// Descriptors that one table may hold there
    #[arg(long, value_parser = count)]
    open_files: Option<u64>,
    /// Private descriptor tables: the server's reactors there
    #[arg(long)]
    tables: Option<u32>,
    /// Third number of net.ipv4.tcp_mem there, pages
    #[arg(long, value_parser = count)]
    tcp_mem: Option<u64>,
    /// net.netfilter.nf_conntrack_max there, if connections are tracked
    #[arg(long, value_parser = count)]
    conntrack: Option<u64>,
    /// Packets a second that its network card takes
    #[arg(long, value_parser = count)]
    packets: Option<u64>,
}

fn size(text: &str) -> Result<(u64, u32), String> {
    let wrong = || format!("{text:?} is not a machine such as 64GiB:16");
    let (memory, cores) = text.split_once(':').ok_or_else(wrong)?;
    let cores = cores.parse().ok().filter(|cores| (1..=4_096).contains(cores)).ok_or_else(wrong)?;
    Ok((bytes(memory)?, cores))
}

impl Machines {
    /// A question for each machine.
    ///
    /// # Errors
    /// When this host is asked about and cannot be read, or the `server` on it.
    pub(super) fn questions(&self, server: Process) -> io::Result<Vec<Question>> {
        if !self.broadcasts_per_minute.is_finite() || self.broadcasts_per_minute < 0.0 {
            return Err(bad("--broadcasts-per-minute: a number from 0".into()));
        }
        if self.machines.is_empty() {
            let facts = Facts::read(Path::new("/"));
            let memory = facts.memory.total_bytes();
            let memory = memory.ok_or_else(|| io::Error::other("cannot read /proc/meminfo"))?;
            let host = self.limits(Some((&facts, server)))?;
            return Ok(vec![self.question((memory, machine::cores()), host)]);
        }
        let host = self.limits(None)?;
        Ok(self.machines.iter().map(|machine| self.question(*machine, host)).collect())
    }

    /// The limits given, and for those not given what this host says.
    fn limits(&self, here: Option<(&Facts, Process)>) -> io::Result<Host> {
        let facts = here.map(|(facts, _)| facts);
        let number = |key| facts.and_then(|facts| facts.number(key)).filter(bounds);
        let tracks = number("net.netfilter.nf_conntrack_count").is_some_and(|count| count > 0);
        let (open_files, tables) = match here {
            Some((_, server)) => {
                let tables = server.threads_named(REACTOR)?;
                (
                    Some(server.open_files_max()?).filter(bounds),
                    u32::try_from(tables).unwrap_or(u32::MAX),
                )
            }
            None => (None, 1),
        };
        Ok(Host {
            open_files_max: self.open_files.or(open_files),
            descriptor_tables: self.tables.unwrap_or(tables).max(1),
            files_max: number("fs.file-max"),
            epoll_watches_max: number("fs.epoll.max_user_watches"),
            tcp_mem_pages_max: self.tcp_mem.or_else(|| Some(facts?.triple("net.ipv4.tcp_mem")?[2])),
            conntrack_max: self
                .conntrack
                .or_else(|| number("net.netfilter.nf_conntrack_max").filter(|_| tracks)),
            packets_per_s: self.packets.map(|packets| packets as f64),
        })
    }

    fn question(&self, (memory_bytes, cores): (u64, u32), host: Host) -> Question {
        Question {
            memory_bytes,
            cores,
            heartbeat_s: self.heartbeat_every.as_secs_f64(),
            messages_per_s: self.messages as f64,
            fanouts_per_s: self.broadcasts_per_minute / 60.0,
            fanout_receivers: None,
            fanout_within_s: self.broadcast_within.map(|time| time.as_secs_f64()),
            storm_within_s: self.back_within.map(|time| time.as_secs_f64()),
            wanted: self.want,
            proxy_tuples: self.proxy_tuples,
            host,
        }
    }
}

/// Whether a limit is one: some are set to the largest number there is.
fn bounds(limit: &u64) -> bool {
    *limit < 1 << 40
}

/// What the names of the gateway's reactor threads begin with; each has a descriptor table.
const REACTOR: &str = "reactor-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_read() {
        assert_eq!(size("64GiB:16"), Ok((64 << 30, 16)));
        for text in ["", "64GiB", "x:1", "1GiB:0", "1GiB:many"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
