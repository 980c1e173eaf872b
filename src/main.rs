//! The door: arguments, configuration, run.

#[path = "main/admin_key.rs"]
mod admin_key;
#[path = "main/door.rs"]
mod door;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use crossbeam_channel::{Sender, TrySendError};
use door::{NewKey, NewToken, Suspect};
use millgate::auth::AuthError;
use millgate::config::{Config, ConfigError, Listener, Listeners, Loaded, Log, LogFormat};
use millgate::gateway::{self, Gateway, Source, StartError, test_threads};
use millgate::host::doctor::{Facts, Report, Target, number};
use millgate::host::refused::Explain;
use millgate::host::{fd_table, systemd};
use millgate::link::{Drain, Order, Wish};
use millgate::logging::{self, LogError};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

/// A WebSocket gateway: a million connections in one process.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway until SIGTERM or SIGINT
    #[command(after_help = SETTINGS)]
    Serve(Settings),
    /// Say whether a configuration is right, and what it amounts to
    #[command(after_help = SETTINGS)]
    CheckConfig(Settings),
    /// Print the configuration file with every key and its default
    DefaultConfig,
    /// Say how many connections this host holds, what limits it, and what lifts the limit
    #[command(after_help = DOCTOR)]
    Doctor {
        #[command(flatten)]
        question: Question,
        #[command(flatten)]
        settings: Settings,
    },
    /// Make a key for the HTTP API and gRPC, and the line for auth.keys
    GenKey(NewKey),
    /// Make a token for a user, as an issuer would
    #[command(after_help = SETTINGS)]
    GenToken(NewToken),
    /// Say what a token holds and whether it would be taken; exit status 1 if not
    #[command(after_help = SETTINGS)]
    CheckToken(Suspect),
}

#[derive(Args)]
struct Question {
    /// How many it should hold, such as 10k or 1m
    #[arg(long, value_name = "N", value_parser = number::count)]
    connections: Option<u64>,
    /// A proxy on this host is in front, connecting over one (proxy address, gateway address) pair or more
    #[arg(long, value_name = "PAIRS", num_args = 0..=1, require_equals = true,
          default_missing_value = "1", value_parser = number::count)]
    behind_proxy: Option<u64>,
    /// The clients run on this host too, as in a benchmark
    #[arg(long)]
    both_ends: bool,
    /// For machines
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Settings {
    /// Configuration: TOML, or the reference's app.yaml as it is
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for WebSocket clients (listen.websocket)
    #[arg(long, value_name = "ADDR")]
    websocket: Option<String>,
    /// Address of the HTTP API, pages and metrics (listen.http)
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Threads that own the sockets, 0 for one per core (reactor.threads)
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// error, warn, info, debug, trace, or directives (log.level)
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any key of the configuration; may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = Assignment)]
    assignments: Vec<(String, String)>,
}

const EXAMPLES: &str = "\
Examples:
  millgate serve
  millgate default-config > millgate.toml
  millgate check-config --config millgate.toml
  millgate doctor --connections 1m
  millgate gen-key back-end --scopes read+send
  millgate gen-token --user ann --app 101 --config millgate.toml
  millgate serve --config millgate.toml --websocket 0.0.0.0:9000 --set heartbeat.idle_timeout=60s
  MILLGATE_LOG__FORMAT=json millgate serve";

const DOCTOR: &str = "\
Exit status 1 when the connections do not fit, 0 when they do or when none were asked for. Ask while the
gateway does not run: what is in use counts as taken.";

