//! What is asked of a node that runs: to drain, to read its configuration again.
//!
//! Signals and the admin API put their orders into one bounded channel; the
//! thread that has assembled the node carries them out, one after the other.

use super::{Gateway, bid_drain, budget, join_all};
use crate::auth::Access;
use crate::config::{ConfigError, Loaded};
use crate::host::memory::Memory;
use crate::host::{systemd, tls};
use crate::hub::Hub;
use crate::link::{Drain, Order, Plan, Progress, Reloaded, Wish};
use crate::logging::Controls;
use crate::reactor::Settings;
use crossbeam_channel::{RecvTimeoutError, Sender, select};
use humantime_serde::re::humantime::format_duration;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Where a node reads its configuration when it is told to, and the log that a reload changes.
pub struct Source<R> {
    /// Reads everything again: file, environment, command line.
    pub read: R,
    /// The log: a reload sets its level and opens its file again.
    pub log: Controls,
}

/// A drain that has begun and can still be taken back.
struct Grace {
    until: Duration,
    wish: Wish,
}

impl Gateway {
    /// Takes orders. It holds few of them: whoever finds it full has asked often enough.
    #[must_use]
    pub fn orders(&self) -> Sender<Order> {
        self.order.clone()
    }

    /// How this node is drained.
    #[must_use]
    pub fn drain(&self) -> Arc<Drain> {
        Arc::clone(&self.shared.drain)
    }

    /// Carries out orders until the node has been drained, and ends.
    pub fn run<R>(mut self, mut source: Source<R>)
    where
        R: FnMut() -> Result<Loaded, ConfigError>,
    {
        let mut grace: Option<Grace> = None;
        let plan = loop {
            let order = match &grace {
                None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(grace) => {
                    self.orders.recv_timeout(grace.until.saturating_sub(self.shared.clock.now()))
                }
            };
            match (order, grace.take()) {
                (Ok(Order::Drain { wish, answer }), _) => {
                    grace = Some(self.begin_grace(wish, answer));
                }
                (Ok(Order::CancelDrain { answer }), before) => {
                    let is_taken_back = before.is_some() && self.shared.drain.cancel();
                    if is_taken_back {
                        tracing::info!("the drain was taken back");
                    }
                    tell(answer, is_taken_back);
                }
                (Ok(Order::Reload { answer }), before) => {
                    grace = before;
                    tell(answer, self.reload(&mut source));
                }
                // For the connections that there are now.
                (Err(_), Some(Grace { wish, .. })) => break self.plan(wish),
                // It holds a sender itself, so this does not happen.
                (Err(_), None) => break self.plan(Wish::default()),
            }
        };
        self.close(plan);
    }

    /// Ends in good order: no new clients, close 1012 to everybody at a pace
    /// that fits into `stop.timeout`, then the control plane.
    pub fn stop(self) {
        let plan = self.plan(Wish::default());
        self.close(plan);
    }

    fn begin_grace(&self, wish: Wish, answer: Option<Sender<Progress>>) -> Grace {
        let (plan, now) = (self.plan(wish), self.shared.clock.now());
        self.shared.drain.begin_grace(now, plan);
        if !plan.grace.is_zero() {
            tracing::info!(grace = %format_duration(plan.grace), "about to stop: not ready any more");
        }
        tell(answer, self.shared.drain.progress(now));
        Grace { until: now + plan.grace, wish }
    }

    /// What a wish comes to.
    fn plan(&self, wish: Wish) -> Plan {
        let stop = &self.config.stop;
        let configured = Plan { grace: stop.grace, rate: stop.rate, timeout: stop.timeout };
        wish.over(configured, self.connections())
    }

    fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    fn close(mut self, plan: Plan) {
        let hub = Arc::clone(&self.shared.hub);
        let users = hub.directory.users();
        tracing::info!(users, rate = plan.rate, timeout = %format_duration(plan.timeout), "stopping");
        hub.announcer.silence();
        self.shared.drain.close(self.shared.clock.now(), self.connections(), plan);
        let mut has_left = self.leave_in_time();
        bid_drain(&hub, &self.reactors.threads);
        while self.hear_one() {
            has_left = has_left || self.leave_in_time();
        }
        if !has_left {
            self.control.leave(Duration::ZERO);
        }
        join_all(self.reactors.threads);
        self.control.stop();
        tracing::info!("stopped");
    }

    /// Leaves the cluster if the end is near. Whoever is told later has to be
    /// reached by messages from other nodes until then.
    fn leave_in_time(&mut self) -> bool {
        let (drain, now) = (&self.shared.drain, self.shared.clock.now());
        let is_near = drain.all_told_in(now) <= LEAVE_LEAD;
        if is_near {
            self.control.leave(drain.progress(now).left);
        }
        is_near
    }

