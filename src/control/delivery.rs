//! What becomes of a message that came in over HTTP.
//!
//! Invariant: this is the only place that may ever send a message on to
//! another node; what comes from another node never gets here.

use crate::clock::Clock;
use crate::command::push;
use crate::config::Config;
use crate::envelope::{Envelope, Frame};
use crate::hub::{Delivered, Hub, Seen};
use crate::id::{AppId, UserId};
use crate::link::{Fanout, Refused};
use std::sync::Arc;

/// Takes messages for users, wherever they are.
#[derive(Debug)]
pub(super) struct Delivery {
    hub: Arc<Hub>,
    seen: Seen,
    clock: Clock,
    frame_bytes_max: usize,
}

/// A message as the API got it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) app: AppId,
    /// The addressee of a message to one, the sender of a message to all.
    pub(super) user: &'a str,
    pub(super) msg_id: &'a str,
    pub(super) text: &'a str,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Its msgID was seen before; nothing was sent.
    Duplicate,
    /// Handed to the reactor, or reactors.
    Yes,
    /// The user is nowhere online.
    Offline,
    /// Nobody got it; says why.
    Failed(&'static str),
    /// Some reactors were overloaded: not everybody got it, and a second try
    /// would reach the others twice.
    Partly,
}

impl Delivery {
    pub(super) fn new(config: &Config, hub: Arc<Hub>, clock: Clock) -> Self {
        let seen = Seen::new(config.dedup.window, config.dedup.entries_max);
        let frame_bytes_max = config.limits.outbox_bytes;
        Self { hub, seen, clock, frame_bytes_max }
    }

    /// Sends to one user of one app.
    pub(super) fn to_user(&self, message: Message<'_>) -> Sent {
        self.once(message, |frame| {
            match self.hub.router.deliver(message.app, message.user, frame) {
                Delivered::Sent => Sent::Yes,
                Delivered::Offline => Sent::Offline,
                Delivered::Refused => Sent::Failed(BUSY),
            }
        })
    }

    /// Sends to every user of an app but the sender.
    pub(super) fn to_all(&self, message: Message<'_>) -> Sent {
        self.once(message, |frame| {
            let except = UserId::from(message.user);
            let fanout = Fanout { app: message.app, except, frame, announcement: None };
            match self.hub.router.fan_out(fanout) {
                Ok(()) => Sent::Yes,
                Err(Refused) => Sent::Partly,
            }
        })
    }

    /// How many message ids are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.seen.len()
    }

    /// Sends what was not sent before and is not too large. What failed may be
    /// tried again under the same msgID.
    fn once(&self, message: Message<'_>, send: impl FnOnce(Frame) -> Sent) -> Sent {
        if !self.seen.is_new(message.msg_id, self.clock.now()) {
            return Sent::Duplicate;
        }
        let frame = encode(message);
        let sent =
            if frame.len() > self.frame_bytes_max { Sent::Failed(TOO_LARGE) } else { send(frame) };
        if matches!(sent, Sent::Failed(_)) {
            self.seen.forget(message.msg_id);
        }
        sent
    }
}

fn encode(message: Message<'_>) -> Frame {
    let Message { user, msg_id, text, .. } = message;
    push::envelope(&Envelope { seq: msg_id, cmd: "msg", msg: text, from: user })
}

const TOO_LARGE: &str = "the message is larger than limits.outbox_bytes";
const BUSY: &str = "the node is overloaded, try again";
