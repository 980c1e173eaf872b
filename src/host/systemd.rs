//! What a service tells systemd (`sd_notify(3)`). Where nobody listens
//! (`NOTIFY_SOCKET` is not set), nothing is told.

use sd_notify::NotifyState;
use std::time::Duration;

/// Clients are served.
pub fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The configuration is read again; [`ready`] has to follow.
pub fn reloading() {
    tell(&[NotifyState::Reloading]);
}

/// The end has begun, and this much time is needed from now on: systemd waits
/// so long, even beyond `TimeoutStopSec`.
pub fn stopping(left: Duration) {
    let left = u32::try_from(left.as_micros()).unwrap_or(u32::MAX);
    let status = NotifyState::Status("sending clients away");
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(left), status]);
}

/// Every reactor takes its mail. Without this for `WatchdogSec` the service is
/// ended and started again.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
