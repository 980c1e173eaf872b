//! The door of the load lab: arguments, run, report, exit code.

use clap::{CommandFactory, Parser, Subcommand};
use millgate_bench::agent::lead;
use millgate_bench::command::agent::Agent;
use millgate_bench::command::chat::Chat;
use millgate_bench::command::diff::{Diff, Report};
use millgate_bench::command::echo::Echo;
use millgate_bench::command::fanout::FanoutCommand;
use millgate_bench::command::hold::Hold;
use millgate_bench::command::hostile::HostileCommand;
use millgate_bench::command::plan::PlanCommand;
use millgate_bench::command::storm::StormCommand;
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
    /// Send requests over some of many connections, check every answer
    Echo(Echo),
    /// Users who log in, beat, ping and get messages, in a mix by weights
    Chat(Chat),
    /// Send a message to everybody, time every receipt
    Fanout(FanoutCommand),
    /// Drop many connections at once, watch them come back
    Storm(StormCommand),
    /// Let clients misbehave, see what each costs the server
    Hostile(HostileCommand),
    /// Measure a server, say what another machine would hold
    Plan(PlanCommand),
    /// Compare two results, figure by figure
    Diff(Diff),
    /// Draw a result that was kept
    Report(Report),
    /// Generate load for a coordinator on another host
    Agent(Agent),
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
    match run(arguments.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("millgate-bench: {error}");
            let bad = error.kind() == io::ErrorKind::InvalidInput;
            if bad { Exit::BadArguments.into() } else { Exit::Failed.into() }
        }
    }
}

fn run(command: Command) -> io::Result<Exit> {
    if let Some(led) = lead(Arguments::command()) {
        return led?.deliver();
    }
    let (run, exit) = match command {
        Command::Hold(hold) => hold.run(),
        Command::Echo(echo) => echo.run(),
        Command::Chat(chat) => chat.run(),
        Command::Fanout(fanout) => fanout.run(),
        Command::Storm(storm) => storm.run(),
        Command::Hostile(hostile) => hostile.run(),
        Command::Plan(plan) => plan.run(),
        Command::Diff(diff) => return diff.run(),
        Command::Report(report) => return report.run(),
        Command::Agent(agent) => agent.run(Arguments::command()).map(|never| match never {}),
    }?;
    run.finish()?.deliver(exit)
}