const SETTINGS: &str = "\
What is not set has its default (see `millgate default-config`). The file comes first; a variable
MILLGATE_SECTION__KEY goes over it, and a flag over both.";

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            complain(&Log::default(), &failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(settings) => {
            if let Err(Fatal { failure, log }) = serve(&settings) {
                complain(&log, &failure.to_string());
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::CheckConfig(settings) => {
            let loaded = settings.load()?;
            // The files that it names are a part of it.
            let faults = gateway::faults(&loaded.config);
            if !faults.is_empty() {
                return Err(Failure::Faults(faults));
            }
            print(&summary(&loaded))?;
        }
        Command::DefaultConfig => print(include_str!("../config/millgate.toml"))?,
        Command::Doctor { question, settings } => {
            return examine(&question, &settings.load()?.config);
        }
        Command::GenKey(order) => door::gen_key(&order)?,
        Command::GenToken(order) => door::gen_token(order)?,
        Command::CheckToken(suspect) => return door::check_token(suspect),
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a node does not run, and the form in which its operator reads that.
struct Fatal {
    failure: Failure,
    log: Box<Log>,
}

fn serve(settings: &Settings) -> Result<(), Fatal> {
    let loaded = settings
        .load()
        .map_err(|error| Fatal { log: Box::new(error.log().clone()), failure: error.into() })?;
    let log = loaded.config.log.clone();
    if log.format == LogFormat::Json {
        report_panics(log.clone());
    }
    run_node(settings, loaded).map_err(|failure| Fatal { failure, log: Box::new(log) })
}

fn run_node(settings: &Settings, loaded: Loaded) -> Result<(), Failure> {
    let Loaded { config, notices, warnings } = loaded;
    test_threads(&config)?;
    let log = logging::start(&config.log)?;
    let log_config = config.log.clone();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "millgate starts");
    for notice in notices {
        tracing::info!("{notice}");
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    // Caught before anybody can know that the server is there.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])
        .explain("sigaction(2) or socketpair(2)", "to wait for signals")
        .map_err(Failure::Signals)?;
    let node = Arc::new(OnceLock::new());
    let (heard, their_log) = (Arc::clone(&node), log_config.clone());
    let hearing = std::thread::Builder::new().name("signals".to_owned());
    let hearing = hearing.spawn(move || hear(signals, &heard, &their_log));
    hearing.explain("clone(2)", "a thread that waits for signals").map_err(Failure::Signals)?;
    match Gateway::start(config, log.dropped_lines()) {
        Ok(gateway) => {
            // Nothing else sets it.
            let _first = node.set((gateway.orders(), gateway.drain()));
            // Its file goes when the node ends.
            let _file =
                gateway.admin_key().map(|key| admin_key::tell(key, gateway.http_listeners()));
            systemd::ready();
            gateway.run(Source { read: || settings.load(), log: log.controls() });
            Ok(())
        }
        Err(error) => {
            if !log_config.file.as_os_str().is_empty() {
                // stderr hears of it from `main`; whoever reads the file later must find it there too.
                tracing::error!("{error}");
            }
            Err(error.into())
        }
    }
}

/// Reports panics as JSON lines. The thread's name tells which part of the program it is.
fn report_panics(log: Log) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let said = said.unwrap_or("no message");
        complain(
            &log,
            &format!(
                "thread {} panicked at {place}: {said}",
                thread.name().unwrap_or("without a name")
            ),
        );
    }));
}

