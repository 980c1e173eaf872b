//! One thread, its sockets, and everything that happens to them.
//!
//! A reactor owns its connections alone: slab, wheel, receive buffer, member
//! lists, listener and descriptor table. It shares the [`crate::hub`] (one
//! short lock at login, at logout and for a message to one user) and the
//! budgets, and it never waits for anything but epoll.
//!
//! Invariant: nothing in this room blocks, and nothing here knows tokio.

mod accept;
mod admit;
mod backlogs;
mod client;
mod close;
mod conn;
mod door;
mod fanout;
mod held;
mod listener;
mod mail;
mod members;
mod permit;
mod read;
mod reading;
mod reload;
mod setup;
mod shaking;
mod socket;
mod stop;
mod sweep;
mod ticks;
mod trace;
pub mod wheel;
mod write;

pub use listener::{Entrance, probe};
pub use setup::{Settings, Setup, Shared};

use crate::config::Listener;
use crate::connection::{Scratch, Unread};
use crate::host::fd_table;
use crate::host::refused::Explain;
use crate::limits::{EVENTS_PER_TURN, RECEIVE_BUFFER_BYTES};
use crate::link::Mailbox;
use crate::metrics::ReactorStats;
use accept::{Acceptor, BELL};
use backlogs::Backlogged;
use conn::{Conns, LinksOf};
use crossbeam_channel::Sender;
use door::Proofs;
use fanout::Rooms;
use held::Held;
use mail::Staged;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use permit::Permit;
use reading::{Reading, Waits};
use shaking::Shaking;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use stop::Stopping;
use sweep::Sweeps;
use ticks::Ticks;
use trace::Watched;
use wheel::Wheel;

/// Why a reactor cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// One of its listeners cannot be opened.
    #[error("cannot listen on {listener}: {error}")]
    Listen {
        /// Where.
        listener: Listener,
        /// Why not.
        error: io::Error,
    },
    /// The kernel refused something else.
    #[error(transparent)]
    Kernel(#[from] io::Error),
}

/// Where a reactor listens, or why it cannot; no port is 0.
pub type Opened = Result<Vec<Listener>, OpenError>;

/// Starts a reactor on a thread of its own. It says through `started` where it
/// listens, or why it cannot, and then runs until it is drained.
///
/// # Errors
/// When the thread cannot be made.
pub fn spawn(setup: Setup, started: Sender<Opened>) -> io::Result<JoinHandle<()>> {
    let name = format!("reactor-{}", setup.index);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let _abort = AbortOnPanic;
        match Reactor::open(setup) {
            Ok(mut reactor) => {
                let told = started.send(Ok(reactor.acceptor.listeners().cloned().collect()));
                drop(started);
                if told.is_ok() {
                    reactor.run();
                }
            }
            Err(error) => {
                // If nobody listens any more, the start has failed already.
                let _told = started.send(Err(error));
            }
        }
    });
    thread.explain("clone(2)", "a thread")
}

/// A process with a reactor missing would lose the clients that the kernel
/// still sends there: better to end and be started anew.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

struct Reactor {
    index: u16,
    capacity: usize,
    shared: Arc<Shared>,
    /// What the configuration says, as of the last look.
    settings: Arc<Settings>,

    poll: Poll,
    events: Events,
    mailbox: Mailbox,
    acceptor: Acceptor,

    conns: Conns,
    wheel: Wheel,
    rooms: Rooms,
    next_serial: u32,

    /// The one receive buffer.
    receive: Box<[u8]>,
    /// Replies to what one read has brought.
    replies: Vec<u8>,
    /// Buffers for TLS.
    scratch: Scratch,
    /// The time for handshakes of TLS.
    shaking: Shaking,
    /// Messages to single connections that came with this turn's mail.
    staged: Vec<Staged>,
    /// Connections that may have more to read than they were allowed, and the time for it.
    reading: Reading,
    /// Signatures of tokens, and who waits to show one.
    proofs: Proofs,
    /// Slots to be emptied at the end of the turn.
    dead: Vec<u32>,
    /// Whether large broadcasts may take theirs.
    permit: Permit,
    /// The output budget was found spent in this turn.
    overdrawn: bool,
    stopping: Option<Stopping>,
    /// Time-outs have become shorter: connections from this slot on are still filed for later.
    refile_from: Option<u32>,
    /// Orders about some of the connections.
    sweeps: Sweeps,
    /// Connections that are watched.
    watched: Watched,
    backlogged: Backlogged,
    held: Held,
    /// Dropped with the reactor: others know by it that it has ended.
    _alive: Sender<Infallible>,

