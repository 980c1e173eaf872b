//! One thread of the swarm: its clients, and the turn of its loop.

use super::Setup;
use super::conn::Conn;
use super::dial::Dialer;
use super::farewell::Farewells;
use super::order::{Harvest, Order, Policy};
use super::speak::Speech;
use super::spec::Spec;
use super::tls;
use super::totals::{Count, Tally};
use crate::wire::handshake::{Handshake, SAMPLE_KEY, random_key};
use crossbeam_channel::Receiver;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::event::{EventfdFlags, eventfd};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustls::ClientConfig;
use socket2::SockRef;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

const BELL: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);

/// Events taken at once.
const EVENTS_PER_TURN: usize = 1_024;

/// The receive buffer at the start; a larger message makes it grow.
const RECEIVE_BUFFER_BYTES: usize = 2 * ROOM_BYTES;

/// What a read finds room for, at least.
pub(super) const ROOM_BYTES: usize = 65_536;

/// A worker looks around at least this often, for time-outs.
const LONGEST_SLEEP_US: u64 = 250_000;

pub(super) struct Worker {
    pub(super) setup: Setup,
    pub(super) tally: Arc<Tally>,
    pub(super) conns: Vec<Conn>,
    pub(super) poll: Poll,
    pub(super) buffer: Vec<u8>,
    /// Frames to be sent, built here and then written.
    pub(super) out: Vec<u8>,
    handshakes: Vec<Handshake>,
    /// Where some of the addresses are `wss://`.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) random: fastrand::Rng,
    pub(super) dialer: Dialer,
    pub(super) speech: Speech,
    pub(super) policy: Policy,
    pub(super) farewells: Farewells,
    pub(super) harvest: Harvest,
    pub(super) causes: BTreeMap<String, u64>,
    /// This turn has brought a push.
    pub(super) was_told: bool,
    events: Events,
    orders: Receiver<Order>,
    timer: OwnedFd,
    stopped: bool,
    /// When bad clients have something to do again.
    pub(super) hostile_due_us: u64,
}

/// Makes the bell of a worker, before its descriptor table is split off.
pub(super) fn bell() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Handshake keys of one worker; each is used by many clients.
const KEYS: u32 = 16;

impl Worker {
    /// Sets up on the worker's own thread: everything it opens is in its own table.
    pub(super) fn open(
        setup: Setup,
        tally: Arc<Tally>,
        orders: Receiver<Order>,
        bells: &[RawFd],
    ) -> io::Result<Self> {
        if let Some(core) = setup.core {
            // An unpinned worker works too.
            let _pinned = rustix::thread::sched_setaffinity(None, &core);
        }
        millgate::host::fd_table::make_private(bells)?;
        let poll = Poll::new()?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let registry = poll.registry();
        let bell = bells[setup.index];
        registry.register(&mut SourceFd(&bell), BELL, Interest::READABLE)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let mut random = fastrand::Rng::with_seed(setup.spec.seed ^ setup.index as u64);
        let handshakes = handshakes(&setup.spec, &mut random);
        let wants_tls = setup.spec.urls.iter().any(|url| url.is_secure);
        let mut conns = Vec::new();
        conns.resize_with(setup.share as usize, Conn::default);
        Ok(Self {
            dialer: Dialer::new(setup.spec.dials),
            tally,
            conns,
            poll,
            buffer: vec![0; RECEIVE_BUFFER_BYTES],
            out: Vec::new(),
            handshakes,
            tls: wants_tls.then(tls::configuration).transpose()?,
            random,
            speech: Speech::default(),
            policy: Policy::Never,
            farewells: Farewells::default(),
            harvest: Harvest::default(),
            causes: BTreeMap::new(),
            was_told: false,
            events: Events::with_capacity(EVENTS_PER_TURN),
            orders,
            timer,
            stopped: false,
            hostile_due_us: u64::MAX,
            setup,
        })
    }

    /// The handshake of a client that has not moved.
    pub(super) fn own_handshake(&self, slot: u32) -> &Handshake {
        &self.handshakes[(self.setup.first + slot) as usize % self.handshakes.len()]
    }

    pub(super) fn run(&mut self) -> io::Result<()> {
        while !self.stopped {
            self.wait()?;
            self.take_orders();
            self.serve();
            self.dial();
            self.log_in();
            self.speak();
            self.misbehave();
            if std::mem::take(&mut self.was_told) && !self.setup.spec.gather.is_zero() {
                std::thread::sleep(self.setup.spec.gather);
            }
        }
        Ok(())
    }

