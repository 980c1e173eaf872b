//! Many clients on few threads.
//!
//! Each worker owns its clients alone: sockets, descriptor table, source
//! addresses, receive buffer. It takes orders, counts into its own tally, and
//! hands its histograms over when asked. Nobody waits for a worker but for
//! that harvest.

mod conn;
mod dial;
mod farewell;
mod hear;
mod hostile;
mod ledger;
mod no_port;
mod order;
mod pacer;
mod source;
mod speak;
mod spec;
mod tls;
mod totals;
mod worker;

pub use conn::Role;
pub use order::{Beat, Harvest, Load, Order, Policy, Request, Timing};
pub use source::{PORTS_PER_SOURCE, Sources, parse_sources};
pub use spec::{Protocol, Spec};
pub use totals::{Count, Totals};

use crate::clock::Clock;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::thread::CpuSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use totals::Tally;
use worker::Worker;

/// What one worker is given.
#[derive(Clone, Debug)]
struct Setup {
    index: usize,
    /// Its first client's index among all.
    first: u32,
    /// Its clients.
    share: u32,
    core: Option<CpuSet>,
    clock: Clock,
    spec: Arc<Spec>,
}

/// Whom an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The clients that make the load.
    Crowd,
    /// Those that measure meanwhile.
    Probes,
}

/// A running swarm.
#[derive(Debug)]
pub struct Swarm {
    spec: Arc<Spec>,
    clock: Clock,
    crowd: Vec<Member>,
    probes: Vec<Member>,
}

/// One worker, as others see it.
#[derive(Debug)]
struct Member {
    share: u32,
    orders: Sender<Order>,
    bell: OwnedFd,
    tally: Arc<Tally>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Orders waiting for one worker; a command gives a handful.
const ORDERS_MAX: usize = 64;

/// Descriptors of a table that are not connections: bells, epoll, timer, standard streams.
const DESCRIPTORS_RESERVED: usize = 64;

/// How long a harvest may take.
const HARVEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Threads that so many clients need, at least `wanted`, if one table holds `open_files_max` descriptors.
#[must_use]
pub fn threads_for(clients: u32, wanted: usize, open_files_max: u64) -> usize {
    let files = usize::try_from(open_files_max).unwrap_or(usize::MAX);
    // The bells of all workers lie in every table.
    let room = files.saturating_sub(DESCRIPTORS_RESERVED + 256).max(1);
    wanted.max((clients as usize).div_ceil(room)).max(1)
}

impl Swarm {
    /// Starts the threads; nobody connects before an order.
    ///
    /// # Errors
    /// When the kernel refuses a thread or a descriptor.
    pub fn start(spec: Spec, clock: Clock) -> io::Result<Self> {
        let open_files_max = millgate::host::kernel::raise_open_files().limit;
        let spec = Arc::new(spec);
        let threads = threads_for(spec.crowd, spec.threads, open_files_max);
        let mut shares = split(spec.crowd, threads);
        if spec.probes > 0 {
            shares.push(spec.probes);
        }
        let bells = shares.iter().map(|_| worker::bell()).collect::<io::Result<Vec<_>>>()?;
        let fds: Arc<[_]> = bells.iter().map(AsRawFd::as_raw_fd).collect();
        let mut members = Vec::with_capacity(shares.len());
        let mut first = 0;
        for (index, (share, bell)) in shares.into_iter().zip(bells).enumerate() {
            let core = spec.pin.then(|| core_of(index)).flatten();
            let setup = Setup { index, first, share, core, clock, spec: Arc::clone(&spec) };
            members.push(Member::spawn(setup, bell, Arc::clone(&fds))?);
            first += share;
        }
        let probes = members.split_off(threads);
        Ok(Self { spec, clock, crowd: members, probes })
    }

    /// What the clients have in common.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The run's time.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Lets the run's time begin anew, before anybody has connected.
    ///
    /// # Errors
    /// As [`Swarm::order`].
    pub fn begin(&mut self, clock: Clock) -> io::Result<()> {
        self.clock = clock;
        self.order(Whom::Crowd, &Order::Begin(clock))?;
        self.order(Whom::Probes, &Order::Begin(clock))
    }

    /// Threads of the crowd.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.crowd.len()
    }

    fn members(&self, whom: Whom) -> &[Member] {
        match whom {
            Whom::Crowd => &self.crowd,
            Whom::Probes => &self.probes,
        }
    }

    /// Gives every worker an order.
    ///
    /// # Errors
    /// When a worker has ended: it says why.
    pub fn order(&self, whom: Whom, order: &Order) -> io::Result<()> {
        self.members(whom).iter().try_for_each(|member| member.order(order.clone()))
    }

    /// Opens connections until there are so many in all, at so many attempts a second.
    ///
    /// # Errors
    /// As [`Swarm::order`].
    pub fn grow(&self, whom: Whom, to: u32, per_s: Option<f64>) -> io::Result<()> {
        self.share_out(whom, to, |part, share| Order::Grow {
            to: part,
            per_s: per_s.map(|rate| rate * share),
        })
    }

    /// Logs everybody of the crowd in, at so many a second.
    ///
    /// # Errors
    /// As [`Swarm::order`].
    pub fn log_in(&self, per_s: Option<f64>) -> io::Result<()> {
        let all = self.spec.crowd;
        self.share_out(Whom::Crowd, all, |_, share| Order::LogIn {
            per_s: per_s.map(|rate| rate * share),
        })
    }