    /// The time at the beginning of the turn.
    now: Duration,
    /// The same in ticks of the wheel: seconds in which this thread did not stand still.
    tick: u32,
    ticks: Ticks,
    /// How late the wheel is looked at in this turn, standing still included.
    wheel_lag: Duration,
    /// The time at the end of the last turn.
    ended: Duration,
}

impl Reactor {
    fn open(setup: Setup) -> Result<Self, OpenError> {
        if let Some(core) = setup.core
            && !core_affinity::set_for_current(core)
        {
            tracing::warn!(reactor = setup.index, core = core.id, "cannot pin");
        }
        if let Some(bells) = &setup.private_table_with {
            fd_table::make_private(bells)?;
        }
        let poll = Poll::new().explain("epoll_create1(2)", "an epoll instance")?;
        let bell = setup.mailbox.bell();
        poll.registry()
            .register(&mut SourceFd(&bell), BELL, Interest::READABLE)
            .explain("epoll_ctl(2)", "to watch a waker")?;
        let acceptor = Acceptor::open(setup.entrances, poll.registry())?;
        let now = setup.shared.clock.now();
        let ticks = Ticks::new(now);
        let tick = ticks.at(now);
        let rooms = Rooms::new(setup.shared.hub.directory.apps_len());
        Ok(Self {
            index: setup.index,
            capacity: setup.capacity,
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            mailbox: setup.mailbox,
            acceptor,
            conns: Conns::with_capacity(setup.capacity.min(CONNECTIONS_RESERVED)),
            wheel: Wheel::new(tick),
            rooms,
            next_serial: 0,
            receive: vec![0; RECEIVE_BUFFER_BYTES].into_boxed_slice(),
            replies: Vec::new(),
            scratch: Scratch::default(),
            shaking: Shaking::default(),
            staged: Vec::new(),
            reading: Reading::default(),
            proofs: Proofs::default(),
            dead: Vec::new(),
            permit: Permit::None,
            overdrawn: false,
            stopping: None,
            refile_from: None,
            sweeps: Sweeps::new(),
            watched: Watched::default(),
            backlogged: Backlogged::default(),
            _alive: setup.alive,
            held: Held::default(),
            now,
            tick,
            ticks,
            wheel_lag: Duration::ZERO,
            ended: now,
            settings: setup.shared.settings.get(),
            shared: setup.shared,
        })
    }

    fn run(&mut self) {
        loop {
            if let Err(error) = self.wait() {
                tracing::error!(reactor = self.index, %error, "epoll failed");
                std::process::abort();
            }
            self.turn();
            if self.has_stopped() {
                self.renounce_permit();
                return;
            }
        }
    }

