//! One connection to Redis that comes back by itself.
//!
//! The library's `ConnectionManager` was looked at first: its callers wait
//! while it reconnects, it keeps a socket behind which nobody answers any more
//! (a stopped server), it gives up after some tries, and it knows no Sentinel.
//! So a task of ours keeps the library's multiplexed connection, or its
//! cluster connection, which follows MOVED and ASK.

use super::target::{Connection, REPLICA, Target, TargetError};
use super::trouble;
use crate::config::{self, RedisMode};
use crate::metrics::Metrics;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Why Redis did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum Fault {
    /// There is no connection; nothing was sent. [`Link::trouble`] knows why.
    #[error("Redis is not reachable")]
    Down,
    /// No answer in time; it may have been done.
    #[error("Redis did not answer within {0:?}")]
    Late(Duration),
    /// Redis, or the way to it, said no.
    #[error("Redis: {0}")]
    Refused(#[from] RedisError),
}

/// The way to Redis for one use: uses do not wait for each other.
#[derive(Clone, Debug)]
pub(in crate::control) struct Link {
    line: Arc<Line>,
    is_cluster: bool,
    _keeper: Arc<Keeper>,
}

/// Ends the task that keeps a link when the last clone of the link has gone.
#[derive(Debug)]
struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Line {
    /// What the link is for, in log lines.
    purpose: &'static str,
    timeout: Duration,
    live: watch::Sender<Option<Live>>,
    /// Why there is no connection, for people.
    trouble: Mutex<Option<String>>,
    /// The number of the last connection that somebody has found wanting.
    doubted: AtomicU64,
    doubt: Notify,
    metrics: Arc<Metrics>,
}

/// An open connection. A new number means that Redis may have forgotten things meanwhile.
#[derive(Clone, Debug)]
pub(in crate::control) struct Live {
    number: u64,
    connection: Connection,
}

impl Live {
    /// Counts the connections of a link from 1.
    #[cfg(test)]
    pub(in crate::control) fn number(&self) -> u64 {
        self.number
    }
}

impl Link {
    /// Begins to connect, and goes on for as long as the link lives; the server
    /// need not be there. Call it within the runtime.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub(in crate::control) fn open(
        config: &config::Redis,
        purpose: &'static str,
        metrics: Arc<Metrics>,
    ) -> Result<Self, TargetError> {
        let target = Target::new(config)?;
        let line = Arc::new(Line {
            purpose,
            timeout: config.timeout,
            live: watch::Sender::new(None),
            trouble: Mutex::default(),
            doubted: AtomicU64::new(0),
            doubt: Notify::new(),
            metrics,
        });
        let keeper = Keeper(tokio::spawn(keep(Arc::clone(&line), target, config.clone())));
        let is_cluster = config.mode == RedisMode::Cluster;
        Ok(Self { line, is_cluster, _keeper: Arc::new(keeper) })
    }

    /// Whether there is a connection.
    pub(in crate::control) fn is_up(&self) -> bool {
        self.line.live.borrow().is_some()
    }

    /// Why there is no connection, in one line; `None` if there is one, or was no try yet.
    pub(in crate::control) fn trouble(&self) -> Option<String> {
        self.line.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is no connection although the server answers: it takes no writes.
    pub(in crate::control) fn is_refused(&self) -> bool {
        self.trouble().is_some_and(|why| why.contains(REPLICA))
    }

    /// Whether it leads to a Redis Cluster, each server of which knows its own scripts.
    pub(in crate::control) fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// The connection as it comes and goes.
    pub(in crate::control) fn watch(&self) -> watch::Receiver<Option<Live>> {
        self.line.live.subscribe()
    }

    /// Waits until there is a connection, at most for `redis.timeout`.
    pub(in crate::control) async fn wait_until_up(&self) -> bool {
        let mut live = self.watch();
        let up = live.wait_for(Option::is_some);
        matches!(tokio::time::timeout(self.line.timeout, up).await, Ok(Ok(_)))
    }

    /// Sends a command and waits for its answer, at most for `redis.timeout`,
    /// and not at all while there is no connection.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(in crate::control) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<T, Fault> {
        let mut live = self.live()?;
        let answer = self.timed(&live.clone(), live.connection.one(command)).await?;
        Ok(T::from_redis_value(answer).map_err(RedisError::from)?)
    }

    /// Sends many commands at once; each has an answer of its own.
    ///
    /// # Errors
    /// When none of them may have been answered.
    pub(in crate::control) async fn ask_all(
        &self,
        commands: &[Cmd],
    ) -> Result<Vec<RedisResult<Value>>, Fault> {
        let mut live = self.live()?;
        let answers = self.timed(&live.clone(), live.connection.many(commands)).await?;
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.line.judge(&live, error);
        }
        Ok(answers)
    }

    fn live(&self) -> Result<Live, Fault> {
        self.line.live.borrow().clone().ok_or(Fault::Down)
    }

    async fn timed<T>(
        &self,
        live: &Live,
        answer: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Fault> {
        match tokio::time::timeout(self.line.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.line.judge(live, &error);
                Err(error.into())
            }
            Err(_) => {
                self.line.count_error();
                self.line.doubt(live, &Fault::Late(self.line.timeout));
                Err(Fault::Late(self.line.timeout))
            }
        }
    }
}

