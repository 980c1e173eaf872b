//! An agent: waits for a coordinator and runs one job at a time.

use super::channel::{self, Hearer, Side};
use super::job;
use super::key::Key;
use super::process::{Generator, Shared, say};
use super::protocol::{News, ORDER_BYTES_MAX, Order};
use crate::clock::monotonic_ns;
use clap::Command;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What all conversations share.
#[derive(Debug)]
struct Agent {
    key: Key,
    /// The flags there are.
    command: Command,
    /// Whether a generator runs.
    busy: AtomicBool,
    /// Conversations under way.
    conversations: AtomicUsize,
}

/// More conversations at once are hung up on: one coordinator needs one.
const CONVERSATIONS_MAX: usize = 16;

/// Serves until the process ends.
///
/// # Errors
/// When nobody beyond this host could prove who it is, or when the address is taken.
pub fn serve(listen: SocketAddr, key: Key, command: Command) -> io::Result<Infallible> {
    if key.is_none() && !listen.ip().is_loopback() {
        let text = format!(
            "--listen {listen}: an agent that other hosts reach needs a key \
             (--key-file FILE, or MILLGATE_BENCH_KEY)"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let taken = |error| io::Error::other(format!("--listen {listen}: {error}"));
    let listener = TcpListener::bind(listen).map_err(taken)?;
    println!("agent on {}", listener.local_addr()?);
    let (busy, conversations) = (AtomicBool::new(false), AtomicUsize::new(0));
    let agent = Arc::new(Agent { key, command, busy, conversations });
    loop {
        let (stream, from) = match listener.accept() {
            Ok(accepted) => accepted,
            // A caller who has hung up before we took the call is no reason to end.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        if agent.conversations.load(Ordering::Acquire) >= CONVERSATIONS_MAX {
            continue;
        }
        agent.conversations.fetch_add(1, Ordering::AcqRel);
        let agent = Arc::clone(&agent);
        std::thread::Builder::new().name("conversation".into()).spawn(move || {
            if let Err(error) = agent.converse(stream, from) {
                eprintln!("{from} {error}");
            }
            agent.conversations.fetch_sub(1, Ordering::AcqRel);
        })?;
    }
}

impl Agent {
    fn converse(self: &Arc<Self>, stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        let (speaker, mut hearer) = channel::open(stream, &self.key, Side::Agent, ORDER_BYTES_MAX)?;
        let speaker = Arc::new(Mutex::new(speaker));
        say(&speaker, &News::Welcome { version: env!("CARGO_PKG_VERSION").to_owned() });
        let ended = self.obey(&mut hearer, &speaker, from);
        if let Ok(speaker) = speaker.lock() {
            speaker.hang_up();
        }
        ended
    }

    /// Does what the coordinator says until it hangs up; a generator ends with that.
    fn obey(
        self: &Arc<Self>,
        hearer: &mut Hearer,
        to: &Shared,
        from: SocketAddr,
    ) -> io::Result<()> {
        let mut generator: Option<Generator> = None;
        while let Some(order) = hearer.hear()? {
            match order {
                Order::Ping { sent_ns } => {
                    say(to, &News::Pong { sent_ns, now_ns: monotonic_ns() });
                }
                Order::Job(line) => match self.begin(&line, to) {
                    Ok(begun) => {
                        // Headers may hold secrets: the command alone is told.
                        eprintln!("{from} runs {}", line.first().map_or("", String::as_str));
                        generator = Some(begun);
                    }
                    Err(why) => say(to, &News::Refused(why)),
                },
                Order::Go { at_ns } => generator.iter_mut().for_each(|own| own.go(at_ns)),
                Order::Abort => generator.iter().for_each(Generator::end),
            }
        }
        Ok(())
    }

    fn begin(self: &Arc<Self>, line: &[String], to: &Shared) -> Result<Generator, String> {
        let arguments = job::accept(&self.command, line)?;
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err("is busy with another job".to_owned());
        }
        let agent = Arc::clone(self);
        let ended = move || agent.busy.store(false, Ordering::Release);
        Generator::start(&arguments, to, ended).map_err(|error| {
            self.busy.store(false, Ordering::Release);
            error.to_string()
        })
    }
}
