//! Messages to single users through the HTTP API, at an even rate.

use super::backend::{Backend, ToUser};
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
    /// Messages in one request, at most: those that are due when it begins.
    pub batch: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Users 0 to this one get messages.
    pub users: u32,
    /// The number of each user's first message: above all that they have had before.
    pub first_number: u32,
}

/// Where messages enter: the HTTP APIs of the nodes.
#[derive(Clone)]
pub struct Doors {
    addresses: Vec<String>,
    /// How far along the nodes a sender's door is from the users that it sends to.
    shift: usize,
    /// What they want to be shown.
    key: Option<String>,
}

impl Doors {
    /// Senders take them in turn.
    ///
    /// # Errors
    /// When there is none.
    pub fn any(addresses: Vec<String>) -> Result<Self, String> {
        match addresses.is_empty() {
            true => Err("--http needs an address".into()),
            false => Ok(Self { addresses, shift: 0, key: None }),
        }
    }

    /// The door of the node after that which a user is connected to, for users that take as
    /// many nodes in turn, and senders whose number is a multiple of that.
    ///
    /// # Errors
    /// When these numbers do not fit.
    pub fn across(addresses: Vec<String>, nodes: usize, senders: u32) -> Result<Self, String> {
        if nodes < 2 || addresses.len() != nodes {
            return Err("--across needs two nodes or more, a --url and a --http of each".into());
        }
        if !(senders as usize).is_multiple_of(nodes) {
            return Err(format!("--across needs --senders in a multiple of {nodes}, the nodes"));
        }
        Ok(Self { addresses, shift: 1, key: None })
    }

    /// The same, opened with a key.
    #[must_use]
    pub fn with_key(self, key: Option<String>) -> Self {
        Self { key, ..self }
    }

    /// That of a sender.
    #[must_use]
    pub fn of(&self, sender: u32) -> &str {
        &self.addresses[(sender as usize + self.shift) % self.addresses.len()]
    }
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
    pub fn start(order: Unicast, doors: &Doors, spec: &Spec, clock: Clock) -> io::Result<Self> {
        // Nobody sends to nobody.
        let senders = order.senders.clamp(1, order.users.max(1));
        let shared = Arc::new(Shared {
            order: Unicast { senders, ..order },
            numbers: (0..order.users).map(|_| AtomicU32::new(order.first_number)).collect(),
            delivered: AtomicU64::new(0),
            offline: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for index in 0..senders {
            let (shared, spec) = (Arc::clone(&shared), spec.clone());
            let backend = Backend::new(doors.of(index), doors.key.clone());
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
        let senders = self.order.senders;
        let interval_us = 1e6 * f64::from(senders) / self.order.per_s.max(1e-9);
        // Senders take turns instead of all sending at once.
        let start = clock.now_us() as f64 + interval_us * f64::from(index) / f64::from(senders);
        let due_us = |number: u64| (start + number as f64 * interval_us) as u64;
        // Each user belongs to one sender, who waits for every answer: so the
        // order of a user's messages is known.
        let own = self.order.users.saturating_sub(index).div_ceil(senders);
        let mut given = 0_u64;
        while !self.ended.load(Ordering::Relaxed) {
            let now = clock.now_us();
            if due_us(given) > now {
                std::thread::sleep(Duration::from_micros(due_us(given) - now).min(NAP_MAX));
                continue;
            }
            let mut due = Vec::new();
            while due.len() < self.order.batch.max(1) && due_us(given) <= now {
                due.push((random.u32(..own.max(1)) * senders + index, due_us(given)));
                given += 1;
            }
            self.request(&due, backend, spec, clock);
        }
    }

    /// Sends what is due, in one request.
    fn request(&self, due: &[(u32, u64)], backend: &Backend, spec: &Spec, clock: Clock) {
        let messages = due.iter().filter_map(|(user, intended_us)| {
            let number = self.numbers.get(*user as usize)?.fetch_add(1, Ordering::Relaxed);
            let (receiver, intended_us, sent_us) = (*user, *intended_us, clock.now_us());
            let mut text = Stamp { receiver, number, intended_us, sent_us }.encode().to_vec();
            stamp::pad(&mut text, self.order.size);
            let text = String::from_utf8_lossy(&text).into_owned();
            Some(ToUser { app: spec.app(*user), user: spec.user(*user), text })
        });
        let messages: Vec<ToUser> = messages.collect();
        let sent = match messages.as_slice() {
            [one] => backend.send(one.app, &one.user, &one.text).map(|sent| vec![Some(sent)]),
            many => backend.send_many(many),
        };
        for told in sent.unwrap_or_else(|_| vec![None; messages.len()]) {
            let counter = match told {
                Some(true) => &self.delivered,
                Some(false) => &self.offline,
                None => &self.failed,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("http://node-{n}")).collect()
    }

    #[test]
    fn messages_across_enter_at_the_next_node() {
        let doors = Doors::across(addresses(3), 3, 6).unwrap();
        let of: Vec<&str> = (0..4).map(|sender| doors.of(sender)).collect();
        assert_eq!(of, ["http://node-1", "http://node-2", "http://node-0", "http://node-1"]);
        assert_eq!(Doors::any(addresses(2)).unwrap().of(3), "http://node-1");
    }

    #[test]
    fn doors_that_do_not_fit_are_refused() {
        assert!(Doors::any(Vec::new()).is_err());
        for (doors, nodes, senders) in [(1, 1, 8), (2, 3, 6), (3, 3, 8)] {
            assert!(Doors::across(addresses(doors), nodes, senders).is_err());
        }
    }
}
