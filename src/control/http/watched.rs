//! What a connection of the HTTP API is at: whether its peer takes what is written, and whether a
//! request is being answered.

use crate::clock::Clock;
use crate::control::places::Place;
use crate::limits::{HTTP_READER_BYTES_PER_SECOND, HTTP_READER_SECONDS};
use hyper::body::{Body, Frame, SizeHint};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A socket that notes whether its peer takes what is written, and fails when the peer is too slow.
#[derive(Debug)]
pub(super) struct Watched<S> {
    socket: S,
    place: Arc<Place>,
    clock: Clock,
    patience: Patience,
    /// When the patience is spent, while the peer takes nothing.
    end: Option<Pin<Box<Sleep>>>,
    /// Counts those who were too slow.
    slow_readers: Arc<AtomicU64>,
}

/// How long a peer that takes nothing is waited for: what it takes earns it time.
#[derive(Clone, Copy, Debug)]
struct Patience {
    left: Duration,
    /// Since when it has taken nothing.
    since: Option<Duration>,
}

impl Patience {
    const MOST: Duration = Duration::from_secs(HTTP_READER_SECONDS);

    fn new() -> Self {
        Self { left: Self::MOST, since: None }
    }

    /// It takes nothing at the moment.
    fn block(&mut self, now: Duration) {
        self.since.get_or_insert(now);
    }

    /// It has taken so many bytes.
    fn take(&mut self, bytes: usize, now: Duration) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.saturating_sub(since));
        }
        let micros = (bytes as u64).saturating_mul(1_000_000) / HTTP_READER_BYTES_PER_SECOND;
        self.left = self.left.saturating_add(Duration::from_micros(micros)).min(Self::MOST);
    }
}

impl<S: Unpin> Watched<S> {
    pub(super) fn new(socket: S, place: Arc<Place>, clock: Clock, slow: Arc<AtomicU64>) -> Self {
        let patience = Patience::new();
        Self { socket, place, clock, patience, end: None, slow_readers: slow }
    }

    /// Notes what a write came to.
    fn note(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.place.set_blocked(written.is_pending());
        if let Poll::Ready(result) = &written {
            if self.end.take().is_some() || self.patience.left < Patience::MOST {
                self.patience.take(*result.as_ref().unwrap_or(&0), self.clock.now());
            }
            return written;
        }
        self.patience.block(self.clock.now());
        let left = self.patience.left;
        let end = self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
        ready!(end.as_mut().poll(cx));
        self.slow_readers.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
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
            self.place.note_spoken();
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
        self.note(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note(cx, written)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_earns_time_by_what_it_takes() {
        let second = Duration::from_secs;
        let mut patience = Patience::new();
        patience.block(second(100));
        patience.block(second(110));
        patience.take(0, second(120));
        assert_eq!(patience.left, Patience::MOST - second(20), "counted from the first time on");
        // At half of the speed that is asked for it loses, at twice of it wins.
        let (mut slow, mut fast) = (patience, patience);
        let bytes = HTTP_READER_BYTES_PER_SECOND as usize;
        for step in 0..5 {
            slow.block(second(200 + 2 * step));
            slow.take(bytes, second(202 + 2 * step));
            fast.block(second(200 + 2 * step));
            fast.take(4 * bytes, second(202 + 2 * step));
        }
        assert_eq!((slow.left, fast.left), (patience.left - second(5), patience.left + second(10)));
        fast.take(usize::MAX, second(300));
        assert_eq!(fast.left, Patience::MOST, "no more than that is saved up");
    }
}
