//! The tokens and certificates that are in use, and how they are replaced.

use super::Security;
use crate::clock::Clock;
use crate::control::pace::Pace;
use crate::link::Current;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What this node shows to others and asks of them. A reload replaces it, and so do changed files
/// of certificates when the next connection begins. Connections that are open stay.
#[derive(Debug)]
pub(in crate::control) struct Credentials {
    in_use: Current<Security>,
    /// Held while they are replaced: a look at files that has taken long must not undo a reload.
    replacing: Mutex<()>,
    /// Time of the clock, in milliseconds, from which on the files may be looked at.
    next_look_ms: AtomicU64,
    complaints: Pace,
    clock: Clock,
}

/// Between two looks at the files, however many connections begin.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

impl Credentials {
    pub(in crate::control) fn new(security: Security, clock: Clock) -> Self {
        Self {
            in_use: Current::new(security),
            replacing: Mutex::default(),
            next_look_ms: AtomicU64::default(),
            complaints: Pace::default(),
            clock,
        }
    }

    /// Those of now.
    pub(in crate::control) fn get(&self) -> Arc<Security> {
        self.in_use.get()
    }

    /// Goes by others from now on.
    pub(in crate::control) fn replace(&self, security: Security) {
        let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(security);
    }

    /// Those for a connection that begins: of what the files say now. Certificates are renewed as
    /// files every few weeks, and not everything that renews them can send a signal. Files that
    /// are of no use, such as a certificate whose key is not there yet, change nothing.
    pub(in crate::control) async fn fresh(&self) -> Arc<Security> {
        let before = self.get();
        if !before.has_tls() || !self.may_look() {
            return before;
        }
        let read = Arc::clone(&before);
        match tokio::task::spawn_blocking(move || read.renewed()).await {
            Ok(Some(Ok(security))) => {
                let _alone = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
                if Arc::ptr_eq(&before, &self.get()) {
                    self.put(security);
                }
            }
            Ok(Some(Err(error))) if self.complaints.is_due(self.clock.now()) => {
                tracing::warn!(
                    %error,
                    "certificates of the cluster have changed and cannot be used: those before stay in use"
                );
            }
            Ok(_) | Err(_) => {}
        }
        self.get()
    }

    fn put(&self, security: Security) {
        if security.has_other_certificates(&self.get()) {
            tracing::info!("new certificates of the cluster are in use for new connections");
        }
        self.in_use.replace(security);
    }

    fn may_look(&self) -> bool {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.now();
        let next = |due: u64| (ms(now) >= due).then(|| ms(now + BETWEEN_LOOKS));
        self.next_look_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}
