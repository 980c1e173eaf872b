//! Which nodes there are: this one says so in Redis, and reads who else does.

mod roll;
mod time;

pub(super) use time::RedisTime;

use super::redis::{Fault, Link, keys, script};
use super::{Nodes, Stamps, Starts};
use crate::id::NodeAddr;
use redis::{Cmd, Value};
use roll::{Entry, Fields, Roll};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::MissedTickBehavior;

/// Seconds for which a node that says nothing is still believed to live.
const LEASE_SECONDS: u64 = 10;

/// An answer that took longer does not tell the time of Redis well enough to order logins.
const TIME_QUICK: Duration = Duration::from_millis(3);

/// So often Redis is asked for its time at once; after that the best answer counts.
const TIME_TRIES: u32 = 4;

/// How often the lease is renewed: two renewals may get lost.
const LEASE_PERIOD: Duration = Duration::from_secs(3);

/// How often the stamp is written again; nodes of the reference do it every 60 s.
const STAMP_PERIOD: Duration = Duration::from_secs(20);

/// How often the others are looked for.
const READ_PERIOD: Duration = Duration::from_secs(2);

/// How long the others have to register again when Redis has forgotten this
/// node, and so probably all of them: they notice it as late as their pauses allow.
const PATIENCE: Duration = Duration::from_secs(6);

/// Ids removed in one round.
const FORGOTTEN_AT_ONCE: usize = 8;

/// Seconds for which the hash of ids outlives the last node; as that of the reference.
const HASH_SECONDS: u64 = 7_200;

/// This node's registration, and its view of the others.
#[derive(Debug)]
pub(super) struct Registry {
    link: Link,
    here: NodeAddr,
    /// Of this start of the node: whoever starts next at the address has another one.
    id: String,
    time: Arc<RedisTime>,
    standing: Mutex<Standing>,
    view: Mutex<View>,
    nodes: watch::Sender<Nodes>,
    starts: watch::Sender<Starts>,
    stamps: watch::Sender<Stamps>,
    /// Whether live nodes of the reference are registered.
    is_mixed: watch::Sender<bool>,
    /// When this node has started, in unix seconds of Redis; 0 until Redis was asked.
    start: AtomicU64,
    /// From the first registration until it is taken back; Redis may have lost it meanwhile.
    has_been_written: AtomicBool,
    /// Time of the clock, in milliseconds, at which the lease was last renewed.
    leased_at: AtomicU64,
    /// Rounds in which the others were read.
    rounds: AtomicU64,
    /// Time of the clock, in milliseconds, until which nobody is struck off.
    patient_until: AtomicU64,
    /// Rung when a node calls: who has just joined calls all others first.
    callers: Arc<Notify>,
    /// Why the last attempt to register failed; `None` once one has succeeded.
    refused: std::sync::Mutex<Option<String>>,
}

/// How the registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has to be written.
    Unwritten,
    Written,
    /// It was taken back, for good.
    Left,
}

impl Registry {
    /// For the node that others reach at `here`; nothing is written yet.
    pub(super) fn new(link: Link, here: NodeAddr, time: Arc<RedisTime>) -> Arc<Self> {
        Arc::new(Self {
            link,
            here,
            id: format!("{:032x}", fastrand::u128(..)),
            time,
            standing: Mutex::new(Standing::Unwritten),
            view: Mutex::default(),
            nodes: watch::Sender::new(Nodes::default()),
            starts: watch::Sender::new(Starts::default()),
            stamps: watch::Sender::new(Stamps::default()),
            is_mixed: watch::Sender::new(false),
            start: AtomicU64::new(0),
            has_been_written: AtomicBool::new(false),
            leased_at: AtomicU64::new(0),
            rounds: AtomicU64::new(0),
            patient_until: AtomicU64::new(0),
            callers: Arc::default(),
            refused: std::sync::Mutex::default(),
        })
    }

    /// The live nodes other than this one. While Redis cannot be asked they stay as they were.
    pub(super) fn nodes(&self) -> watch::Receiver<Nodes> {
        self.nodes.subscribe()
    }

    /// When the live millgate nodes started.
    pub(super) fn starts(&self) -> watch::Receiver<Starts> {
        self.starts.subscribe()
    }

