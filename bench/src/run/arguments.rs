//! What every command that opens connections takes from the command line.

use super::backend::Backend;
use super::credentials::{Credentials, TokenAt};
use crate::stats::slo::Slo;
use crate::swarm::{Beat, Protocol, Sources, Spec, parse_sources};
use crate::units::{count, duration};
use crate::wire::url::Url;
use clap::{Args, ValueEnum};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Options of every run.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where the server listens; may be repeated: the nodes of a fleet, which connections take in turn
    #[arg(long = "url", value_name = "URL", default_value = "ws://127.0.0.1:8089/acc", value_parser = Url::parse)]
    pub urls: Vec<Url>,
    /// Connections: 500, 10k, 1m
    #[arg(long, short, default_value = "1000", value_parser = clients)]
    pub connections: u32,
    /// How long to measure
    #[arg(long, short, default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How long to run before measuring
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub warmup: Duration,
    /// Threads; more are taken if the limit of open files needs them (0: one per core)
    #[arg(long, short, default_value_t = 0)]
    pub threads: usize,
    /// Connection attempts a second; as fast as it goes if not given
    #[arg(long, value_parser = rate)]
    pub connect_rate: Option<f64>,
    /// Connection attempts that one thread has under way at once
    #[arg(long, default_value_t = 64)]
    pub dials: u32,
    /// Source addresses: 10.0.0.5,10.0.1.0/24 (on loopback they need not be given)
    #[arg(long, value_name = "LIST", value_parser = sources)]
    pub source_ip: Option<SourceList>,
    /// Further header of the handshake, "Name: value"; may be repeated
    #[arg(long = "header", short = 'H', value_parser = header)]
    pub headers: Vec<String>,
    /// The server is a bare loop whose answer to the handshake is canned
    #[arg(long)]
    pub canned: bool,
    /// The server is a bare loop that sends our own bytes back, after a canned handshake
    #[arg(long)]
    pub raw: bool,
    /// Time between two heartbeats of a connection; 0s for none
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub heartbeat: Duration,
    /// Apps (rooms) that users log in to, in turn
    #[arg(long, default_value = "101,102,103,104", value_delimiter = ',')]
    pub apps: Vec<u32>,
    /// What user names begin with
    #[arg(long, default_value = "u")]
    pub user_prefix: String,
    /// Number of the first user
    #[arg(long, default_value_t = 0)]
    pub first_user: u32,
    /// Process of the server on this host: its memory and CPU are sampled
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// What the server is called in reports
    #[arg(long, default_value = "server")]
    pub server_name: String,
    /// Do not pin threads to cores
    #[arg(long)]
    pub no_pin: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Service level: p99<200ms, loss<0.1%, rate>10k; may be repeated
    #[arg(long, value_parser = Slo::parse)]
    pub slo: Vec<Slo>,
    /// Generators on other hosts that share this run: host:7075,host2:7075
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub agents: Vec<String>,
    /// File with the key that the agents know (or in MILLGATE_BENCH_KEY)
    #[arg(long, value_name = "FILE")]
    pub agent_key_file: Option<PathBuf>,
    /// Held by an agent: go on only when it says so
    #[arg(long, hide = true)]
    pub wait_for_start: bool,
    /// Another generator sends what goes to everybody
    #[arg(long, hide = true)]
    pub listen_only: bool,
    /// What the gateway wants to be shown
    #[command(flatten)]
    pub credentials: Credentials,
    /// Where results go
    #[command(flatten)]
    pub output: Output,
    /// No progress bar
    #[arg(long)]
    pub no_tui: bool,
}

/// Where results go.
#[derive(Args, Clone, Debug, Default)]
pub struct Output {
    /// What is printed at the end
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub output_format: Format,
    /// Print it into this file
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the result as JSON, for `diff` and later reports
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write timeline and load points as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write a report with plots, one file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write latencies as an HdrHistogram log
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
}

/// What is printed at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// The whole result
    Json,
    /// The timeline
    Csv,
    /// Nothing: the exit code tells
    Quiet,
}

/// Source addresses.
#[derive(Clone, Debug)]
pub struct SourceList(Vec<IpAddr>);

fn sources(text: &str) -> Result<SourceList, String> {
    parse_sources(text).map(SourceList)
}

fn clients(text: &str) -> Result<u32, String> {
    let clients = count(text)?;
    u32::try_from(clients)
        .ok()
        .filter(|clients| *clients <= CLIENTS_MAX)
        .ok_or_else(|| format!("{text}: at most {CLIENTS_MAX} connections"))
}

/// One process has no use for more: the kernel's part alone would be 160 GB.
const CLIENTS_MAX: u32 = 40_000_000;

fn rate(text: &str) -> Result<f64, String> {
    match count(text)? {
        0 => Err("a rate of 0 would never end".into()),
        rate => Ok(rate as f64),
    }
}

fn header(text: &str) -> Result<String, String> {
    let name = text.split_once(':').map(|(name, _)| name);
    let printable = text.bytes().all(|byte| byte == b'\t' || (b' '..0x7F).contains(&byte));
    match name {
        Some(name) if !name.is_empty() && !name.contains(' ') && printable => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not a header such as \"Authorization: Bearer x\"")),
    }
}

impl Common {
    /// What the swarm needs.
    ///
    /// # Errors
    /// When there are not enough source addresses and ports.
    pub fn spec(&self, protocol: Protocol) -> Result<Spec, String> {
        let sources = match &self.source_ip {
            Some(SourceList(list)) => Sources::Listed(list.clone()),
            None if self.urls.iter().all(Url::is_loopback_v4) => Sources::Loopback,
            None => Sources::Kernel,
        };
        let to_one = self.connections.div_ceil(u32::try_from(self.urls.len()).unwrap_or(1));
        if self.source_ip.is_some() && u64::from(to_one) > sources.ceiling() {
            return Err(format!(
                "{to_one} connections need {} source addresses: one address has {} ports to one server port",
                to_one.div_ceil(crate::swarm::PORTS_PER_SOURCE),
                crate::swarm::PORTS_PER_SOURCE,
            ));
        }
        if self.apps.is_empty() {
            return Err("--apps needs at least one app".into());
        }
        let issuer = self.credentials.issuer()?;
        let at_login = self.credentials.token_at == TokenAt::Login;
        let (login_tokens, handshake_tokens) =
            if at_login { (issuer, None) } else { (None, issuer) };
        Ok(Spec {
            urls: self.urls.clone(),
            headers: self.headers.clone(),
            protocol,
            canned: self.canned || self.raw,
            raw: self.raw,
            sources,
            crowd: self.connections,
            probes: 0,
            threads: match self.threads {
                0 => crate::probe::machine::cores() as usize,
                threads => threads,
            },
            gather: Duration::ZERO,
            pin: !self.no_pin,
            dials: self.dials.max(1),
            apps: self.apps.clone(),
            user_prefix: self.user_prefix.clone(),
            first_user: self.first_user,
            login_tokens,
            handshake_tokens,
            seed: self.seed,
        })
    }

    /// The HTTP API of a gateway, called with the key that was given.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn backend(&self, base: &str) -> io::Result<Backend> {
        let wrong = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        Ok(Backend::new(base, self.credentials.api_key().map_err(wrong)?))
    }

    /// How connections are kept alive.
    #[must_use]
    pub fn beat(&self, command: bool) -> Option<Beat> {
        (!self.heartbeat.is_zero()).then_some(Beat { every: self.heartbeat, command })
    }
}
