//! The door of the load lab: arguments, run, report, exit code.

use clap::{Parser, Subcommand};
use millgate_bench::command::hold::Hold;
use millgate_bench::exit::Exit;
use std::io;
use std::process::ExitCode;

/// Opens a million WebSocket connections, checks every message, plans the next machine.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Open connections, keep them with heartbeats, count every loss
    Hold(Hold),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; clap says which is which.
            let _printed = error.print();
            return if error.use_stderr() { Exit::BadArguments.into() } else { Exit::Ok.into() };
        }
    };
    let done = match arguments.command {
        Command::Hold(hold) => hold.run(),
    };
    match done {
        Ok((result, exit)) => {
            println!("{}", serde_json::to_string(&result).unwrap_or_default());
            exit.into()
        }
        Err(error) => {
            eprintln!("millgate-bench: {error}");
            let bad = error.kind() == io::ErrorKind::InvalidInput;
            if bad { Exit::BadArguments.into() } else { Exit::Failed.into() }
        }
    }
}
