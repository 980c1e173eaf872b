//! The places of HTTP and of gRPC connections, and whose place goes to a newcomer.
//!
//! Probes, operators and nodes have to get in while strangers occupy all they can. So a newcomer never
//! waits behind connections that only wait for their peer: one of these is ended for it. It is
//! taken from the address that holds the most places, and of these the one that has waited longest.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What a connection is at, as far as others have to know.
#[derive(Debug, Default)]
pub(in crate::control) struct Place {
    /// Milliseconds on the node's clock at which it began to wait for a request, or began to answer.
    since: AtomicU64,
    /// Whether a request is being answered.
    is_answering: AtomicBool,
    /// Whether the peer takes nothing of an answer at the moment.
    is_blocked: AtomicBool,
    /// Whether a byte has come from the peer.
    has_spoken: AtomicBool,
    /// Whether it has ever had a request.
    has_asked: AtomicBool,
    /// Whether it is one of those that are kept for probes and operators.
    is_reserved: AtomicBool,
    end: Notify,
}

impl Place {
    /// The head of a request has come.
    pub(in crate::control) fn ask(&self, now: Duration) {
        self.has_asked.store(true, Ordering::Relaxed);
        self.enter(now);
    }

    /// A whole request has come.
    pub(in crate::control) fn begin_answer(&self, now: Duration) {
        self.is_answering.store(true, Ordering::Relaxed);
        self.enter(now);
    }

    /// The answer is made; what is left of it waits for the peer.
    pub(in crate::control) fn end_answer(&self, now: Duration) {
        self.is_answering.store(false, Ordering::Relaxed);
        self.enter(now);
    }

    /// Whether the peer takes what is written.
    pub(in crate::control) fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// A byte has come from the peer.
    pub(in crate::control) fn note_spoken(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }

    /// Whether one has. A health check may connect and close without one.
    pub(in crate::control) fn has_spoken(&self) -> bool {
        self.has_spoken.load(Ordering::Relaxed)
    }

    /// Whether it has ever had a request.
    pub(in crate::control) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// Marks it as one that is kept for probes and operators.
    pub(in crate::control) fn reserve(&self) {
        self.is_reserved.store(true, Ordering::Relaxed);
    }

    /// Whether it is one of these.
    pub(in crate::control) fn is_reserved(&self) -> bool {
        self.is_reserved.load(Ordering::Relaxed)
    }

    /// Waits until the place is wanted for another connection.
    pub(in crate::control) async fn wanted(&self) {
        self.end.notified().await;
    }

    fn enter(&self, now: Duration) {
        self.since.store(millis(now), Ordering::Relaxed);
    }

    /// Whether it waits for its peer rather than for this node.
    pub(in crate::control) fn waits_for_peer(&self) -> bool {
        !self.is_answering.load(Ordering::Relaxed) || self.is_blocked.load(Ordering::Relaxed)
    }
}

/// All places that are taken.
#[derive(Debug, Default)]
pub(in crate::control) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    of: HashMap<u64, (Option<IpAddr>, Arc<Place>)>,
    /// How many each network holds.
    held: HashMap<Option<IpAddr>, usize>,
}

impl Taken {
    fn remove(&mut self, number: u64) -> Option<Arc<Place>> {
        let (peer, place) = self.of.remove(&number)?;
        if let Some(held) = self.held.get_mut(&peer) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&peer);
            }
        }
        Some(place)
    }
}

impl Places {
    /// Takes a place for a peer at this address, or of a unix socket.
    pub(in crate::control) fn take(self: &Arc<Self>, peer: Option<IpAddr>, now: Duration) -> Held {
        let place = Arc::new(Place::default());
        place.enter(now);
        let peer = peer.map(network);
        let mut taken = self.lock();
        let number = taken.next;
        taken.next += 1;
        *taken.held.entry(peer).or_default() += 1;
        taken.of.insert(number, (peer, Arc::clone(&place)));
        Held { places: Arc::clone(self), number, place }
    }

    /// How many the network of this address holds.
    pub(in crate::control) fn held_by(&self, peer: IpAddr) -> usize {
        self.lock().held.get(&Some(network(peer))).copied().unwrap_or(0)
    }

    /// Ends a connection that waits for its peer: the longest wait of the network that holds most,
    /// or of the network `of`. `false` if there is none.
    pub(in crate::control) fn free_one(&self, of: Option<IpAddr>) -> bool {
        let mut taken = self.lock();
        let of = of.map(network);
        let is_meant = |peer: &Option<IpAddr>| of.is_none() || *peer == of;
        let waiting = taken.of.iter();
        let waiting = waiting.filter(|(_, (peer, place))| is_meant(peer) && place.waits_for_peer());
        let largest = waiting.min_by_key(|(number, (peer, place))| {
            let places = taken.held.get(peer).copied().unwrap_or(0);
            (usize::MAX - places, place.since.load(Ordering::Relaxed), **number)
        });
        let Some(number) = largest.map(|(number, _)| *number) else { return false };
        // It is no candidate any more, however long its end takes.
        if let Some(place) = taken.remove(number) {
            place.end.notify_one();
        }
        true
    }

    /// Nothing panics with the lock held.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub(in crate::control) struct Held {
    places: Arc<Places>,
    number: u64,
    pub(in crate::control) place: Arc<Place>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.lock().remove(self.number);
    }
}

/// An address, or the /64 of IPv6 that a subscriber has.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ended(held: &Held) -> bool {
        !held.places.taken.lock().unwrap().of.contains_key(&held.number)
    }

    #[test]
    fn the_longest_wait_of_the_largest_holder_ends_first() {
        let places = Arc::new(Places::default());
        let (few, many) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        let second = Duration::from_secs;
        let old = places.take(few, second(0));
        let held = [3, 1, 2].map(|at| places.take(many, second(at)));
        assert!(places.free_one(None));
        assert!(is_ended(&held[1]) && !is_ended(&old));
        held[2].place.begin_answer(second(4));
        assert!(places.free_one(None));
        assert!(is_ended(&held[0]), "an answer that is being made is let alone");
        assert!(places.free_one(None) && is_ended(&old));
        assert!(!places.free_one(None));
        held[2].place.set_blocked(true);
        assert!(places.free_one(None), "a peer that takes nothing of its answer waits as well");
    }

    #[test]
    fn a_network_that_has_enough_gives_up_places_of_its_own() {
        let places = Arc::new(Places::default());
        let one = "2001:db8::1".parse().unwrap();
        let (other, neighbour) = ("192.0.2.1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let _others: Vec<Held> = (0..3).map(|_| places.take(Some(other), Duration::ZERO)).collect();
        let own = [one, neighbour].map(|peer| places.take(Some(peer), Duration::ZERO));
        assert_eq!((places.held_by(one), places.held_by(other)), (2, 3));
        own[1].place.begin_answer(Duration::ZERO);
        assert!(places.free_one(Some(neighbour)) && is_ended(&own[0]));
        assert!(!places.free_one(Some(one)), "the other one is answered, and others are no help");
        assert_eq!((places.held_by(one), places.held_by(other)), (1, 3));
    }

    #[test]
    fn places_are_given_back() {
        let places = Arc::new(Places::default());
        drop(places.take(None, Duration::ZERO));
        let taken = places.taken.lock().unwrap();
        assert!(taken.of.is_empty() && taken.held.is_empty());
    }
}
