//! The places of HTTP connections, and whose place goes to a newcomer when all are taken.
//!
//! Probes and operators have to get in while strangers occupy all they can. So a newcomer never
//! waits behind connections that only wait for their peer: one of these is ended for it. It is
//! taken from the address that holds the most places, and of these the one that has waited longest.

use hyper::body::{Body, Frame, SizeHint};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// What a connection is at, as far as others have to know.
#[derive(Debug, Default)]
pub(super) struct Place {
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
    end: Notify,
}

impl Place {
    /// The head of a request has come.
    pub(super) fn ask(&self, now: Duration) {
        self.has_asked.store(true, Ordering::Relaxed);
        self.enter(now);
    }

    /// A whole request has come.
    pub(super) fn begin_answer(&self, now: Duration) {
        self.is_answering.store(true, Ordering::Relaxed);
        self.enter(now);
    }

    /// The answer is made; what is left of it waits for the peer.
    pub(super) fn end_answer(&self, now: Duration) {
        self.is_answering.store(false, Ordering::Relaxed);
        self.enter(now);
    }

    /// Whether the peer takes what is written.
    pub(super) fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// Whether a byte has come from the peer. A health check may connect and close without one.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken.load(Ordering::Relaxed)
    }

    /// Whether it has ever had a request.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// Waits until the place is wanted for another connection.
    pub(super) async fn wanted(&self) {
        self.end.notified().await;
    }

    fn enter(&self, now: Duration) {
        self.since.store(millis(now), Ordering::Relaxed);
    }

    /// Whether it waits for its peer rather than for this node.
    fn waits_for_peer(&self) -> bool {
        !self.is_answering.load(Ordering::Relaxed) || self.is_blocked.load(Ordering::Relaxed)
    }
}

/// All places that are taken.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    of: HashMap<u64, (Option<IpAddr>, Arc<Place>)>,
}

impl Places {
    /// Takes a place for a peer at this address, or of a unix socket.
    pub(super) fn take(self: &Arc<Self>, peer: Option<IpAddr>, now: Duration) -> Held {
        let place = Arc::new(Place::default());
        place.enter(now);
        let peer = peer.map(network);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let number = taken.next;
        taken.next += 1;
        taken.of.insert(number, (peer, Arc::clone(&place)));
        Held { places: Arc::clone(self), number, place }
    }

    /// Ends a connection that waits for its peer; `false` if there is none.
    pub(super) fn free_one(&self) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for (peer, _) in taken.of.values() {
            *held.entry(*peer).or_default() += 1;
        }
        let waiting = taken.of.iter().filter(|(_, (_, place))| place.waits_for_peer());
        let largest = waiting.min_by_key(|(number, (peer, place))| {
            let places = held.get(peer).copied().unwrap_or(0);
            (usize::MAX - places, place.since.load(Ordering::Relaxed), **number)
        });
        let Some(number) = largest.map(|(number, _)| *number) else { return false };
        // It is no candidate any more, however long its end takes.
        if let Some((_, place)) = taken.of.remove(&number) {
            place.end.notify_one();
        }
        true
    }
}

/// A place that is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    places: Arc<Places>,
    number: u64,
    pub(super) place: Arc<Place>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.of.remove(&self.number);
    }
}

/// A socket that notes whether its peer speaks, and takes what is written.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) socket: S,
    pub(super) place: Arc<Place>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.place.has_spoken.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.place.set_blocked(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.place.set_blocked(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A body that tells when it is dropped: it has been read, or nobody wants it.
#[derive(Debug)]
pub(super) struct Guarded<B, F: Fn()> {
    body: B,
    tell: F,
}

impl<B, F: Fn()> Guarded<B, F> {
    /// Calls `tell` when `body` is dropped.
    pub(super) fn new(body: B, tell: F) -> Self {
        Self { body, tell }
    }
}

impl<B, F: Fn()> Drop for Guarded<B, F> {
    fn drop(&mut self) {
        (self.tell)();
    }
}

impl<B: Body + Unpin, F: Fn() + Unpin> Body for Guarded<B, F> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
        assert!(places.free_one());
        assert!(is_ended(&held[1]) && !is_ended(&old));
        held[2].place.begin_answer(second(4));
        assert!(places.free_one());
        assert!(is_ended(&held[0]), "an answer that is being made is let alone");
        assert!(places.free_one() && is_ended(&old));
        assert!(!places.free_one());
        held[2].place.set_blocked(true);
        assert!(places.free_one(), "a peer that takes nothing of its answer waits as well");
    }

    #[test]
    fn places_are_given_back() {
        let places = Arc::new(Places::default());
        drop(places.take(None, Duration::ZERO));
        assert!(places.taken.lock().unwrap().of.is_empty());
    }
}
