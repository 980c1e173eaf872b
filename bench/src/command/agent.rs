//! `agent`: a generator that waits for a coordinator on another host.

use crate::agent::{Key, serve};
use clap::{Args, Command};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Waits for a coordinator and runs one job at a time.
#[derive(Args, Clone, Debug)]
pub struct Agent {
    /// Where coordinators call; beyond this host only with a key
    #[arg(long, default_value = "127.0.0.1:7075")]
    listen: SocketAddr,
    /// File with a key that coordinators must know too (or in MILLGATE_BENCH_KEY)
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Agent {
    /// Serves until the process ends; `command` tells which flags there are.
    ///
    /// # Errors
    /// When the key cannot be read or is missing, or the address is taken.
    pub fn run(self, command: Command) -> io::Result<Infallible> {
        serve(self.listen, Key::read(self.key_file.as_deref())?, command)
    }
}
