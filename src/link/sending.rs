//! Messages of clients to others, on their way from a reactor to whoever delivers them.

use super::budget::Budget;
use super::mailbox::{Post, Refused};
use crate::id::{ConnId, UserId};
use crate::session::User;
use std::ops::Deref;
use std::sync::Arc;

/// What a client wants delivered.
#[derive(Clone, Debug)]
pub struct Sending {
    /// Where the reply goes.
    pub conn: ConnId,
    /// The request's `seq` as JSON, which the reply repeats.
    pub seq: String,
    /// Who sends it; the app is theirs.
    pub from: Arc<User>,
    /// One user; `None` is everybody of the app but the sender.
    pub to: Option<UserId>,
    /// What is said.
    pub text: String,
}

impl Sending {
    fn bytes(&self) -> usize {
        let to = self.to.as_ref().map_or(0, |to| to.len());
        size_of::<Self>() + self.seq.len() + to + self.text.len()
    }
}

/// A message that waits; its share of the budget is given back when it is dropped.
#[derive(Debug)]
pub struct Waiting {
    sending: Sending,
    bytes: usize,
    budget: Arc<Budget>,
}

impl Deref for Waiting {
    type Target = Sending;

    fn deref(&self) -> &Sending {
        &self.sending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.budget.change(self.bytes, 0);
    }
}

/// The way there, bounded in messages by its box and in bytes by a budget.
#[derive(Debug)]
pub struct Outgoing {
    post: Post<Waiting>,
    budget: Arc<Budget>,
}

impl Outgoing {
    /// Over this box, with at most so many bytes in it, or taken from it and not yet done with.
    #[must_use]
    pub fn new(post: Post<Waiting>, bytes_max: usize) -> Self {
        Self { post, budget: Arc::new(Budget::new(bytes_max, 0)) }
    }

    /// Hands a message over. Never blocks.
    ///
    /// # Errors
    /// [`Refused`] when too much waits already.
    pub fn send(&self, sending: Sending) -> Result<(), Refused> {
        let bytes = sending.bytes();
        self.budget.change(0, bytes);
        // If it is too much, dropping it gives it back.
        let waiting = Waiting { sending, bytes, budget: Arc::clone(&self.budget) };
        if self.budget.is_spent() { Err(Refused) } else { self.post.send(waiting) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mailbox;
    use super::*;
    use crate::id::AppId;

    fn sending(text_bytes: usize) -> Sending {
        let conn = ConnId { reactor: 0, slot: 0, serial: 1 };
        let from = Arc::new(User::new(AppId(101), "ann".into(), conn));
        Sending { conn, seq: "1".into(), from, to: None, text: "x".repeat(text_bytes) }
    }

    #[test]
    fn messages_and_bytes_are_bounded() {
        let (post, mailbox) = mailbox(2).unwrap();
        let outgoing = Outgoing::new(post, 10_000);
        outgoing.send(sending(4_000)).unwrap();
        outgoing.send(sending(4_000)).unwrap();
        assert_eq!(outgoing.send(sending(1)), Err(Refused), "two are in the box");
        let taken = mailbox.take().unwrap();
        assert_eq!(outgoing.send(sending(4_000)), Err(Refused), "what is being done counts");
        drop(taken);
        outgoing.send(sending(4_000)).unwrap();
        drop((mailbox.take(), mailbox.take()));
        assert_eq!(outgoing.budget.used_bytes(), 0, "all is given back");
    }
}
