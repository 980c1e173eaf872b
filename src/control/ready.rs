//! Whether this node really delivers: canaries through every way a message takes.

use super::Base;
use super::cluster::Cluster;
use super::tasks::Tasks;
use crate::config::Config;
use crate::host::systemd;
use crate::link::{Drain, Stage};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// What is wrong, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// What keeps this node from serving its users.
    pub(super) complaints: Vec<String>,
    /// What is wrong with others.
    pub(super) remarks: Vec<String>,
}

/// What was found last.
#[derive(Debug)]
pub(super) struct Readiness {
    found: Mutex<Findings>,
    drain: Arc<Drain>,
    tasks: Arc<Tasks>,
    /// `ready.redis_grace` in milliseconds.
    redis_grace_ms: AtomicU64,
}

impl Readiness {
    /// Of a node that ends by this drain.
    pub(super) fn new(config: &Config, drain: Arc<Drain>, tasks: Arc<Tasks>) -> Self {
        let (found, redis_grace_ms) = Default::default();
        let readiness = Self { found, drain, tasks, redis_grace_ms };
        readiness.reload(config);
        readiness
    }

    /// Goes by another configuration from the next look on.
    pub(super) fn reload(&self, config: &Config) {
        // A valid configuration has an hour at most.
        let grace = u64::try_from(config.ready.redis_grace.as_millis()).unwrap_or(u64::MAX);
        self.redis_grace_ms.store(grace, Ordering::Relaxed);
    }

    /// How its tasks are.
    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Without complaints the node is ready.
    pub(super) fn findings(&self) -> Findings {
        let complaint = match self.drain.stage() {
            Stage::Serving => {
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
                // The task that looks may be among them.
                found.complaints.extend(self.tasks.complaints());
                return found;
            }
            Stage::Grace => "this node is about to stop",
            Stage::Closing => "this node is stopping",
        };
        Findings { complaints: vec![complaint.to_owned()], remarks: Vec::new() }
    }

    fn enter(&self, found: Findings) {
        let mut known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |line: &String| known.complaints.contains(line);
        for complaint in found.complaints.iter().filter(|line| !is_known(line)) {
            tracing::warn!("not ready: {complaint}");
        }
        let is_told = |line: &String| is_known(line) || known.remarks.contains(line);
        for remark in found.remarks.iter().filter(|line| !is_told(line)) {
            tracing::warn!("{remark}");
        }
        if found.complaints.is_empty() && !known.complaints.is_empty() {
            tracing::info!("ready again");
        }
        *known = found;
    }
}

/// How often canaries are sent.
const EVERY: Duration = Duration::from_secs(1);

/// Time for what follows the last client: writing off its users, requests under way.
const STOP_LEEWAY: Duration = Duration::from_secs(15);

/// So many canaries may be missing: their reactor has a long turn behind it.
const MISSING_MAX: u64 = 3;

/// Sends canaries through each reactor, through Redis and to each peer, and
/// notes which did not arrive, and which peers take clients. systemd hears every time that the reactors live; it is
/// not told of Redis and peers, since a restart would mend neither.
pub(super) async fn watch(readiness: Arc<Readiness>, base: Base, cluster: Option<Arc<Cluster>>) {
    let mut ticks = tokio::time::interval(EVERY);
    // Canaries in a row after a standstill would find every reactor silent.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut life = vec![Life::default(); base.metrics.reactors.len()];
    let (mut grace, mut pulse) = (Grace::default(), Pulse::new(base.clock.now()));
    for number in 1_u64.. {
        ticks.tick().await;
        let Beat { passed, stood_still } = pulse.begin(base.clock.now());
        if let Some(cluster) = &cluster {
            base.drain.offer_refuges(cluster.peers().refuges());
        }
        if readiness.drain.stage() == Stage::Closing {
            // What falls silent then is meant to.
            systemd::stopping(readiness.drain.progress(base.clock.now()).left + STOP_LEEWAY);
            systemd::alive();
            continue;
        }
        let mut complaints = silent_reactors(&base, &mut life, number);
        base.hub.router.send_canaries(number);
        if complaints.is_empty() {
            systemd::alive();
        }
        if stood_still {
            // The whole process stood still. Connections to Redis and to other nodes have broken
            // meanwhile and are about to come back; the next look tells whether they do.
            continue;
        }
        let (mut found, redis, is_refused) = match &cluster {
            Some(cluster) => cluster.findings(base.clock.now()).await,
            None => Default::default(),
        };
        complaints.append(&mut found.complaints);
        let mut limit = Duration::from_millis(readiness.redis_grace_ms.load(Ordering::Relaxed));
        if is_refused {
            // A failover takes a moment; a Redis that goes on refusing does not mend itself.
            limit /= 2;
        }
        if grace.excuses(!redis.is_empty(), passed, limit) {
            found.remarks.extend(redis.into_iter().map(|why| why + STAYS_READY));
        } else {
            complaints.extend(redis);
        }
        base.hub.admission.look(&base.metrics, base.hub.bounds.connections());
        let shortages = base.hub.admission.shortages();
        complaints.extend(shortages.map(|short| format!("no new clients are let in: {short}")));
        readiness.enter(Findings { complaints, ..found });
        pulse.end(base.clock.now());
    }
}

/// The next look is a second away: when it comes so late, the whole process has stood still (a
/// virtual machine that moves, a container that is frozen).
const STANDSTILL: Duration = Duration::from_secs(3);

/// What is added to troubles with Redis that are excused.
const STAYS_READY: &str = "; this node stays ready for a while (ready.redis_grace)";