/// Looks at this host and says what it holds.
fn examine(question: &Question, config: &Config) -> Result<ExitCode, Failure> {
    let target = Target {
        connections: question.connections,
        both_ends: question.both_ends,
        proxy_pairs: question.behind_proxy.unwrap_or(0),
        ..Target::of(config)
    };
    let private_tables = target.private_tables
        && match fd_table::test() {
            Ok(()) => true,
            Err(error) => {
                complain(
                    &config.log,
                    &format!("all reactors will share one descriptor table: {error}"),
                );
                false
            }
        };
    let target = Target { private_tables, ..target };
    let report = Report::new(&Facts::read(Path::new("/")), &target);
    let text = match question.json {
        true => {
            serde_json::to_string_pretty(&report).map_err(|error| Failure::Output(error.into()))?
                + "\n"
        }
        false => report.to_string(),
    };
    print(&text)?;
    Ok(if report.refuses() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Makes orders of signals: SIGHUP reloads, the first of the others begins the
/// end in good order, and the second ends at once, unless the drain was taken back meanwhile.
/// While the node starts nobody takes orders: SIGHUP is ignored, and the others end the process.
fn hear(mut signals: Signals, node: &OnceLock<(Sender<Order>, Arc<Drain>)>, log: &Log) {
    // How often drains had been taken back when the end was asked for.
    let mut asked_at: Option<u64> = None;
    for signal in signals.forever() {
        let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
        tracing::info!(target: "millgate::audit", action = name, by = "signal", "order");
        let Some((orders, drain)) = node.get() else {
            if signal == SIGHUP {
                continue;
            }
            say_last(log, "ended by a signal before the node has started");
            std::process::exit(0);
        };
        match signal {
            // Where one is waiting to be carried out already, it does for this one too.
            SIGHUP => drop(orders.try_send(Order::Reload { answer: None })),
            _ if asked_at == Some(drain.times_taken_back()) => end_at_once(log),
            _ => {
                asked_at = Some(drain.times_taken_back());
                let order = Order::Drain { wish: Wish::default(), answer: None };
                // Refused otherwise only by a node that has ended.
                if let Err(TrySendError::Full(order)) = orders.try_send(order) {
                    let orders = orders.clone();
                    // Where many orders wait this takes a while, in which a second signal is heard.
                    let send = move || drop(orders.send(order));
                    if std::thread::Builder::new().spawn(send).is_err() {
                        asked_at = None;
                    }
                }
            }
        }
    }
}

/// A second signal waits neither for clients nor for whoever should read
/// stderr.
fn end_at_once(log: &Log) {
    say_last(log, "second signal: ending at once");
    std::process::exit(1);
}

/// Says the last words by a thread of their own, since stderr can block.
fn say_last(log: &Log, words: &'static str) {
    let (tell, told) = mpsc::channel();
    let log = log.clone();
    // Without a thread they are not said, and there is nothing to wait for.
    let _speaker = std::thread::Builder::new().spawn(move || {
        complain(&log, words);
        let _nobody_waits_any_more = tell.send(());
    });
    let _said_or_too_late = told.recv_timeout(LAST_WORDS);
}

/// Time for a line that a terminal or a file takes at once.
const LAST_WORDS: Duration = Duration::from_millis(50);

impl Settings {
    fn load(&self) -> Result<Loaded, ConfigError> {
        let named = [
            ("--websocket", "listen.websocket", &self.websocket),
            ("--http", "listen.http", &self.http),
            ("--threads", "reactor.threads", &self.threads),
            ("--log-level", "log.level", &self.log_level),
        ];
        let mut overrides = self.assignments.clone();
        for (flag, key, value) in named {
            let Some(value) = value.clone() else { continue };
            if self.assignments.iter().any(|(assigned, _)| assigned == key) {
                let twice = format!("command line: {key:?} is set twice: by {flag} and by --set");
                return Err(twice.into());
            }
            overrides.push((key.to_owned(), value));
        }
        Config::load(self.config.as_deref(), &overrides)
    }
}

/// Reads a `--set`. A complaint does not repeat the value, as that of the library would: there may
/// be a password in it.
#[derive(Clone)]
struct Assignment;

impl TypedValueParser for Assignment {
    type Value = (String, String);

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let parsed = value.to_str().ok_or_else(|| "is not UTF-8".to_owned()).and_then(assignment);
        parsed.map_err(|complaint| {
            let complaint = format!("a value of --set: {complaint}\n");
            clap::Error::raw(ErrorKind::ValueValidation, complaint).with_cmd(command)
        })
    }
}

/// Splits `section.key=value`.
fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("an \"=\" is missing, as in log.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// What an operator wants to see before a restart.
fn summary(Loaded { config, notices, warnings }: &Loaded) -> String {
    let Config { listen, reactor, heartbeat, apps, log, redis, .. } = config;
    let threads = match reactor.threads {
        0 => "one per core".to_owned(),
        threads => threads.to_string(),
    };
    let cluster = match redis {
        Some(redis) => {
            let tls = if redis.tls { " by TLS" } else { "" };
            format!("redis {}{tls}, grpc {}", redis.addr, listen.grpc)
        }
        None => "none, this node is complete by itself".to_owned(),
    };
    let file = match log.file.as_os_str().is_empty() {
        true => "stderr".to_owned(),
        false => log.file.display().to_string(),
    };
    let mut text = format!(
        "ok\n\
         websocket  {}\n\
         http       {}\n\
         reactors   {threads}\n\
         idle after {:?}\n\
         apps       {}\n\
         log        {} to {file}\n\
         cluster    {cluster}\n",
        places(&listen.websocket, "ws", &listen.path),
        places(&listen.http, "http", ""),
        heartbeat.idle_timeout,
        some_of(&apps.ids),
        log.level,
    );
    for warning in config.warnings().iter().chain(warnings) {
        text.push_str(&format!("warning    {warning}\n"));
    }
    for notice in notices {
        text.push_str(&format!("note       {notice}\n"));
    }
    text
}

/// Where clients connect to.
fn places(listeners: &Listeners, scheme: &str, path: &str) -> String {
    let place = |listener: &Listener| match listener.address() {
        Some(address) => {
            let safe = if listener.tls { "s" } else { "" };
            let behind = if listener.proxy { " behind PROXY headers" } else { "" };
            format!("{scheme}{safe}://{address}{path}{behind}")
        }
        None => listener.to_string(),
    };
    listeners.iter().map(place).collect::<Vec<_>>().join(", ")
}

/// The first few of a list that may be long.
fn some_of(ids: &[u32]) -> String {
    const SHOWN: usize = 8;
    let first: Vec<_> = ids.iter().take(SHOWN).map(u32::to_string).collect();
    match ids.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} and {more} more", first.join(", ")),
        _ => first.join(", "),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough, as in `millgate default-config | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(Failure::Output),
    }
}

/// Where `eprintln!` would panic because stderr is closed, nobody is left to be told.
fn complain(log: &Log, message: &str) {
    let _unheard = io::stderr().write_all(logging::fatal_lines(log, message).as_bytes());
}

/// All that can go wrong at the door; a line of text for each problem.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot start: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("{}", .0.join("\n"))]
    Faults(Vec<String>),
    #[error("stdin: {0}")]
    Input(io::Error),
    #[error("stdout: {0}")]
    Output(io::Error),
}
