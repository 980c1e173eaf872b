//! What a worker is told to do, and what it hands over when asked.

use crate::clock::Clock;
use crate::result::{Latency, Quantiles};
use crate::stats::histogram::Histogram;
use crossbeam_channel::Sender;
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
    /// Take this clock: the run begins at its zero.
    Begin(Clock),
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
    /// One or the other, so many pings in a hundred.
    Mix(u8),
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
    /// Does what a server that stops bids it. If nobody has bidden anything it waits a random
    /// time up to half a minute. After a failure it waits one to two seconds, and after some of
    /// them as [`Policy::Exponential`] up to half a minute.
    Obey,
}

/// The longest wait of a client that nobody has bidden anything.
pub(super) const UNBIDDEN_MAX: Duration = Duration::from_secs(30);

/// Failed attempts after which a client that obeys waits for longer.
const SOON_TRIES: u8 = 8;

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
            Self::Obey if tries == 0 => Some(UNBIDDEN_MAX.mul_f64(random.f64())),
            // A server that is started again may be a little late.
            Self::Obey if tries <= SOON_TRIES => {
                Some(Duration::from_secs(1) + Duration::from_secs(1).mul_f64(random.f64()))
            }
            Self::Obey => {
                let base = Duration::from_secs(2);
                Self::Exponential { base, cap: UNBIDDEN_MAX }.delay(tries - SOON_TRIES, random)
            }
        }
    }
}

/// Three views of the same messages, in microseconds. Nothing is kept before
/// the first one: most workers only ever see one kind of message.
#[derive(Clone, Debug, Default)]
pub struct Timing(Option<Box<Views>>);

#[derive(Clone, Debug, Default)]
struct Views {
    /// From the time it was meant to be sent to its answer.
    corrected: Histogram,
    /// From the time it was sent to its answer.
    uncorrected: Histogram,
    /// From the time it was meant to be sent to the time it was.
    lag: Histogram,
}

impl Timing {
    /// Enters a message that has just come.
    pub(super) fn record(&mut self, intended_us: u64, sent_us: u64, now_us: u64) {
        let views = self.0.get_or_insert_default();
        // A time of 0 is outside of the histogram: what took no time took one.
        views.corrected.record(now_us.saturating_sub(intended_us).max(1));
        views.uncorrected.record(now_us.saturating_sub(sent_us).max(1));
        views.lag.record(sent_us.saturating_sub(intended_us).max(1));
    }

    /// Adds another one's messages.
    pub fn merge(&mut self, other: &Self) {
        let Some(more) = &other.0 else { return };
        let views = self.0.get_or_insert_default();
        views.corrected.merge(&more.corrected);
        views.uncorrected.merge(&more.uncorrected);
        views.lag.merge(&more.lag);
    }

    /// From the time each was meant to be sent to its answer.
    #[must_use]
    pub fn corrected(&self) -> Histogram {
        self.0.as_ref().map_or_else(Histogram::default, |views| views.corrected.clone())
    }

    /// The figures that people ask for.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let views = self.0.as_deref();
        let of = |view: fn(&Views) -> &Histogram| {
            views.map_or_else(Quantiles::default, |views| view(views).to_quantiles())
        };
        Latency {
            corrected: of(|views| &views.corrected),
            uncorrected: of(|views| &views.uncorrected),
            lag: of(|views| &views.lag),
        }
    }
}

/// What a worker has measured since the last harvest.
#[derive(Clone, Debug, Default)]
pub struct Harvest {
    /// Answers to requests.
    pub replies: Timing,
    /// Answers to heartbeats, from the time they were due.
    pub beats: Timing,
    /// Pushes.
    pub pushes: Timing,
    /// Returns of clients that were told when to be back, from that time on; sent is when they dialled.
    pub returns: Timing,
    /// Shortest delay of a push at each address ([`super::Spec::urls`]) that got one, microseconds.
    pub firsts: BTreeMap<usize, u64>,
    /// Failures and losses by cause, since the start.
    pub causes: BTreeMap<String, u64>,
    /// Mean delays of the pushes of each connection: count, sum, sum of squares.
    pub fairness: (u64, f64, f64),
}

impl Harvest {
    /// Enters the delay of a push at an address.
    pub(super) fn first(&mut self, url: usize, delay_us: u64) {
        let first = self.firsts.entry(url).or_insert(u64::MAX);
        *first = delay_us.min(*first);
    }

    /// Adds another worker's.
    pub fn merge(&mut self, other: &Self) {
        self.replies.merge(&other.replies);
        self.beats.merge(&other.beats);
        self.pushes.merge(&other.pushes);
        self.returns.merge(&other.returns);
        for (url, first) in &other.firsts {
            self.first(*url, *first);
        }
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
        let policy =
            Policy::Exponential { base: Duration::from_secs(1), cap: Duration::from_secs(8) };
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
        let latency = sum.latency();
        assert!((3_000..3_004).contains(&latency.corrected.max_us));
        assert!((2_500..2_504).contains(&latency.uncorrected.max_us));
        assert_eq!(latency.lag.max_us, 500);
    }
}
