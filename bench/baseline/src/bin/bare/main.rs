//! The least work that any server has to do: `epoll_wait`, `accept4`, `read`,
//! `write`, `sendto`, and nothing else.
//!
//! ```text
//!  main ── orders, bell ──► worker 0 … n   one thread per core, pinned: own listener
//!    ▲                        │             (SO_REUSEPORT), epoll, descriptor table
//!    └──────── counts ────────┘ peer ── bytes ──► answer
//! ```
//!
//! A gateway that reaches a large part of what these loops do cannot be made
//! much faster. They answer every head with the same 101, whose accept key is
//! that of the nonce in RFC 6455 §1.3: a client that checks it sends that nonce.

mod answer;
mod orders;
mod peer;
mod worker;

use answer::Answer;
use clap::{Parser, Subcommand};
use millgate::host::kernel;
use millgate_baseline::{Listen, announce};
use orders::Workers;
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

/// Bare loops, to compare WebSocket servers with.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers every request with a canned 101 and holds the socket
    Accept(Listen),
    /// Answers every read with a write of as much
    Echo {
        #[command(flatten)]
        listen: Listen,
        /// Answer each frame with a text frame of as many letters, for clients
        /// that want frames; without this the bytes themselves come back
        #[arg(long)]
        websocket: bool,
    },
    /// Answers each frame with the gateway's reply to `ping`, with the request's `seq`
    Ping(Listen),
    /// Holds sockets and sends to all of them what stdin orders: `send BYTES` or `text WORDS`
    Send(Listen),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> io::Result<()> {
    let (listen, answer) = match command {
        Command::Accept(listen) | Command::Send(listen) => (listen, Answer::Nothing),
        Command::Echo { listen, websocket: false } => (listen, Answer::Same),
        Command::Echo { listen, websocket: true } => (listen, Answer::AsMuch),
        Command::Ping(listen) => (listen, Answer::Pong),
    };
    kernel::raise_open_files();
    // SO_REUSEPORT would hide that somebody else has the port.
    drop(TcpListener::bind(listen.listen)?);
    let (workers, address) = Workers::start(listen, answer)?;
    announce(address)?;
    if matches!(command, Command::Send(_)) {
        workers.obey(io::stdin().lock())?;
    }
    workers.join()
}