    /// Whether live nodes of the reference are registered.
    pub(super) fn is_mixed(&self) -> watch::Receiver<bool> {
        self.is_mixed.subscribe()
    }

    /// When each of the registered nodes has last said so.
    pub(super) fn stamps(&self) -> watch::Receiver<Stamps> {
        self.stamps.subscribe()
    }

    /// To be rung when another node calls; the others are then looked for at once.
    pub(super) fn callers(&self) -> Arc<Notify> {
        Arc::clone(&self.callers)
    }

    /// How often the others were read.
    #[cfg(test)]
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Registers, and reads the others, before the node opens to its users. Takes
    /// a few times `redis.timeout` at most; without Redis [`Registry::run`] does it later.
    pub(super) async fn register(&self) -> bool {
        if !self.link.wait_until_up().await {
            return false;
        }
        let done = async {
            self.enter().await?;
            self.read().await
        };
        done.await.is_ok()
    }

    /// Keeps the registration and the view of the others; never returns.
    pub(super) async fn run(&self) {
        let mut lease = tokio::time::interval(LEASE_PERIOD);
        let mut stamp = tokio::time::interval(STAMP_PERIOD);
        let mut read = tokio::time::interval(READ_PERIOD);
        for ticks in [&mut lease, &mut stamp, &mut read] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let mut live = self.link.watch();
        loop {
            // What fails is counted by the link, and is due again in a moment.
            let _done = tokio::select! {
                _ = lease.tick() => match self.refusal() {
                    None => self.renew_lease().await,
                    Some(_) => self.enter().await,
                },
                _ = stamp.tick() => self.enter().await,
                _ = read.tick() => self.look().await,
                () = self.callers.notified() => self.look().await,
                Ok(()) = live.changed() => {
                    let is_up = live.borrow_and_update().is_some();
                    if is_up { self.look().await } else { Ok(()) }
                }
            };
        }
    }

