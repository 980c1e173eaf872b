//! Long-lived tasks. When one fails this is logged and counted, the node is not ready while it is
//! down, and it begins again.
//!
//! A task fails by a panic, or by an error that it cannot go on after. One that returns has done
//! its work: the node is about to end.

use crate::clock::Clock;
use futures_util::FutureExt;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How the long-lived tasks of the control plane are.
#[derive(Debug)]
pub(super) struct Tasks {
    clock: Clock,
    /// How many tasks of each name are down.
    down: Mutex<BTreeMap<&'static str, u32>>,
    /// Failures so far.
    failures: AtomicU64,
}

/// Pause before a task begins again, after its first failure.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// The same after many failures in a row; each doubles it.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A task that has run for so long begins again after the shortest pause.
const STEADY: Duration = Duration::from_secs(60);

impl Tasks {
    /// All is well.
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, down: Mutex::default(), failures: AtomicU64::new(0) }
    }

    /// Failures so far.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// A complaint for each name of which a task is down.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.lock().keys().map(|name| format!("a task of this node has failed: {name}")).collect()
    }

    /// The same as [`Tasks::keep`], beside the caller. Call it within the runtime.
    pub(super) fn start<F, T>(self: &Arc<Self>, name: &'static str, begin: F)
    where
        F: FnMut() -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let tasks = Arc::clone(self);
        tokio::spawn(async move { tasks.keep(name, begin).await });
    }

    /// Runs a task, and begins it anew after each failure, until it returns.
    async fn keep<F, T>(&self, name: &'static str, mut begin: F)
    where
        F: FnMut() -> T,
        T: Future<Output = ()>,
    {
        let mut pause = Pause::default();
        loop {
            let began = self.clock.now();
            let task = AssertUnwindSafe(async { begin().await });
            let Err(panic) = task.catch_unwind().await else { return };
            let pause = pause.after(self.clock.now().saturating_sub(began));
            let (why, pause_ms) = (message(&*panic), pause.as_millis());
            tracing::error!(task = name, why, pause_ms, "a task has failed and begins again");
            self.enter(name);
            tokio::time::sleep(pause).await;
            self.leave(name);
        }
    }

    /// Runs a task that cannot begin anew, since what it owns goes with it. The node is not ready
    /// any more after its failure.
    pub(super) async fn keep_once<E: std::fmt::Display>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>>,
    ) {
        match AssertUnwindSafe(task).catch_unwind().await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.lose(name, &error),
            Err(panic) => self.lose(name, &message(&*panic)),
        }
    }

    /// A task, or a thread, has ended that cannot begin anew.
    pub(super) fn lose(&self, name: &'static str, why: &dyn std::fmt::Display) {
        tracing::error!(task = name, %why, "a task has failed and cannot begin again; restart this node");
        self.enter(name);
    }

    fn enter(&self, name: &'static str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        *self.lock().entry(name).or_default() += 1;
    }

    fn leave(&self, name: &'static str) {
        let mut down = self.lock();
        if let Some(count) = down.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                down.remove(name);
            }
        }
    }

    /// Nothing panics with the lock held.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, u32>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a task waits before it begins again.
#[derive(Debug)]
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Pause {
    /// The pause after a failure of a task that has run for so long.
    fn after(&mut self, run: Duration) -> Duration {
        let pause = if run >= STEADY { PAUSE_MIN } else { self.0 };
        self.0 = (2 * pause).min(PAUSE_MAX);
        pause
    }
}

/// What a panic has said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason was given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_is_named_and_begins_again() {
        let (tasks, began) = (Tasks::new(Clock::start()), AtomicU64::new(0));
        let kept = tasks.keep("fragile", || async {
            assert!(began.fetch_add(1, Ordering::Relaxed) > 0, "on purpose");
            assert_eq!(tasks.complaints(), Vec::<String>::new(), "it is up again");
        });
        let watched = async {
            while tasks.complaints().is_empty() {
                tokio::task::yield_now().await;
            }
            tasks.complaints()
        };
        let ((), complaints) = tokio::join!(kept, watched);
        assert_eq!(complaints, ["a task of this node has failed: fragile"]);
        assert_eq!((tasks.failures(), began.load(Ordering::Relaxed)), (1, 2));
        assert_eq!(tasks.complaints(), Vec::<String>::new());
    }

    #[test]
    fn the_pause_grows_up_to_its_bound_and_starts_over_after_a_steady_run() {
        let mut pause = Pause::default();
        let pauses: Vec<u128> =
            (0..9).map(|_| pause.after(Duration::from_secs(1)).as_millis()).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(pause.after(STEADY), PAUSE_MIN);
    }

    #[tokio::test]
    async fn a_task_that_returns_has_done_its_work() {
        let tasks = Tasks::new(Clock::start());
        tasks.keep("short", || async {}).await;
        tasks.keep_once("once", async { Ok::<(), String>(()) }).await;
        assert_eq!((tasks.failures(), tasks.complaints().len()), (0, 0));
        tasks.keep_once("once", async { Err("its socket is gone") }).await;
        tasks.keep_once("twice", async { panic!("on purpose") as Result<(), String> }).await;
        assert_eq!(tasks.failures(), 2);
        let complaints =
            ["a task of this node has failed: once", "a task of this node has failed: twice"];
        assert_eq!(tasks.complaints(), complaints);
    }
}
