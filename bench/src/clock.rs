//! The one place that reads the time.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the run began, on a clock that never jumps. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Begins now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Begins when [`monotonic_ns`] is, or was, that much; until then it stands at 0.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the time")]
    pub fn beginning_at(ns: i64) -> Self {
        let (now, left) = (Instant::now(), ns.saturating_sub(monotonic_ns()));
        let span = Duration::from_nanos(left.unsigned_abs());
        let start = if left < 0 { now.checked_sub(span) } else { now.checked_add(span) };
        Self { start: start.unwrap_or(now) }
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Microseconds since the start.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        micros(self.now())
    }
}

/// Nanoseconds on this host's clock that never jumps; all processes of a host see the same.
#[must_use]
pub fn monotonic_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// Seconds since 1970 UTC; 0 on a host whose clock says it is earlier.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whole microseconds; what does not fit 64 bits never happens.
#[must_use]
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
