//! `millgate-bench`: figures of a WebSocket server, measured from outside.
//!
//! It shares no code with the gateway: an error on both sides would agree
//! with itself. A stepping stone to the load lab: today it measures the three
//! figures that the README quotes.

mod bare;
mod client;
mod figures;
mod server;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures a gateway on this machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Memory per connection, echo messages per CPU-second beside a bare loop, login rate
    Figures {
        /// The gateway's binary, built with --release
        #[arg(long, default_value = "target/release/millgate")]
        gateway: PathBuf,
        /// Repetitions of the echo measurement, gateway and bare loop in turn
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Connections of the echo measurement
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
    },
    /// The bare epoll echo loop that the gateway is compared with; prints its port
    BareEcho,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Figures { gateway, rounds, connections } => {
            figures::print(&gateway, rounds, connections)
        }
        Command::BareEcho => bare::echo(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millgate-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