/// Measures the time between looks.
#[derive(Debug)]
struct Pulse {
    /// When the last look began.
    began: Duration,
    /// When it ended.
    ended: Duration,
}

/// What the time between two looks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beat {
    /// From the beginning of one to that of the other; a standstill counts as a moment.
    passed: Duration,
    stood_still: bool,
}

impl Pulse {
    fn new(now: Duration) -> Self {
        Self { began: now, ended: now }
    }

    /// A look begins. It ends with this unless [`Pulse::end`] says more.
    fn begin(&mut self, now: Duration) -> Beat {
        let stood_still = now.saturating_sub(self.ended) > STANDSTILL;
        let passed = if stood_still { EVERY } else { now.saturating_sub(self.began) };
        *self = Self { began: now, ended: now };
        Beat { passed, stood_still }
    }

    /// The look ends.
    fn end(&mut self, now: Duration) {
        self.ended = now;
    }
}

/// For how long Redis has been in trouble, as far as that is excused.
#[derive(Debug, Default)]
struct Grace {
    /// Redis has been in order once: until then nothing is excused.
    has_worked: bool,
    /// Time in trouble.
    failing_for: Duration,
}

impl Grace {
    /// Whether the node stays ready at a look that comes `passed` after the last one. Redis may
    /// fail for `limit` at a time.
    fn excuses(&mut self, is_failing: bool, passed: Duration, limit: Duration) -> bool {
        if !is_failing {
            *self = Self { has_worked: true, failing_for: Duration::ZERO };
            return true;
        }
        self.failing_for += passed;
        self.has_worked && self.failing_for <= limit
    }
}

/// What was last seen of a reactor.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    /// Orders it had taken.
    taken: u64,
    /// Number of the last canary at whose time it had taken another one.
    at: u64,
}

impl Life {
    /// Whether a reactor that has taken so many orders is silent at the time of this canary.
    fn is_over(&mut self, taken: u64, number: u64) -> bool {
        if taken != self.taken || number == 1 {
            *self = Self { taken, at: number };
        }
        self.at + MISSING_MAX < number
    }
}

/// Reactors that have taken no mail since the last few canaries. Any order counts, since a canary
/// may stand behind many.
fn silent_reactors(base: &Base, life: &mut [Life], number: u64) -> Vec<String> {
    let seen = base.metrics.reactors.iter().map(|stats| stats.mail.get()).zip(life);
    let silent = seen
        .enumerate()
        .filter_map(|(index, (taken, life))| life.is_over(taken, number).then_some(index));
    silent.map(|index| format!("reactor {index} does not take its mail")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::link::Plan;

    #[test]
    fn any_mail_that_is_taken_is_life() {
        let mut life = Life::default();
        let silent: Vec<u64> = (1..=20)
            .filter(|number| life.is_over(if *number < 10 { *number } else { 9 }, *number))
            .collect();
        assert_eq!(silent, (13..=20).collect::<Vec<u64>>());
        assert!(!life.is_over(10, 21));
    }

    #[test]
    fn redis_is_excused_for_a_while_if_it_has_worked() {
        let (second, limit) = (EVERY, Duration::from_secs(10));
        let mut grace = Grace::default();
        assert!(!grace.excuses(true, second, limit), "it has never worked");
        for round in 0..3 {
            assert!(grace.excuses(false, second, limit));
            let excused = (0..60).take_while(|_| grace.excuses(true, second, limit)).count();
            assert_eq!(excused, 10, "round {round}");
            assert!(!grace.excuses(true, second, limit));
        }
        assert!(grace.excuses(false, second, limit));
        assert!(!grace.excuses(true, second, Duration::ZERO), "as of a reload");
    }

    #[test]
    fn a_standstill_is_told_from_a_look_that_takes_long() {
        let at = Duration::from_secs;
        let mut pulse = Pulse::new(at(0));
        assert_eq!(pulse.begin(at(1)), Beat { passed: at(1), stood_still: false });
        pulse.end(at(6));
        assert_eq!(pulse.begin(at(7)), Beat { passed: at(6), stood_still: false });
        pulse.end(at(7));
        assert_eq!(pulse.begin(at(16)), Beat { passed: EVERY, stood_still: true });
        assert_eq!(pulse.begin(at(17)), Beat { passed: at(1), stood_still: false });
    }

    /// Of what was a remark in the grace, and is a complaint after it, the log tells both times.
    #[test]
    fn complaints_come_and_go() {
        let tasks = Arc::new(Tasks::new(Clock::start()));
        let readiness = Readiness::new(&Config::default(), Arc::default(), Arc::clone(&tasks));
        assert_eq!(readiness.findings(), Findings::default());
        let complaints = vec!["Redis does not answer".to_owned()];
        let found = Findings { complaints, remarks: vec!["node b is away".to_owned()] };
        readiness.enter(found.clone());
        assert_eq!(readiness.findings(), found);
        readiness.enter(Findings::default());
        assert_eq!(readiness.findings(), Findings::default());
        tasks.lose("HTTP", &"its socket is gone");
        assert_eq!(readiness.findings().complaints, ["a task of this node has failed: HTTP"]);
        let plan = Plan { grace: EVERY, rate: 0, timeout: EVERY };
        readiness.drain.begin_grace(EVERY, plan);
        assert_eq!(readiness.findings().complaints, ["this node is about to stop"]);
        readiness.drain.cancel();
        assert_eq!(readiness.findings().complaints.len(), 1, "that of the task");
        readiness.drain.close(EVERY, 1, plan);
        assert_eq!(readiness.findings().complaints, ["this node is stopping"]);
    }
}
