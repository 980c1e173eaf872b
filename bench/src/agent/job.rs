//! A job: the command line of one generator, made and checked by what clap
//! knows of the flags, so that a new flag needs no word here.

use crate::units::count;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use std::any::TypeId;
use std::path::PathBuf;

/// The commands that open connections.
const COMMANDS: [&str; 6] = ["hold", "echo", "chat", "fanout", "storm", "hostile"];

/// Flags of which each generator gets its part, besides those that end in `rate`.
const SHARED: [&str; 3] = ["connections", "active", "probes"];

/// Flags that are for the coordinator alone: an agent writes nothing and judges nothing.
const LEADS: [&str; 12] = [
    "agents",
    "agent-key-file",
    "wait-for-start",
    "no-tui",
    "slo",
    "server-pid",
    "output-format",
    "output",
    "json",
    "csv",
    "html",
    "hlog",
];

/// The command lines of so many generators that do together what was asked of one.
///
/// # Errors
/// One line, if the command cannot be shared, or if there is not enough for everybody.
pub(super) fn split(
    command: &Command,
    matches: &ArgMatches,
    agents: usize,
) -> Result<Vec<Vec<String>>, String> {
    let (name, flags, given) = chosen(command, matches)?;
    if !COMMANDS.contains(&name) {
        return Err(format!("--agents: {name} runs on one host"));
    }
    let mut jobs = vec![vec![name.to_owned()]; agents];
    let mut crowds = vec![0; agents];
    for flag in flags {
        let (Some(long), Some(source)) =
            (flag.get_long(), given.value_source(flag.get_id().as_str()))
        else {
            continue;
        };
        if LEADS.contains(&long) || matches!(long, "first-user" | "seed") {
            continue;
        }
        let shared = SHARED.contains(&long) || long.ends_with("rate") || long == "stage";
        if !shared && source != ValueSource::CommandLine {
            continue;
        }
        if is_kept_here(flag) {
            return Err(format!("--{long} names a file of one host: not with --agents"));
        }
        for value in values(flag, given)? {
            let parts = match value.split_once(':') {
                _ if !shared => vec![value; agents],
                Some((time, number)) if long == "stage" => {
                    let numbers = parts(long, number, agents)?;
                    note(&mut crowds, &numbers);
                    numbers.iter().map(|part| format!("{time}:{part}")).collect()
                }
                _ => {
                    let numbers = parts(long, &value, agents)?;
                    if long == "connections" {
                        note(&mut crowds, &numbers);
                    }
                    numbers.iter().map(u64::to_string).collect()
                }
            };
            for (job, part) in jobs.iter_mut().zip(parts) {
                job.push(if takes_values(flag) {
                    format!("--{long}={part}")
                } else {
                    format!("--{long}")
                });
            }
        }
    }
    let number = |id: &str| given.try_get_raw(id).ok().flatten()?.next()?.to_str()?.parse().ok();
    let (mut user, seed) = (number("first_user").unwrap_or(0_u64), number("seed").unwrap_or(1_u64));
    for (index, (job, crowd)) in jobs.iter_mut().zip(&crowds).enumerate() {
        job.push(format!("--first-user={user}"));
        job.push(format!("--seed={}", seed.wrapping_add(index as u64)));
        // Half-done handshakes have slots beyond the crowd: as many at most.
        user += 2 * crowd;
        if index > 0 && matches!(name, "fanout" | "hostile") {
            job.push("--listen-only".to_owned());
        }
    }
    u32::try_from(user).map_err(|_| "--first-user: too many users".to_owned())?;
    Ok(jobs)
}

/// The command line that an agent runs for a job, without what a stranger might have slipped in.
///
/// # Errors
/// One line, if it is not a generator's.
pub(super) fn accept(command: &Command, job: &[String]) -> Result<Vec<String>, String> {
    let line = std::iter::once(command.get_name()).chain(job.iter().map(String::as_str));
    let matches = command.clone().try_get_matches_from(line).map_err(|error| {
        let text = error.to_string();
        text.lines().next().unwrap_or("a command line that makes no sense").to_owned()
    })?;
    let (name, flags, given) = chosen(command, &matches)?;
    if !COMMANDS.contains(&name) {
        return Err(format!("{name} is nothing that an agent does"));
    }
    let mut accepted = vec![name.to_owned()];
    for flag in flags {
        let Some(ValueSource::CommandLine) = given.value_source(flag.get_id().as_str()) else {
            continue;
        };
        let long = flag.get_long().unwrap_or_default();
        if is_kept_here(flag) {
            return Err(format!("--{long} is nothing that an agent does"));
        }
        if !takes_values(flag) {
            accepted.push(format!("--{long}"));
            continue;
        }
        accepted.extend(values(flag, given)?.iter().map(|value| format!("--{long}={value}")));
    }
    Ok(accepted)
}

/// The subcommand that was given: its name, its flags, what was said of them.
fn chosen<'a>(
    command: &'a Command,
    matches: &'a ArgMatches,
) -> Result<(&'a str, Vec<&'a Arg>, &'a ArgMatches), String> {
    let (name, given) = matches.subcommand().ok_or("no command")?;
    let found = command.find_subcommand(name).ok_or("no such command")?;
    Ok((name, found.get_arguments().collect(), given))
}