    /// Lets so many clients send, `per_s` all together; none ends that.
    ///
    /// # Errors
    /// As [`Swarm::order`].
    pub fn load(&self, whom: Whom, load: Option<Load>) -> io::Result<()> {
        let Some(load) = load else { return self.order(whom, &Order::Load(None)) };
        self.share_out(whom, load.active, |part, share| {
            let per_s = load.per_s.map(|rate| rate * share);
            Order::Load(Some(Load { active: part, per_s, ..load }))
        })
    }

    /// Cuts so many of the crowd's connections at once.
    ///
    /// # Errors
    /// As [`Swarm::order`].
    pub fn drop_some(&self, count: u32) -> io::Result<()> {
        self.share_out(Whom::Crowd, count, |part, _| Order::Drop(part))
    }

    /// Gives so many clients of the crowd a role.
    ///
    /// # Errors
    /// As [`Swarm::order`].
    pub fn misbehave(&self, role: Role, count: u32) -> io::Result<()> {
        self.share_out(Whom::Crowd, count, |part, _| Order::Misbehave(role, part))
    }

    /// Splits a number over the workers by their shares of the clients.
    fn share_out(
        &self,
        whom: Whom,
        number: u32,
        order: impl Fn(u32, f64) -> Order,
    ) -> io::Result<()> {
        let members = self.members(whom);
        let all: u64 = members.iter().map(|member| u64::from(member.share)).sum();
        let (mut before, mut given) = (0_u64, 0_u64);
        for member in members {
            before += u64::from(member.share);
            // Rounding what all so far get keeps the sum exact.
            let so_far = u64::from(number) * before / all.max(1);
            let part = u32::try_from(so_far - given).unwrap_or(u32::MAX);
            given = so_far;
            let share = f64::from(part) / f64::from(number.max(1));
            member.order(order(part, share))?;
        }
        Ok(())
    }

    /// The counters of all workers.
    #[must_use]
    pub fn totals(&self, whom: Whom) -> Totals {
        let mut sum = Totals::default();
        for member in self.members(whom) {
            sum += member.tally.read();
        }
        sum
    }

    /// What all workers have measured since the last time.
    ///
    /// # Errors
    /// When a worker has ended, or is stuck.
    pub fn harvest(&self, whom: Whom) -> io::Result<Harvest> {
        let members = self.members(whom);
        let (to, from): (_, Receiver<Harvest>) = bounded(members.len().max(1));
        self.order(whom, &Order::Harvest(to))?;
        let mut sum = Harvest::default();
        for _ in members {
            let harvest = from
                .recv_timeout(HARVEST_TIMEOUT)
                .map_err(|_| io::Error::other("a worker does not answer"))?;
            sum.merge(&harvest);
        }
        Ok(sum)
    }

    /// Cuts all connections and ends the threads.
    ///
    /// # Errors
    /// What a worker has failed of.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let mut members: Vec<&mut Member> = self.crowd.iter_mut().chain(&mut self.probes).collect();
        for member in &members {
            // One that has ended already says so when it is joined.
            let _ended = member.order(Order::Stop);
        }
        let mut result = Ok(());
        for member in &mut members {
            if let Some(thread) = member.thread.take() {
                let ended =
                    thread.join().unwrap_or_else(|_| Err(io::Error::other("worker panicked")));
                result = result.and(ended);
            }
        }
        result
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        let _told_elsewhere = self.end();
    }
}

impl Member {
    fn spawn(setup: Setup, bell: OwnedFd, bells: Arc<[i32]>) -> io::Result<Self> {
        let (orders, taken) = bounded(ORDERS_MAX);
        let tally = Arc::new(Tally::new());
        let counted = Arc::clone(&tally);
        let share = setup.share;
        let (told, started) = bounded::<io::Result<()>>(1);
        let name = format!("swarm-{}", setup.index);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let opened = Worker::open(setup, counted, taken, &bells);
            match opened {
                Ok(mut worker) => {
                    // The starter waits for this; if it is gone, so is the run.
                    let _told = told.send(Ok(()));
                    worker.run()
                }
                Err(error) => {
                    let _told = told.send(Err(error));
                    Ok(())
                }
            }
        })?;
        started.recv().map_err(|_| io::Error::other("a worker died at its start"))??;
        Ok(Self { share, orders, bell, tally, thread: Some(thread) })
    }

    fn order(&self, order: Order) -> io::Result<()> {
        self.orders.try_send(order).map_err(|_| io::Error::other("a worker takes no orders"))?;
        // A full counter means that it has been rung already.
        let _rung = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        Ok(())
    }
}

/// As even as whole numbers allow.
fn split(clients: u32, threads: usize) -> Vec<u32> {
    let threads = u32::try_from(threads).unwrap_or(1).max(1);
    (0..threads).map(|index| clients / threads + u32::from(index < clients % threads)).collect()
}

/// The core for a worker, among those this process may use.
fn core_of(index: usize) -> Option<CpuSet> {
    let allowed = rustix::thread::sched_getaffinity(None).ok()?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    // From the last core down: servers begin with the first.
    let core = *cores.iter().rev().nth(index % cores.len().max(1))?;
    let mut set = CpuSet::new();
    set.set(core);
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_clients_need_as_many_threads_as_their_descriptors() {
        assert_eq!(threads_for(1_000_000, 2, 20_000), 51);
        assert_eq!(threads_for(1_000_000, 2, 2_000_000), 2);
        assert_eq!(threads_for(0, 0, 20_000), 1);
    }

    #[test]
    fn shares_are_even_and_complete() {
        assert_eq!(split(10, 3), [4, 3, 3]);
        assert_eq!(split(2, 4), [1, 1, 0, 0]);
    }
}
