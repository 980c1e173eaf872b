//! How often the same complaint may be written into the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One line for each so long time: whoever is turned away comes again at once.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Time of the clock, in milliseconds, from which on a line may be written.
    next_ms: AtomicU64,
}

impl Pace {
    /// Whether a line may be written now.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let next = |due: u64| (ms(now) >= due).then(|| ms(now + BETWEEN_LINES));
        self.next_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute() {
        let pace = Pace::default();
        let told: Vec<u64> =
            (0..200).filter(|second| pace.is_due(Duration::from_secs(*second))).collect();
        assert_eq!(told, [0, 60, 120, 180]);
    }
}
