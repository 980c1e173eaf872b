//! The bounded box in which orders to a reactor wait, and its bell.

use super::awake::Awake;
use super::mail::Mail;
use crate::limits::MAIL_DEPTH_MAX;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

/// A box was full, or its reactor has ended; the order was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reactor's mailbox is full")]
pub struct Refused;

/// Makes the two ends of a box. The bell is a descriptor, so it has to be made
/// before the reactor gets a descriptor table of its own: every thread that
/// rings must hold it.
///
/// # Errors
/// When the kernel has no descriptor to give.
pub fn mailbox() -> io::Result<(Post, Mailbox)> {
    let (sender, receiver) = crossbeam_channel::bounded(MAIL_DEPTH_MAX);
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared { awake: Awake::new(), bell });
    Ok((Post { sender, shared: Arc::clone(&shared) }, Mailbox { receiver, shared }))
}

#[derive(Debug)]
struct Shared {
    awake: Awake,
    bell: OwnedFd,
}

/// The end that orders are put in at; clone it freely.
#[derive(Clone, Debug)]
pub struct Post {
    sender: Sender<Mail>,
    shared: Arc<Shared>,
}

impl Post {
    /// Puts one order in and wakes the reactor if it sleeps. Never blocks.
    ///
    /// # Errors
    /// [`Refused`] when the box is full or its reactor has ended.
    pub fn send(&self, mail: Mail) -> Result<(), Refused> {
        match self.sender.try_send(mail) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(Refused),
        }
        self.rouse();
        Ok(())
    }

    /// Wakes the reactor if it sleeps. Whatever it is to see must be there before.
    pub fn rouse(&self) {
        if self.shared.awake.rouse() {
            // A full counter (EAGAIN) means that it has been rung already.
            let _rung = rustix::io::write(&self.shared.bell, &1_u64.to_ne_bytes());
        }
    }

    /// Orders that wait.
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

/// The reactor's end.
#[derive(Debug)]
pub struct Mailbox {
    receiver: Receiver<Mail>,
    shared: Arc<Shared>,
}

impl Mailbox {
    /// The next order, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<Mail> {
        self.receiver.try_recv().ok()
    }

    /// Orders that wait.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.receiver.len()
    }

    /// From here on senders ring. Before it sleeps the reactor must look once
    /// more for everything that it may be roused for.
    pub fn doze(&self) {
        self.shared.awake.doze();
    }

    /// Says that the reactor is at work again: senders need not ring.
    pub fn wake_up(&self) {
        self.shared.awake.rise();
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

    #[test]
    fn a_full_box_refuses() {
        let (post, mailbox) = mailbox().unwrap();
        for _ in 0..MAIL_DEPTH_MAX {
            post.send(Mail::Shed).unwrap();
        }
        assert_eq!(post.send(Mail::Shed), Err(Refused));
        assert!(mailbox.take().is_some());
        assert_eq!(post.send(Mail::Shed), Ok(()));
    }

    #[test]
    fn a_box_without_a_reactor_refuses() {
        let (post, mailbox) = mailbox().unwrap();
        drop(mailbox);
        assert_eq!(post.send(Mail::Shed), Err(Refused));
    }

    #[test]
    fn only_a_sleeper_is_rung_for() {
        let (post, mailbox) = mailbox().unwrap();
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
}
