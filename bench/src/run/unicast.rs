//! Messages to single users through the HTTP API, at an even rate.

use super::backend::Backend;
use crate::clock::Clock;
use crate::swarm::Spec;
use crate::wire::stamp::{self, Stamp};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is sent, and by how many at once.
#[derive(Clone, Copy, Debug)]
pub struct Unicast {
    /// Messages a second, all senders together.
    pub per_s: f64,
    /// Senders, each with a connection to the API.
    pub senders: u32,
    /// Bytes of a message.
    pub size: usize,
    /// Users 0 to this one get messages.
    pub users: u32,
    /// The number of each user's first message: above all that they have had before.
    pub first_number: u32,
}

/// Senders at work.
#[derive(Debug)]
pub struct Senders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    order: Unicast,
    /// The number of the next message to each user.
    numbers: Vec<AtomicU32>,
    delivered: AtomicU64,
    offline: AtomicU64,
    failed: AtomicU64,
    ended: AtomicBool,
}

/// What senders have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The API said that it was handed on.
    pub delivered: u64,
    /// The API said that the user is nowhere.
    pub offline: u64,
    /// The API refused, or could not be reached.
    pub failed: u64,
}

/// A sender with nothing due looks again after this time at the latest.
const NAP_MAX: Duration = Duration::from_millis(50);

impl Senders {
    /// Starts them.
    ///
    /// # Errors
    /// When the kernel refuses a thread.
    pub fn start(order: Unicast, http: &str, spec: &Spec, clock: Clock) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            order,
            numbers: (0..order.users).map(|_| AtomicU32::new(order.first_number)).collect(),
            delivered: AtomicU64::new(0),
            offline: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for index in 0..order.senders.max(1) {
            let (shared, spec) = (Arc::clone(&shared), spec.clone());
            let backend = Backend::new(http);
            let name = format!("sender-{index}");
            let work = move || shared.send(index, &backend, &spec, clock);
            threads.push(std::thread::Builder::new().name(name).spawn(work)?);
        }
        Ok(Self { shared, threads })
    }

    /// What they have done so far.
    #[must_use]
    pub fn sent(&self) -> Sent {
        Sent {
            delivered: self.shared.delivered.load(Ordering::Relaxed),
            offline: self.shared.offline.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
        }
    }

    /// Ends them and says what they have done.
    #[must_use]
    pub fn stop(self) -> Sent {
        self.shared.ended.store(true, Ordering::Relaxed);
        let (shared, threads) = (Arc::clone(&self.shared), self.threads);
        for thread in threads {
            // A sender that has panicked has sent what it has sent.
            let _ended = thread.join();
        }
        Self { shared, threads: Vec::new() }.sent()
    }
}

impl Shared {
    fn send(&self, index: u32, backend: &Backend, spec: &Spec, clock: Clock) {
        let mut random = fastrand::Rng::with_seed(spec.seed ^ u64::from(index) << 32);
        let senders = f64::from(self.order.senders.max(1));
        let interval_us = 1e6 * senders / self.order.per_s.max(1e-9);
        // Senders take turns instead of all sending at once.
        let start = clock.now_us() as f64 + interval_us * f64::from(index) / senders;
        let mut given = 0_u64;
        while !self.ended.load(Ordering::Relaxed) {
            let due = (start + given as f64 * interval_us) as u64;
            let now = clock.now_us();
            if due > now {
                std::thread::sleep(Duration::from_micros(due - now).min(NAP_MAX));
                continue;
            }
            given += 1;
            // Each user belongs to one sender, who waits for every answer: so the
            // order of a user's messages is known.
            let turn = random.u32(..self.order.users.div_ceil(self.order.senders.max(1)).max(1));
            let user = turn * self.order.senders.max(1) + index;
            self.one(user.min(self.order.users.saturating_sub(1)), due, backend, spec, clock);
        }
    }

    fn one(&self, user: u32, intended_us: u64, backend: &Backend, spec: &Spec, clock: Clock) {
        let Some(number) = self.numbers.get(user as usize) else { return };
        let number = number.fetch_add(1, Ordering::Relaxed);
        let stamp = Stamp { receiver: user, number, intended_us, sent_us: clock.now_us() };
        let mut text = stamp.encode().to_vec();
        stamp::pad(&mut text, self.order.size);
        let text = String::from_utf8_lossy(&text);
        let counter = match backend.send(spec.app(user), &spec.user(user), &text) {
            Ok(true) => &self.delivered,
            Ok(false) => &self.offline,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