/// Nothing for an agent: the coordinator's own flags, and every one that names a file.
fn is_kept_here(flag: &Arg) -> bool {
    let names_a_file = flag.get_value_parser().type_id() == TypeId::of::<PathBuf>();
    names_a_file || flag.get_long().is_none_or(|long| LEADS.contains(&long))
}

fn takes_values(flag: &Arg) -> bool {
    flag.get_action().takes_values()
}

/// What was given, as it was written; a switch that is off has nothing.
fn values(flag: &Arg, given: &ArgMatches) -> Result<Vec<String>, String> {
    let id = flag.get_id().as_str();
    let raw = given.get_raw(id).into_iter().flatten();
    let text = raw.map(|value| value.to_str().map(str::to_owned));
    text.collect::<Option<Vec<_>>>().ok_or_else(|| format!("--{id}: not text"))
}

/// A number in as even parts as whole numbers allow; nobody gets nothing of something.
fn parts(flag: &str, value: &str, agents: usize) -> Result<Vec<u64>, String> {
    let (all, agents) = (count(value)?, agents as u64);
    if all > 0 && all < agents {
        return Err(format!("--{flag} {value}: less than one for each of {agents} agents"));
    }
    Ok((0..agents).map(|index| all / agents + u64::from(index < all % agents)).collect())
}

fn note(crowds: &mut [u64], numbers: &[u64]) {
    for (crowd, number) in crowds.iter_mut().zip(numbers) {
        *crowd = (*crowd).max(*number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Common;
    use clap::Args;

    fn command() -> Command {
        let rate = Arg::new("rate").long("rate").value_parser(count);
        let login = Arg::new("login").long("login").action(clap::ArgAction::SetTrue);
        let stage = Arg::new("stages").long("stage").action(clap::ArgAction::Append);
        let file = Arg::new("orders").long("orders").value_parser(clap::value_parser!(PathBuf));
        let flags = [rate, login, stage, file];
        let flags = |name| Common::augment_args(Command::new(name)).args(&flags);
        Command::new("millgate-bench").subcommands(["hold", "fanout", "plan"].map(flags))
    }

    fn jobs(line: &str, agents: usize) -> Result<Vec<Vec<String>>, String> {
        let matches = command().try_get_matches_from(line.split(' ')).unwrap();
        split(&command(), &matches, agents)
    }

    #[test]
    fn numbers_are_shared_and_users_are_not() {
        let line = "millgate-bench fanout -c 11 --rate 1k --apps 1,2 --login --first-user 100 \
                    --agents a:1,b:1 --json out.json --slo p99<5ms --server-pid 1";
        let jobs = jobs(line, 2).unwrap();
        let both = ["fanout", "--rate=500", "--apps=1", "--apps=2", "--login"];
        for job in &jobs {
            assert!(both.iter().all(|flag| job.contains(&(*flag).to_owned())), "{job:?}");
            let leads = ["--agents", "--json", "--slo", "--server-pid", "--output-format"];
            assert!(
                !job.iter().any(|flag| leads.iter().any(|lead| flag.starts_with(lead))),
                "{job:?}"
            );
            assert_eq!(accept(&command(), job).map(|line| line.len()), Ok(job.len()));
        }
        let of = |index: usize, flag: &str| jobs[index].iter().any(|given| given == flag);
        assert!(of(0, "--connections=6") && of(1, "--connections=5"));
        assert!(of(0, "--first-user=100") && of(1, "--first-user=112"));
        assert!(of(0, "--seed=1") && of(1, "--seed=2"));
        assert!(!of(0, "--listen-only") && of(1, "--listen-only"));
    }

    #[test]
    fn defaults_and_stages_are_shared_too() {
        let jobs = jobs("millgate-bench hold --stage 1s:3k --stage 2s:9k", 3).unwrap();
        for (job, user) in jobs.iter().zip([0, 6_000, 12_000]) {
            let flags = ["--stage=1s:1000", "--stage=2s:3000", &format!("--first-user={user}")];
            assert!(flags.iter().all(|flag| job.contains(&(*flag).to_owned())), "{job:?}");
        }
        assert!(jobs[0].contains(&"--connections=334".to_owned()), "{jobs:?}");
    }

    #[test]
    fn what_cannot_be_shared_is_refused() {
        assert!(jobs("millgate-bench hold -c 2", 3).unwrap_err().contains("less than one"));
        assert!(jobs("millgate-bench plan", 2).unwrap_err().contains("one host"));
        assert!(jobs("millgate-bench hold --orders x", 2).unwrap_err().contains("names a file"));
    }

    #[test]
    fn an_agent_writes_no_files_and_leads_nobody() {
        for line in [
            "hold --json=/etc/passwd",
            "hold -o /etc/passwd",
            "hold --html=x",
            "hold --csv=x",
            "hold --hlog=x",
            "hold --agents=a:1",
            "hold --agent-key-file=/etc/shadow",
            "hold --output-format=quiet",
            "hold --wait-for-start",
            "hold --server-pid=1",
            "hold --orders=/tmp/fifo",
            "hold --no-such-flag",
            "hold --help",
            "plan",
            "",
        ] {
            let job: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let refused = accept(&command(), &job).unwrap_err();
            assert!(!refused.contains('\n') && !refused.is_empty(), "{line}: {refused:?}");
        }
    }
}