    /// Sleeps until something is to be done. epoll counts milliseconds; for
    /// requests that are due within one a timer wakes more exactly.
    fn wait(&mut self) -> io::Result<()> {
        let now = self.now_us();
        let due = self.next_due_us().min(now + LONGEST_SLEEP_US);
        let left_us = due.saturating_sub(now);
        let timeout = if left_us == 0 || !self.orders.is_empty() {
            Duration::ZERO
        } else {
            self.set_timer(left_us)?;
            Duration::from_micros(LONGEST_SLEEP_US)
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn set_timer(&self, after_us: u64) -> io::Result<()> {
        let seconds = i64::try_from(after_us / 1_000_000).unwrap_or(i64::MAX);
        let nanos = i64::try_from(after_us % 1_000_000 * 1_000).unwrap_or(0);
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: seconds, tv_nsec: nanos },
        };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    fn next_due_us(&self) -> u64 {
        self.dialer.next_due_us().min(self.speech.next_due_us()).min(self.hostile_due_us)
    }

    fn take_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Grow { to, per_s } => self.grow(to, per_s),
                Order::LogIn { per_s } => self.begin_login(per_s),
                Order::Beat(beat) => self.begin_beating(beat),
                Order::Load(load) => self.begin_load(load),
                Order::Return(policy) => self.policy = policy,
                Order::Drop(count) => self.drop_some(count),
                Order::Misbehave(role, count) => self.assign(role, count),
                Order::Begin(clock) => self.setup.clock = clock,
                Order::Harvest(to) => {
                    let harvest = self.reap();
                    // Whoever asked may have been interrupted meanwhile.
                    let _taken = to.send(harvest);
                }
                Order::Stop => {
                    self.cut_all();
                    self.stopped = true;
                }
            }
        }
    }

    fn serve(&mut self) {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            match event.token() {
                BELL | TIMER => {}
                token => {
                    let (slot, serial) = from_token(token);
                    let Some(conn) = self.conns.get(slot as usize) else { continue };
                    if conn.serial != serial || conn.socket.is_none() {
                        continue;
                    }
                    if event.is_writable() {
                        self.writable(slot);
                    }
                    let news = event.is_readable() || event.is_read_closed() || event.is_error();
                    if news && self.conns[slot as usize].serial == serial {
                        self.readable(slot, event.is_read_closed());
                    }
                }
            }
        }
        self.events = events;
    }

    pub(super) fn now_us(&self) -> u64 {
        self.setup.clock.now_us()
    }

    /// The index of a client among all of the swarm.
    pub(super) fn global(&self, slot: u32) -> u32 {
        self.setup.first + slot
    }

    pub(super) fn conn(&mut self, slot: u32) -> &mut Conn {
        &mut self.conns[slot as usize]
    }

    pub(super) fn blame(&mut self, cause: String) {
        // Causes are few: error numbers and close codes. A server that makes up more gets one name.
        let known = self.causes.len() < 200 || self.causes.contains_key(&cause);
        *self.causes.entry(if known { cause } else { "other".into() }).or_default() += 1;
    }

    fn reap(&mut self) -> Harvest {
        let mut harvest = std::mem::take(&mut self.harvest);
        harvest.causes = self.causes.clone();
        for mean in self.conns.iter().filter_map(|conn| conn.ledger.mean_delay_us()) {
            harvest.fairness.0 += 1;
            harvest.fairness.1 += mean;
            harvest.fairness.2 += mean * mean;
        }
        harvest
    }

    /// Resets every connection: a million sockets in TIME_WAIT would block the next run.
    fn cut_all(&mut self) {
        for conn in &mut self.conns {
            if let Some(socket) = conn.socket.take() {
                reset(&socket);
                self.tally.less(Count::Open);
            }
        }
    }
}

/// Lets the following close send a reset.
pub(super) fn reset(socket: &mio::net::TcpStream) {
    // A socket that the peer has ended already needs none.
    let _set = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// Slot and serial in one word.
pub(super) fn token(slot: u32, serial: u32) -> Token {
    Token(slot as usize | (serial as usize) << u32::BITS)
}

fn from_token(token: Token) -> (u32, u32) {
    let word = token.0 as u64;
    ((word & u64::from(u32::MAX)) as u32, (word >> u32::BITS) as u32)
}

/// Some for each address, in their turn: slot by slot they meet the address that
/// [`Spec::url`] says.
fn handshakes(spec: &Spec, random: &mut fastrand::Rng) -> Vec<Handshake> {
    let count = u32::try_from(spec.urls.len()).unwrap_or(1) * KEYS;
    let keys = (0..count).map(|index| match spec.canned {
        true => (index, SAMPLE_KEY.to_owned()),
        false => (index, random_key(random)),
    });
    keys.map(|(index, key)| Handshake::new(spec.url(index), &key, &spec.headers)).collect()
}
