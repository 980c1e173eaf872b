//! What the baselines have in common: where they listen, and how they say so.
//!
//! They are what the gateway is measured against: `bare` is the least that any
//! server has to do, the others are echo servers as a competent user of a
//! library would write them.

use std::io::{self, Write};
use std::net::SocketAddr;

/// What every baseline is told.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Listen {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Threads that serve; one per core if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX))]
    threads: Option<u16>,
}

/// 1,024 descriptor tables of 1,024 are a million sockets, too.
const THREADS_MAX: i64 = 1_024;

/// As large as the kernel lets an accept queue be (`net.core.somaxconn` cuts it).
pub const BACKLOG: u32 = 65_535;

impl Listen {
    /// How many threads serve.
    #[must_use]
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }
}

/// Says on stdout where the server listens and which process it is, as
/// `listening 127.0.0.1:4711 pid 42`: whoever started it waits for this line.
///
/// # Errors
/// When stdout is closed.
pub fn announce(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening {address} pid {}", std::process::id())?;
    stdout.flush()
}

/// Whether an error of `accept` only says that the client has gone again.
#[must_use]
pub fn is_of_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}
