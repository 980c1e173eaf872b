//! The only room that asks what time it is. Everybody else is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time since a start; one for the whole process, read once a turn.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place where the time is read")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Time since the start.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place where the time is read")]
    pub fn now(&self) -> Duration {
        Instant::now().duration_since(self.origin)
    }
}

/// Seconds since 1970, as the reference writes them into Redis; 0 before that.
#[must_use]
pub fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

/// Decimal ids for pushes that nobody gave one: the time in nanoseconds, as the
/// reference makes them, but never the same twice in a process.
#[derive(Debug, Default)]
pub struct FreshId {
    last: AtomicU64,
}

impl FreshId {
    /// The next id; larger than every earlier one.
    #[must_use]
    pub fn next(&self) -> u64 {
        let time = u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX - 1);
        let stamp = |last: u64| Some(time.max(last + 1));
        match self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, stamp) {
            Ok(last) | Err(last) => time.max(last + 1),
        }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_never_repeat() {
        let ids = FreshId::default();
        let drawn: Vec<u64> = (0..10_000).map(|_| ids.next()).collect();
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