    /// Carries out what can still be ordered while the reactors close their
    /// connections; false when all of them have ended.
    fn hear_one(&self) -> bool {
        let order = select! {
            recv(self.orders) -> order => order,
            // Nothing is ever sent: all have ended.
            recv(self.reactors.alive) -> _ => return false,
            default(LEAVE_LOOK) => return true,
        };
        match order {
            Ok(Order::Drain { wish, answer }) => {
                let (plan, now) = (self.plan(wish), self.shared.clock.now());
                self.shared.drain.close(now, 0, plan);
                tracing::info!(rate = plan.rate, timeout = %format_duration(plan.timeout), "stopping by another plan");
                tell(answer, self.shared.drain.progress(now));
            }
            Ok(Order::CancelDrain { answer }) => tell(answer, false),
            Ok(Order::Reload { answer }) => tell(answer, Err(vec![STOPPING.to_owned()])),
            // It holds a sender itself, so this does not happen.
            Err(_) => return false,
        }
        true
    }

    /// Reads the configuration again and goes by it, as far as that is possible
    /// without a restart. If anything is wrong with it, nothing changes.
    fn reload<R>(&mut self, source: &mut Source<R>) -> Result<Reloaded, Vec<String>>
    where
        R: FnMut() -> Result<Loaded, ConfigError>,
    {
        systemd::reloading();
        // First, so that what follows stands in the new file.
        source.log.reopen_file();
        let done = match (source.read)() {
            Ok(loaded) => self.follow(loaded, &source.log),
            Err(error) => Err(error.problems().to_vec()),
        };
        match &done {
            Ok(Reloaded { changed, needs_restart, .. }) => {
                tracing::info!(
                    changed = changed.join(", "),
                    needs_restart = needs_restart.join(", "),
                    "the configuration was read again"
                );
            }
            Err(problems) => {
                for problem in problems {
                    tracing::error!(%problem, "the configuration was not taken: all stays as it was");
                }
            }
        }
        systemd::ready();
        done
    }

    fn follow(&mut self, loaded: Loaded, log: &Controls) -> Result<Reloaded, Vec<String>> {
        let Loaded { config: wanted, mut notices, warnings } = loaded;
        let config = wanted.clone().for_running(&self.config);
        let changed = self.config.differing_keys(&config);
        let needs_restart = config.differing_keys(&wanted);
        // First whatever can fail. What was right beside its own addresses may be wrong beside
        // those that stay: an API that others reach needs its keys.
        config.check().map_err(|error| error.problems().to_vec())?;
        let problem = |error: &dyn fmt::Display| vec![error.to_string()];
        let limits = &config.limits;
        let access = Access::load(&config.auth).map_err(|error| problem(&error))?;
        let tls = tls::load(&config.listen).map_err(|error| problem(&error))?;
        let trust = self.control.load_trust(&config).map_err(|error| vec![error])?;
        let settings = Settings::new(&config, &access, tls.clone());
        let memory = Memory::read(Path::new("/"));
        let outboxes = budget(&memory, limits.outbox_total_bytes);
        let assemblies = budget(&memory, limits.assembly_total_bytes);
        self.shared.hub.reload(&config).map_err(|error| problem(&error))?;
        // The level was validated, so that it does not fail here, half-way.
        log.set_level(&config.log.level).map_err(|error| problem(&error))?;
        self.shared.outboxes.set_limit(outboxes);
        self.shared.hub.bounds.set_backlogs(outboxes);
        self.shared.assemblies.set_limit(assemblies);
        self.control.reload(&config, access, tls, trust);
        self.shared.settings.replace(settings);
        self.shared.drain.configure_refuges(&config.stop.other_nodes);
        bid_reload(&self.shared.hub, self.reactors.threads.len(), || !self.orders.is_empty());
        self.config = config;
        for warning in self.config.warnings().iter().chain(&warnings) {
            tracing::warn!("{warning}");
        }
        notices.extend(warnings);
        Ok(Reloaded { changed, needs_restart, notices })
    }
}

/// Tells all reactors to look at their settings again. A mailbox that stays full belongs to a
/// reactor that is stuck, as `/readyz` says: it gets the settings with the next reload. It is waited
/// for only as long as no other order is there: SIGTERM must not wait behind it.
fn bid_reload(hub: &Hub, reactors: usize, is_order_waiting: impl Fn() -> bool) {
    let mut left: Vec<usize> = (0..reactors).collect();
    for _ in 0..RELOAD_TRIES {
        left.retain(|index| hub.router.reload(*index).is_err());
        if left.is_empty() || is_order_waiting() {
            break;
        }
        std::thread::sleep(RELOAD_PAUSE);
    }
    for reactor in left {
        tracing::warn!(reactor, "does not take its mail and goes by the old settings");
    }
}

/// An answer that nobody waits for any more is no trouble.
fn tell<T>(answer: Option<Sender<T>>, what: T) {
    if let Some(answer) = answer {
        let _heard = answer.try_send(what);
    }
}

/// Time in which a node writes off its users before the last of them is told: more
/// than a stop takes by default.
const LEAVE_LEAD: Duration = Duration::from_secs(10);

/// How often it is looked whether that time has come.
const LEAVE_LOOK: Duration = Duration::from_millis(500);

/// Two seconds for all reactors to make room for an order.
const RELOAD_TRIES: u32 = 1_000;
const RELOAD_PAUSE: Duration = Duration::from_millis(2);

const STOPPING: &str = "this node is stopping";

impl<R> fmt::Debug for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("log", &self.log).finish_non_exhaustive()
    }
}