impl Line {
    fn count_error(&self) {
        self.metrics.cluster.redis_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an error, and doubts the connection if the error says that
    /// another one may do better.
    fn judge(&self, live: &Live, error: &RedisError) {
        let kind = error.kind();
        // The script's text comes with the first command of the next pipeline.
        if kind == ErrorKind::Server(ServerErrorKind::NoScript) {
            return;
        }
        self.count_error();
        let is_lost = error.is_unrecoverable_error() || error.is_io_error();
        let server = [
            ServerErrorKind::BusyLoading,
            ServerErrorKind::MasterDown,
            ServerErrorKind::ReadOnly,
            ServerErrorKind::Moved,
            ServerErrorKind::Ask,
            ServerErrorKind::ClusterDown,
        ];
        if is_lost || server.iter().any(|server| kind == ErrorKind::Server(*server)) {
            self.doubt(live, &error);
        }
    }

    /// One server that fails a caller fails all of them at once from now on; of
    /// a cluster the other servers go on, and the keeper looks for a better view of it.
    fn doubt(&self, live: &Live, why: &dyn std::fmt::Display) {
        self.doubted.fetch_max(live.number, Ordering::Relaxed);
        if live.connection.is_cluster() {
            return;
        }
        self.lower(live.number, why);
        self.doubt.notify_one();
    }

    fn is_doubted(&self, number: u64) -> bool {
        self.doubted.load(Ordering::Relaxed) >= number
    }

    fn note(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn raise(&self, number: u64, connection: Connection) {
        self.note(None);
        let before = self.live.send_replace(Some(Live { number, connection }));
        if number > 1 {
            self.metrics.cluster.redis_reconnects.fetch_add(1, Ordering::Relaxed);
        }
        if before.is_none() {
            tracing::info!(purpose = self.purpose, "connected to Redis");
        }
    }

    fn lower(&self, number: u64, why: &dyn std::fmt::Display) {
        let lowered = self.live.send_if_modified(|live| {
            let is_it = live.as_ref().is_some_and(|live| live.number == number);
            if is_it {
                *live = None;
            }
            is_it
        });
        if lowered {
            self.note(Some(why.to_string()));
            tracing::warn!(purpose = self.purpose, error = %why, "lost Redis");
        }
    }
}

/// How often a connection that nobody complains about is looked at.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// Sentinels are asked at every so manieth of these looks.
const CHECKS_PER_MASTER: u32 = 5;

/// Pauses between attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

async fn keep(line: Arc<Line>, mut target: Target, config: config::Redis) {
    let (mut pause, mut number) = (PAUSE_MIN, 0);
    loop {
        match target.connect(line.timeout).await {
            Ok(connection) => {
                number += 1;
                line.raise(number, connection.clone());
                if watch_over(&line, &mut target, number, connection).await {
                    pause = PAUSE_MIN;
                }
            }
            Err(error) => {
                line.count_error();
                line.lower(number, &error);
                let why = trouble::in_words(&error);
                // Who is ready to serve tells it at a level that everybody reads, once for all links.
                tracing::debug!(
                    purpose = line.purpose,
                    error = why,
                    "cannot reach Redis, trying on"
                );
                line.note(Some(why));
            }
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(PAUSE_MAX);
        if let Some(renewed) = renewed(&config).await {
            target = renewed;
        }
    }
}

/// A target with the authorities that `redis.tls_ca` holds now: it may have been replaced since the
/// last connection. `None` if nothing is read from a file, or the file is of no use at the moment.
async fn renewed(config: &config::Redis) -> Option<Target> {
    if !config.tls || config.tls_ca.as_os_str().is_empty() {
        return None;
    }
    let config = config.clone();
    let read = tokio::task::spawn_blocking(move || Target::new(&config)).await.ok()?;
    match read {
        Ok(target) => Some(target),
        Err(error) => {
            tracing::debug!(%error, "cannot read it again, going by what was read before");
            None
        }
    }
}

/// Returns when the connection is to be replaced; true if it was good for a while.
async fn watch_over(
    line: &Line,
    target: &mut Target,
    number: u64,
    mut connection: Connection,
) -> bool {
    let mut checks = 0_u32;
    loop {
        // Woken by a doubt, or time to look.
        let _woken = tokio::time::timeout(CHECK_PERIOD, line.doubt.notified()).await;
        if line.is_doubted(number) {
            return checks > 0;
        }
        let why = match tokio::time::timeout(line.timeout, connection.check()).await {
            Ok(Ok(())) if checks.is_multiple_of(CHECKS_PER_MASTER) && target.has_moved().await => {
                "there is another master".to_owned()
            }
            Ok(Ok(())) => {
                checks = checks.wrapping_add(1);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => Fault::Late(line.timeout).to_string(),
        };
        line.count_error();
        line.lower(number, &why);
        return checks > 0;
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod fleet_tests;

#[cfg(test)]
#[path = "doors_tests.rs"]
mod doors_tests;
