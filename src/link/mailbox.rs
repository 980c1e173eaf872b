//! The bounded box in which orders to a reactor wait, or its news for the
//! control plane, and its bell.

use super::awake::Awake;
use super::mail::Mail;
use crate::host::refused::Explain;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// A box was full, or its owner has ended; what was sent was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is full")]
pub struct Refused;

/// Makes the two ends of a box for `depth` letters. The bell is a descriptor, so
/// it has to be made before a reactor gets a descriptor table of its own: every
/// thread that rings must hold it.
///
/// # Errors
/// When the kernel has no descriptor to give.
pub fn mailbox<T>(depth: usize) -> io::Result<(Post<T>, Mailbox<T>)> {
    mailbox_with_reserve(depth, 0)
}

/// The same with further places that only [`Post::send_reserved`] fills. Threads that
/// [`Post::send`] at the same moment may take a place of these each.
///
/// # Errors
/// When the kernel has no descriptor to give.
pub fn mailbox_with_reserve<T>(depth: usize, reserve: usize) -> io::Result<(Post<T>, Mailbox<T>)> {
    let (sender, receiver) = crossbeam_channel::bounded(depth + reserve);
    let depth = (reserve > 0).then_some(depth);
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .explain("eventfd(2)", "a waker between threads")?;
    let shared = Arc::new(Shared { awake: Awake::new(), bell });
    Ok((Post { sender, depth, shared: Arc::clone(&shared) }, Mailbox { receiver, shared }))
}

#[derive(Debug)]
struct Shared {
    awake: Awake,
    bell: OwnedFd,
}

/// The end that letters are put in at; clone it freely.
#[derive(Clone, Debug)]
pub struct Post<T = Mail> {
    sender: Sender<T>,
    /// Letters above which only reserved places are left; `None` without a reserve.
    depth: Option<usize>,
    shared: Arc<Shared>,
}

impl<T> Post<T> {
    /// Puts one letter in and wakes the owner if it sleeps. Never blocks.
    ///
    /// # Errors
    /// [`Refused`] when the box is full or its owner has ended.
    pub fn send(&self, letter: T) -> Result<(), Refused> {
        if self.depth.is_some_and(|depth| self.sender.len() >= depth) {
            return Err(Refused);
        }
        self.send_reserved(letter)
    }

    /// The same for a letter that the reserved places are for.
    ///
    /// # Errors
    /// [`Refused`] when these are full as well, or the owner has ended.
    pub fn send_reserved(&self, letter: T) -> Result<(), Refused> {
        match self.sender.try_send(letter) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(Refused),
        }
        self.rouse();
        Ok(())
    }

    /// Wakes the owner if it sleeps. Whatever it is to see must be there before.
    pub fn rouse(&self) {
        if self.shared.awake.rouse() {
            // A full counter (EAGAIN) means that it has been rung already.
            let _rung = rustix::io::write(&self.shared.bell, &1_u64.to_ne_bytes());
        }
    }

    /// Letters that wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.sender.len()
    }

    /// The bell's descriptor, which a private descriptor table must keep.
    #[must_use]
    pub fn bell(&self) -> RawFd {
        self.shared.bell.as_raw_fd()
    }
}

/// The owner's end.
#[derive(Debug)]
pub struct Mailbox<T = Mail> {
    receiver: Receiver<T>,
    shared: Arc<Shared>,
}

impl<T> Mailbox<T> {
    /// The next letter, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// Letters that wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.receiver.len()
    }

    /// From here on senders ring. Before it sleeps the owner must look once
    /// more for everything that it may be roused for.
    pub fn doze(&self) {
        self.shared.awake.doze();
    }

    /// Says that the owner is at work again: senders need not ring.
    pub fn wake_up(&self) {
        self.shared.awake.rise();
    }

    /// For an owner that has nothing else to do: sleeps until a letter is there,
    /// at most for this time. True if there is one.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&self, limit: Duration) -> io::Result<bool> {
        self.doze();
        if self.receiver.is_empty() {
            let limit = Timespec {
                tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: limit.subsec_nanos().into(),
            };
            let mut bell = [PollFd::new(&self.shared.bell, PollFlags::IN)];
            match poll(&mut bell, Some(&limit)) {
                Err(error) if error != Errno::INTR => return Err(error.into()),
                _ => {}
            }
            // Or the next wait would end at once. Empty (EAGAIN) is just as well.
            let _emptied = rustix::io::read(&self.shared.bell, &mut [0; 8]);
        }
        self.wake_up();
        Ok(!self.receiver.is_empty())
    }

    /// The bell's descriptor, to be watched edge-triggered. It need not be
    /// read: each ring is a new edge, and a full counter takes 2⁶⁴ of them.
    #[must_use]
    pub fn bell(&self) -> RawFd {
        self.shared.bell.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: usize = 8;

    #[test]
    fn a_full_box_refuses() {
        let (post, mailbox) = mailbox(DEPTH).unwrap();
        for _ in 0..DEPTH {
            post.send(Mail::Shed).unwrap();
        }
        assert_eq!(post.send(Mail::Shed), Err(Refused));
        assert!(mailbox.take().is_some());
        assert_eq!(post.send(Mail::Shed), Ok(()));
    }

    #[test]
    fn reserved_places_are_left_to_what_they_are_for() {
        let (post, mailbox) = mailbox_with_reserve(2, 1).unwrap();
        post.send(Mail::Shed).unwrap();
        post.send(Mail::Shed).unwrap();
        assert_eq!(post.send(Mail::Shed), Err(Refused));
        post.send_reserved(Mail::Canary(1)).unwrap();
        assert_eq!(post.send_reserved(Mail::Canary(2)), Err(Refused));
        assert_eq!(mailbox.depth(), 3);
    }

    #[test]
    fn a_box_without_a_reactor_refuses() {
        let (post, mailbox) = mailbox(DEPTH).unwrap();
        drop(mailbox);
        assert_eq!(post.send(Mail::Shed), Err(Refused));
    }

    #[test]
    fn only_a_sleeper_is_rung_for() {
        let (post, mailbox) = mailbox(DEPTH).unwrap();
        let rings = |post: &Post| {
            let mut count = [0; 8];
            rustix::io::read(&post.shared.bell, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
        };
        post.send(Mail::Shed).unwrap();
        assert_eq!(rings(&post), 0, "the owner is at work");
        mailbox.doze();
        assert_eq!(mailbox.depth(), 1, "it looks once more, and does not sleep");
        mailbox.wake_up();
        assert!(mailbox.take().is_some());
        mailbox.doze();
        post.send(Mail::Shed).unwrap();
        post.send(Mail::Shed).unwrap();
        assert_eq!(rings(&post), 1, "one ring wakes, the second sender need not");
        mailbox.wake_up();
        post.send(Mail::Shed).unwrap();
        assert_eq!(rings(&post), 0);
    }

    #[test]
    fn an_owner_that_waits_is_woken() {
        let (post, mailbox) = mailbox(DEPTH).unwrap();
        assert!(!mailbox.wait(Duration::ZERO).unwrap(), "nothing comes");
        let waiting = std::thread::spawn(move || {
            // Each letter is waited for, whether it is there already or not.
            for _ in 0..DEPTH {
                while !mailbox.wait(Duration::from_secs(30)).unwrap() {}
                assert!(mailbox.take().is_some());
            }
            assert!(!mailbox.wait(Duration::ZERO).unwrap(), "old rings are forgotten");
        });
        for _ in 0..DEPTH {
            post.send(Mail::Shed).unwrap();
        }
        waiting.join().unwrap();
    }
}
