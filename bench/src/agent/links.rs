//! The coordinator's conversations, one with each agent.

use super::channel::{self, Hearer, SILENCE_MAX, Side, Speaker};
use super::key::Key;
use super::offset::Offset;
use super::protocol::{NEWS_BYTES_MAX, News, Order};
use crate::clock::monotonic_ns;
use crate::result::RunResult;
use crate::run::led::Part;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};

/// What an agent does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its generator is at work.
    Running,
    /// Its generator waits for the others.
    Waiting,
    /// Its generator has ended, or it is gone.
    Ended,
}

/// One agent.
#[derive(Debug)]
pub(super) struct Link {
    /// As on the command line.
    pub(super) name: String,
    pub(super) stage: Stage,
    pub(super) offset: Offset,
    /// What its generator has said last.
    pub(super) said: String,
    pub(super) parts: Vec<Part>,
    pub(super) code: Option<i32>,
    pub(super) result: Option<Box<RunResult>>,
    /// Why it is of no use any more.
    pub(super) failed: Option<String>,
    speaker: Speaker,
}

/// News from an agent, or why there will be no more.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) from: usize,
    pub(super) received_ns: i64,
    pub(super) news: Result<News, String>,
}

/// All agents.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) all: Vec<Link>,
    pub(super) events: Receiver<Event>,
}

/// More agents are a mistake.
const AGENTS_MAX: usize = 256;

/// Where an agent listens if nobody has said otherwise.
const PORT: u16 = 7075;

/// News that wait for the coordinator.
const EVENTS_MAX: usize = 1_024;

/// Questions that a clock is read by.
const PINGS: usize = 20;

impl Links {
    /// Calls everybody.
    pub(super) fn open(names: &[String], key: &Key) -> io::Result<Self> {
        if names.len() > AGENTS_MAX {
            return Err(io::Error::other(format!("--agents: at most {AGENTS_MAX}")));
        }
        let (to, events) = bounded(EVENTS_MAX);
        let mut all = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let opened = call(name, key);
            let (speaker, hearer) = opened.map_err(|error| of(name, &error))?;
            let to = to.clone();
            std::thread::Builder::new()
                .name(format!("agent-{index}"))
                .spawn(move || hear(index, hearer, &to))?;
            all.push(Link::new(name, speaker));
        }
        Ok(Self { all, events })
    }

    /// Reads the clocks of agents that have nothing else to say, one after the other.
    pub(super) fn read_clocks(&mut self) {
        for _ in 0..PINGS {
            for index in 0..self.all.len() {
                if self.all[index].failed.is_none()
                    && let Err(why) = self.read_clock(index)
                {
                    self.all[index].fail(why);
                }
            }
        }
    }

    fn read_clock(&mut self, index: usize) -> Result<(), String> {
        let asked_ns = self.all[index].ping()?;
        loop {
            let event = self.events.recv_timeout(SILENCE_MAX).map_err(|_| "is silent")?;
            match event.news {
                Ok(News::Pong { sent_ns, now_ns })
                    if event.from == index && sent_ns == asked_ns =>
                {
                    self.all[index].offset.note(sent_ns, now_ns, event.received_ns);
                    return Ok(());
                }
                Err(why) if event.from == index => return Err(why),
                // An older answer, or the end of one that is done.
                _ => {}
            }
        }
    }
}

impl Drop for Links {
    /// Ends what still runs, and the threads that listen.
    fn drop(&mut self) {
        self.all.iter().for_each(|link| link.speaker.hang_up());
    }
}

impl Link {
    fn new(name: &str, speaker: Speaker) -> Self {
        Self {
            name: name.to_owned(),
            stage: Stage::Running,
            offset: Offset::default(),
            said: String::new(),
            parts: Vec::new(),
            code: None,
            result: None,
            failed: None,
            speaker,
        }
    }

    /// Tells it something; one that does not listen is lost.
    pub(super) fn tell(&mut self, order: &Order) {
        if self.failed.is_none()
            && let Err(error) = self.speaker.say(order)
        {
            self.fail(error.to_string());
        }
    }

    /// Asks what time it is there; when that was is in the answer too.
    pub(super) fn ping(&mut self) -> Result<i64, String> {
        let sent_ns = monotonic_ns();
        self.tell(&Order::Ping { sent_ns });
        self.failed.clone().map_or(Ok(sent_ns), Err)
    }

    /// It is of no use any more. What it does without us, it does in vain.
    pub(super) fn fail(&mut self, why: String) {
        self.stage = Stage::Ended;
        self.failed.get_or_insert(why);
        self.speaker.hang_up();
    }
}

fn call(name: &str, key: &Key) -> io::Result<(Speaker, Hearer)> {
    let mut refused = io::Error::other("has no address");
    let has_port = name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port { name.to_owned() } else { format!("{name}:{PORT}") };
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, SILENCE_MAX) {
            Ok(stream) => return greet(stream, key),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn greet(stream: TcpStream, key: &Key) -> io::Result<(Speaker, Hearer)> {
    let (speaker, mut hearer) = channel::open(stream, key, Side::Lead, NEWS_BYTES_MAX)?;
    let own = env!("CARGO_PKG_VERSION");
    match hearer.hear()? {
        Some(News::Welcome { version }) if version == own => Ok((speaker, hearer)),
        Some(News::Welcome { version }) => {
            Err(io::Error::other(format!("is of version {version}, this is {own}")))
        }
        _ => Err(io::Error::other("does not welcome us")),
    }
}

fn hear(from: usize, mut hearer: Hearer, to: &Sender<Event>) {
    loop {
        let heard = hearer.hear();
        let received_ns = monotonic_ns();
        let news = match heard {
            Ok(Some(news)) => Ok(news),
            Ok(None) => Err("has hung up".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let is_last = news.is_err();
        // Nobody listens any more: the run is over.
        if to.send(Event { from, received_ns, news }).is_err() || is_last {
            return;
        }
    }
}

/// An error of one agent.
pub(super) fn of(name: &str, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("agent {name}: {error}"))
}
