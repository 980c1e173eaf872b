//! What a worker is told to do, and what it hands over when asked.

use crossbeam_channel::Sender;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::time::Duration;

use super::conn::Role;

/// An order to one worker.
#[derive(Clone, Debug)]
pub enum Order {
    /// Open connections until there are so many; keep to a rate, or do not.
    Grow {
        /// Connections of this worker.
        to: u32,
        /// Connection attempts a second; none for as fast as it goes.
        per_s: Option<f64>,
    },
    /// Log in whoever is open, and from now on whoever becomes open.
    LogIn {
        /// Logins a second; none for as fast as it goes.
        per_s: Option<f64>,
    },
    /// Send a heartbeat from every connection once in this time; none to stop.
    Beat(Option<Beat>),
    /// Send requests; none to stop.
    Load(Option<Load>),
    /// What to do about connections that end or fail.
    Return(Policy),
    /// Cut so many of the open connections at once.
    Drop(u32),
    /// Turn so many of the clients into bad ones; those to come first.
    Misbehave(Role, u32),
    /// Hand over what was measured, and begin anew.
    Harvest(Sender<Harvest>),
    /// Cut everything and end.
    Stop,
}

/// How clients show that they are alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Time between two heartbeats of one connection.
    pub every: Duration,
    /// With the gateway's command, or with a WebSocket ping.
    pub command: bool,
}

/// Requests that are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// What is sent.
    pub request: Request,
    /// How many of the worker's connections send.
    pub active: u32,
    /// Requests a second of this worker; none for the next one after each answer.
    pub per_s: Option<f64>,
    /// Requests that each connection has under way in a closed loop.
    pub in_flight: u32,
}

/// What is sent, numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A text message of so many bytes, which comes back.
    Echo(usize),
    /// The gateway's `ping`.
    Ping,
    /// The gateway's `heartbeat`.
    Heartbeat,
}

/// What a client does when its connection ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// Stays away.
    Never,
    /// Comes back at once.
    Immediate,
    /// Comes back after this time.
    Fixed(Duration),
    /// Waits a random time below a bound that doubles with every attempt.
    Exponential {
        /// The first bound.
        base: Duration,
        /// The largest bound.
        cap: Duration,
    },
}

impl Policy {
    /// How long to wait before an attempt, `tries` having failed before.
    pub(super) fn delay(&self, tries: u8, random: &mut fastrand::Rng) -> Option<Duration> {
        match *self {
            Self::Never => None,
            Self::Immediate if tries == 0 => Some(Duration::ZERO),
            // Even the impatient give the server a moment when it refused them.
            Self::Immediate => Some(Duration::from_millis(100)),
            Self::Fixed(delay) => Some(delay),
            Self::Exponential { base, cap } => {
                let bound = base.saturating_mul(1 << tries.min(20)).min(cap);
                Some(bound.mul_f64(random.f64()))
            }
        }
    }
}

/// Three views of the same messages, in microseconds.
#[derive(Clone, Debug)]
pub struct Timing {
    /// From the time it was meant to be sent to its answer.
    pub corrected: Histogram<u64>,
    /// From the time it was sent to its answer.
    pub uncorrected: Histogram<u64>,
    /// From the time it was meant to be sent to the time it was.
    pub lag: Histogram<u64>,
}

/// The longest time that is told apart from longer ones: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// A histogram for microseconds up to an hour, to three digits, which grows as it is used.
fn histogram() -> Histogram<u64> {
    // Three digits are within what the library takes; it has no other reason to refuse.
    let mut histogram = Histogram::new(3).unwrap_or_else(|_| unreachable!("3 digits are valid"));
    histogram.auto(true);
    histogram
}

impl Default for Timing {
    fn default() -> Self {
        Self { corrected: histogram(), uncorrected: histogram(), lag: histogram() }
    }
}

impl Timing {
    /// Enters a message that has just come.
    pub(super) fn record(&mut self, intended_us: u64, sent_us: u64, now_us: u64) {
        let enter = |histogram: &mut Histogram<u64>, from: u64, to: u64| {
            histogram.saturating_record(to.saturating_sub(from).clamp(1, LONGEST_US));
        };
        enter(&mut self.corrected, intended_us, now_us);
        enter(&mut self.uncorrected, sent_us, now_us);
        enter(&mut self.lag, intended_us, sent_us);
    }

    /// Adds another one's messages.
    pub fn merge(&mut self, other: &Self) {
        let pairs = [
            (&mut self.corrected, &other.corrected),
            (&mut self.uncorrected, &other.uncorrected),
            (&mut self.lag, &other.lag),
        ];
        for (sum, more) in pairs {
            // Both grow as needed: adding cannot fail.
            let _added = sum.add(more);
        }
    }
}

/// What a worker has measured since the last harvest.
#[derive(Clone, Debug, Default)]
pub struct Harvest {
    /// Answers to requests.
    pub replies: Timing,
    /// Answers to heartbeats.
    pub beats: Timing,
    /// Pushes.
    pub pushes: Timing,
    /// Failures and losses by cause, since the start.
    pub causes: BTreeMap<String, u64>,
    /// Mean delays of the pushes of each connection: count, sum, sum of squares.
    pub fairness: (u64, f64, f64),
}

impl Harvest {
    /// Adds another worker's.
    pub fn merge(&mut self, other: &Self) {
        self.replies.merge(&other.replies);
        self.beats.merge(&other.beats);
        self.pushes.merge(&other.pushes);
        for (cause, count) in &other.causes {
            *self.causes.entry(cause.clone()).or_default() += count;
        }
        let (count, sum, squares) = other.fairness;
        self.fairness.0 += count;
        self.fairness.1 += sum;
        self.fairness.2 += squares;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_wait_as_they_say() {
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(Policy::Never.delay(0, &mut random), None);
        assert_eq!(Policy::Immediate.delay(0, &mut random), Some(Duration::ZERO));
        assert!(Policy::Immediate.delay(1, &mut random) > Some(Duration::ZERO));
        let fixed = Duration::from_secs(5);
        assert_eq!(Policy::Fixed(fixed).delay(9, &mut random), Some(fixed));
        let policy = Policy::Exponential { base: Duration::from_secs(1), cap: Duration::from_secs(8) };
        for tries in 0..=255 {
            let bound = Duration::from_secs(8.min(1_u64 << tries.min(10)));
            let waits: Vec<_> = (0..50).filter_map(|_| policy.delay(tries, &mut random)).collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "{tries}");
            assert!(waits.iter().max() > Some(&(bound / 2)), "the whole range is used");
        }
    }

    #[test]
    fn timings_keep_the_three_views_apart() {
        let mut timing = Timing::default();
        timing.record(1_000, 1_500, 4_000);
        let mut sum = Timing::default();
        sum.merge(&timing);
        assert_eq!(sum.corrected.max(), 3_000);
        assert!((2_500..2_504).contains(&sum.uncorrected.max()));
        assert_eq!(sum.lag.max(), 500);
    }
}
