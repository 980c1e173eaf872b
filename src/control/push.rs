//! A message on its way between nodes.

use crate::command::push;
use crate::envelope::{Envelope, Frame};
use crate::id::{AppId, UserId};

/// A push before it is encoded, as it travels from node to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) app: AppId,
    /// The addressee of a message to one; whom a message to all is from, and who is left out.
    pub(super) user: UserId,
    /// Whom a message to one is from; empty is the addressee, as in the reference.
    pub(super) from: UserId,
    pub(super) seq: String,
    /// `msg`, `enter` or `exit`.
    pub(super) cmd: String,
    pub(super) msg: String,
}

impl Push {
    /// Size of its texts.
    pub(super) fn content_bytes(&self) -> usize {
        let Self { user, from, seq, cmd, msg, .. } = self;
        user.len() + from.len() + seq.len() + cmd.len() + msg.len()
    }

    /// What a client gets.
    pub(super) fn encode(&self) -> Frame {
        let Self { user, from, seq, cmd, msg, .. } = self;
        push::envelope(&personal(user, from, Envelope { seq, cmd, msg, ..Envelope::default() }))
    }
}

/// A push to `user`: from somebody who has written to that user alone, or, where nobody is
/// named, from the user itself, as all that come over the API are.
pub(super) fn personal<'a>(user: &'a str, from: &'a str, push: Envelope<'a>) -> Envelope<'a> {
    if from.is_empty() {
        Envelope { from: user, ..push }
    } else {
        Envelope { from, target: user, ..push }
    }
}

/// A text with its author before it, for nodes of the reference, whose pushes to one
/// user are always from that user. The chat page reads it so.
pub(super) fn signed(from: &str, text: &str) -> String {
    let mut name = String::with_capacity(from.len());
    for letter in from.chars() {
        // A bracket in the name would end it too early.
        if matches!(letter, '\\' | ']') {
            name.push('\\');
        }
        name.push(letter);
    }
    format!("[{name}] {text}")
}