    /// Takes the registration back. Where another start of the node has taken
    /// the address over, it stays that one's.
    pub(super) async fn leave(&self) {
        *self.standing.lock().await = Standing::Left;
        self.has_been_written.store(false, Ordering::Relaxed);
        let left = async {
            self.link.ask::<u64>(redis::cmd("DEL").arg(keys::lease(&self.id))).await?;
            let remove = script::remove(keys::NODES, self.here.as_str(), &self.id);
            if self.link.ask::<u64>(&remove).await? > 0 {
                let mut remove = redis::cmd("HDEL");
                remove.arg(keys::SERVERS).arg(self.here.as_str());
                self.link.ask::<u64>(&remove).await?;
            }
            Ok::<(), Fault>(())
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "the registration stays in Redis until it runs out");
        }
    }

    /// Why this node is not registered as it should be, in words for `/readyz`.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes the registration, and remembers what kept it from being written.
    async fn enter(&self) -> Result<(), Fault> {
        let written = self.write().await;
        let refusal = match &written {
            Err(fault @ Fault::Refused(_)) => {
                Some(format!("this node cannot register, so other nodes do not find it: {fault}"))
            }
            // That Redis is away is found, and told, by the canaries.
            _ => None,
        };
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        written
    }

    async fn write(&self) -> Result<(), Fault> {
        let mut standing = self.standing.lock().await;
        if *standing == Standing::Left {
            return Ok(());
        }
        *standing = Standing::Unwritten;
        // The lease first: whoever finds the id must find the lease.
        self.hold_lease().await?;
        let here = self.here.as_str();
        let mut id = redis::cmd("HSET");
        id.arg(keys::NODES).arg(here).arg(&self.id);
        let is_added = self.link.ask::<u64>(&id).await? > 0;
        if is_added && self.has_been_written.load(Ordering::Relaxed) {
            self.be_patient();
        }
        self.link.ask::<Value>(&expire_nodes()).await?;
        self.link.ask::<Value>(&script::stamp(keys::SERVERS, here)).await?;
        *standing = Standing::Written;
        self.has_been_written.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Redis has forgotten this node, and so probably the others.
    fn be_patient(&self) {
        if !self.is_patient() {
            tracing::info!(
                "Redis had forgotten this node: waiting for the others to register again"
            );
        }
        let until = (self.time.since_start() + PATIENCE).as_millis();
        self.patient_until.store(until.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_patient(&self) -> bool {
        self.time.since_start() < Duration::from_millis(self.patient_until.load(Ordering::Relaxed))
    }

    async fn renew_lease(&self) -> Result<(), Fault> {
        let standing = self.standing.lock().await;
        if *standing == Standing::Written { self.hold_lease().await } else { Ok(()) }
    }

    async fn hold_lease(&self) -> Result<(), Fault> {
        if self.has_lease_run_out() {
            self.be_patient();
        }
        let start = match self.start.load(Ordering::Relaxed) {
            0 => self.link.ask::<u64>(&script::time_ms(keys::SERVERS)).await? / 1_000,
            start => start,
        };
        self.start.store(start, Ordering::Relaxed);
        let now = self.time.since_start().as_millis();
        let text = roll::lease_text(&self.here, start);
        let mut lease = redis::cmd("SET");
        lease.arg(keys::lease(&self.id)).arg(text).arg("EX").arg(LEASE_SECONDS);
        self.link.ask::<Value>(&lease).await?;
        self.leased_at.store(now.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(())
    }

    /// Whether Redis was away for longer than a lease lasts. Those of the others
    /// have then run out as well, and say nothing about them.
    fn has_lease_run_out(&self) -> bool {
        let held = Duration::from_millis(self.leased_at.load(Ordering::Relaxed));
        self.has_been_written.load(Ordering::Relaxed)
            && self.time.since_start() >= held + Duration::from_secs(LEASE_SECONDS)
    }

    /// Reads the others; writes this node's registration if it is not there.
    async fn look(&self) -> Result<(), Fault> {
        let is_written = *self.standing.lock().await != Standing::Unwritten;
        if !(self.read().await? && is_written) {
            self.enter().await?;
        }
        Ok(())
    }

    /// Reads the clock of Redis. It is asked alone, and again after a slow answer (the first
    /// one waits for the connection): the shorter the way, the better it orders logins.
    async fn read_time(&self) -> Result<u64, Fault> {
        let question = script::time_ms(keys::SERVERS);
        let mut tries = 0;
        loop {
            let asked = self.time.since_start();
            let now = self.link.ask::<u64>(&question).await?;
            self.time.set_ms(now, asked);
            tries += 1;
            if tries == TIME_TRIES || self.time.since_start() - asked <= TIME_QUICK {
                return Ok(now);
            }
        }
    }

    /// Reads the others; true if this node is registered itself.
    async fn read(&self) -> Result<bool, Fault> {
        let mut view = self.view.lock().await;
        let now = self.read_time().await?;
        let (servers, nodes) = (all(keys::SERVERS), all(keys::NODES));
        let (servers, nodes) =
            tokio::try_join!(self.link.ask::<Fields>(&servers), self.link.ask::<Fields>(&nodes))?;
        let now = now / 1_000;
        let is_stamped = value_of(&servers, &self.here).is_some();
        let id_here = value_of(&nodes, &self.here).map(<[u8]>::to_vec);
        let is_here = is_stamped && id_here.is_some();
        view.note_rival(&self.here, id_here.as_deref().is_some_and(|id| id != self.id.as_bytes()));
        let listed = roll::list(servers, nodes, &self.here, now);
        let entries = self.with_leases(listed.candidates).await?;
        let mut live = view.roll.call(&entries, now);
        let is_forgotten = !is_here && self.has_been_written.load(Ordering::Relaxed);
        if is_forgotten || self.has_lease_run_out() {
            self.be_patient();
        }
        self.note_reference(roll::has_reference(&entries, &live));
        if self.is_patient() {
            live.extend(self.nodes.borrow().iter().cloned());
        }
        self.rounds.fetch_add(1, Ordering::Relaxed);
        let stamps: BTreeMap<NodeAddr, u64> =
            entries.iter().map(|(node, entry)| (node.clone(), entry.stamp)).collect();
        self.stamps.send_if_modified(|known| {
            let is_changed = **known != stamps;
            if is_changed {
                *known = Arc::new(stamps);
            }
            is_changed
        });
        let starts = entries.into_iter().filter_map(|(node, entry)| Some((node, entry.lease?.1?)));
        self.starts.send_replace(Arc::new(starts.collect()));
        self.publish(live);
        drop(view);
        self.forget(&listed.forgotten).await?;
        Ok(is_here)
    }

    /// Notes whether nodes of the reference live, and says what they need.
    fn note_reference(&self, is_mixed: bool) {
        if !self.is_mixed.send_if_modified(|known| std::mem::replace(known, is_mixed) != is_mixed) {
            return;
        }
        if !is_mixed {
            tracing::info!("no node of gowebsocket is registered any more");
        } else if self.here.host().starts_with('[') {
            tracing::warn!(
                here = %self.here,
                "nodes of gowebsocket are registered and cannot call this node: they cut its address at \
                 the first colon; let it listen at an IPv4 address (listen.grpc, cluster.advertise)"
            );
        } else {
            tracing::info!(
                "nodes of gowebsocket are registered: records are renewed every five seconds"
            );
        }
    }

    fn publish(&self, live: BTreeSet<NodeAddr>) {
        self.nodes.send_if_modified(|nodes| {
            let is_changed = **nodes != live;
            if is_changed {
                let came: Vec<&str> = live.difference(nodes).map(NodeAddr::as_str).collect();
                let gone: Vec<&str> = nodes.difference(&live).map(NodeAddr::as_str).collect();
                let (came, gone) = (came.join(", "), gone.join(", "));
                tracing::info!(came, gone, others = live.len(), "the nodes of the cluster");
                *nodes = Arc::new(live);
            }
            is_changed
        });
    }

    /// Removes ids that nobody needs, a few at a time; every node tries the same.
    /// One that has a lease is about to stamp its address.
    async fn forget(&self, forgotten: &[(String, String)]) -> Result<(), Fault> {
        for (field, id) in forgotten.iter().take(FORGOTTEN_AT_ONCE) {
            if self.link.ask::<u64>(redis::cmd("EXISTS").arg(keys::lease(id))).await? == 0 {
                self.link.ask::<u64>(&script::remove(keys::NODES, field, id)).await?;
            }
        }
        Ok(())
    }

    /// Asks which of the millgate nodes live. Of one that cannot be asked for
    /// (a part of a Redis Cluster may be away) it is believed what was.
    async fn with_leases(
        &self,
        candidates: BTreeMap<NodeAddr, (u64, Option<String>)>,
    ) -> Result<BTreeMap<NodeAddr, Entry>, Fault> {
        let ids: Vec<&String> = candidates.values().filter_map(|(_, id)| id.as_ref()).collect();
        let asked: Vec<Cmd> = ids
            .iter()
            .map(|id| {
                let mut command = redis::cmd("GET");
                command.arg(keys::lease(id));
                command
            })
            .collect();
        let answers = if asked.is_empty() { Vec::new() } else { self.link.ask_all(&asked).await? };
        let mut answers = answers.into_iter();
        let before = Arc::clone(&self.starts.borrow());
        let with_lease = candidates.into_iter().map(|(address, (stamp, id))| {
            let lease = id.map(|id| {
                let start = match answers.next() {
                    Some(Ok(Value::BulkString(text))) => roll::lease_start(&text, &address),
                    Some(Ok(_)) => None,
                    Some(Err(_)) | None => before.get(&address).copied(),
                };
                (id, start)
            });
            (address, Entry { stamp, lease })
        });
        Ok(with_lease.collect())
    }
}

/// What this node made of its last look.
#[derive(Debug, Default)]
struct View {
    roll: Roll,
    has_rival: bool,
}

impl View {
    fn note_rival(&mut self, here: &NodeAddr, has_rival: bool) {
        if has_rival && !self.has_rival {
            tracing::warn!(%here, "another node has registered under this node's address (cluster.advertise)");
        }
        self.has_rival = has_rival;
    }
}

fn all(key: &str) -> Cmd {
    let mut command = redis::cmd("HGETALL");
    command.arg(key);
    command
}

fn value_of<'a>(fields: &'a Fields, address: &NodeAddr) -> Option<&'a [u8]> {
    let is_it = |(field, _): &&(Vec<u8>, Vec<u8>)| field == address.as_str().as_bytes();
    fields.iter().find(is_it).map(|(_, value)| value.as_slice())
}

fn expire_nodes() -> Cmd {
    let mut command = redis::cmd("EXPIRE");
    command.arg(keys::NODES).arg(HASH_SECONDS);
    command
}

#[cfg(test)]
mod tests;
