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
    pub(super) seq: String,
    /// `msg`, `enter` or `exit`.
    pub(super) cmd: String,
    pub(super) msg: String,
}

impl Push {
    /// What a client gets.
    pub(super) fn encode(&self) -> Frame {
        let Self { user, seq, cmd, msg, .. } = self;
        push::envelope(&Envelope { seq, cmd, msg, from: user })
    }
}