    /// One pass. Mail comes before sockets: who logs in now must not be told
    /// of those who came before.
    fn turn(&mut self) {
        self.shaking.begin_turn();
        self.measure();
        self.take_mail();
        self.serve_sockets();
        self.accept();
        self.fan_out();
        self.hand_permit_on();
        self.refile();
        self.sweep();
        self.expire();
        self.stop_step();
        self.relieve();
        self.relieve_held();
        self.bury();
        self.publish_backlogs();
        self.publish();
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = if self.may_sleep() {
            self.next_deadline().map(|at| at.saturating_sub(self.shared.clock.now()))
        } else {
            Some(Duration::ZERO)
        };
        let counted = self.ticks;
        let in_turn = self.ticks.pass(self.ended, Some(Duration::ZERO));
        let polled = self.poll.poll(&mut self.events, timeout);
        self.mailbox.wake_up();
        self.now = self.shared.clock.now();
        let in_sleep = self.ticks.pass(self.now, timeout);
        if in_turn || in_sleep {
            // What counts by the calendar comes sooner now than the wheel knows.
            self.refile_from = Some(0);
        }
        self.tick = self.ticks.at(self.now);
        self.wheel_lag = self.wheel.lag(counted.counted(self.now));
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// If so, whoever has something for this reactor from here on wakes it.
    fn may_sleep(&self) -> bool {
        if self.is_busy() {
            return false;
        }
        self.mailbox.doze();
        !self.takes_mail() && !self.permit_has_come()
    }

    fn is_busy(&self) -> bool {
        let overdue = self.wheel.next_tick().is_some_and(|tick| tick <= self.tick);
        self.has_to_accept()
            || overdue
            || self.overdrawn
            || self.held.is_pressed
            || self.refile_from.is_some()
            || !self.sweeps.is_empty()
            || self.has_to_tell()
            || self.may_fan_out()
            || !self.reading.is_empty()
            || self.proofs.are_awaited()
            || !self.dead.is_empty()
    }

    /// When something has to happen even if no socket and no order says so.
    fn next_deadline(&self) -> Option<Duration> {
        let wheel = self.wheel.next_tick().map(|tick| self.ticks.time_of(tick));
        let stop = self.stopping.as_ref().map(|_| self.now + stop::STEP);
        let backlogs = self.has_to_publish_backlogs().then(|| self.ticks.time_of(self.tick + 1));
        [wheel, self.acceptor.paused_until, stop, backlogs].into_iter().flatten().min()
    }

    /// Reads from all that have something to say, within the time that a turn has for it.
    fn serve_sockets(&mut self) {
        self.reading.begin_turn(self.shared.clock.now());
        self.serve_unproven();
        self.read_waiting(Waits::Fresh, None);
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let token = event.token();
            if self.acceptor.takes(token) {
                continue;
            }
            let (slot, serial) = accept::from_token(token);
            let Some(connection) = self.conns.get(slot, serial) else { continue };
            if event.is_writable() && connection.has_backlog() && !self.flush_in_time(slot) {
                continue;
            }
            let news = event.is_readable() || event.is_read_closed() || event.is_error();
            // A connection that waits for its turn already is read from then.
            if news && self.conns[slot].unread != Unread::Queued {
                self.read_from(slot, false, event.is_read_closed());
            }
        }
        self.events = events;
        self.read_waiting(Waits::Shaking, None);
        let until = self.reading.begin_greedy();
        self.read_waiting(Waits::Greedy, Some(until));
    }

    /// Reads from those that wait in a queue, each once, oldest first, up to this time of the
    /// turn or to the end of it.
    fn read_waiting(&mut self, waits: Waits, until: Option<Duration>) {
        for _ in 0..self.reading.len(waits) {
            let is_over = match until {
                Some(until) => self.reading.has_spent(until),
                None if waits == Waits::Shaking => !self.shaking.has_time(),
                None => self.reading.is_spent(),
            };
            if is_over {
                return;
            }
            let Some((slot, serial)) = self.reading.pop(waits) else { return };
            if self.conns.get(slot, serial).is_some() {
                self.read_from(slot, true, true);
            }
        }
    }

    /// Writes a backlog, if this turn has time for it. If not, the connection waits, and is read
    /// from as well when its turn comes; then it returns false.
    fn flush_in_time(&mut self, slot: u32) -> bool {
        if self.reading.is_spent() {
            if self.conns[slot].unread != Unread::Queued {
                self.queue_unread(slot, Waits::Greedy);
            }
            return false;
        }
        self.flush(slot);
        if self.reading.note(FLUSH_CHARGED_BYTES) {
            self.reading.measure(self.shared.clock.now());
        }
        true
    }

    /// Files a connection in the wheel, for its state and its time.
    fn file(&mut self, slot: u32) {
        let due = self.deadline(slot);
        let links = &mut LinksOf(&mut self.conns);
        self.wheel.remove(links, slot);
        self.wheel.insert(links, slot, due);
    }

    fn stats(&self) -> &ReactorStats {
        &self.shared.metrics.reactors[usize::from(self.index)]
    }

    /// Counts what has waited for this turn, before the turn takes it up.
    fn measure(&self) {
        let pace = &self.stats().pace;
        pace.mail_depth.record(self.mailbox.depth() as u64);
        pace.wheel_lag_ms.record(whole(self.wheel_lag.as_millis()));
    }

    fn publish(&mut self) {
        self.ended = self.shared.clock.now();
        let stats = self.stats();
        stats.connections.set(self.conns.len() as u64);
        stats.intake.set(self.acceptor.intake() as u64);
        let turn = self.ended.saturating_sub(self.now);
        stats.pace.turn_us.record(whole(turn.as_micros()));
    }
}

/// A write of a backlog counts as much in a turn's time as reading so many bytes.
const FLUSH_CHARGED_BYTES: usize = 1_024;

/// Address space reserved for a slab at the start: 16 MiB.
const CONNECTIONS_RESERVED: usize = 1 << 18;

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
