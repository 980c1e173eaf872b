//! How a connection ends.

use super::{Connection, State};
use crate::metrics::Cause;
use std::io::Write;

/// The decision that a connection ends. Its last frame has been sent, or is in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What it is counted under.
    pub cause: Cause,
    /// What happens when the last bytes have been written; `None` ends it without another byte.
    pub after: Option<After>,
}

/// What happens when the last bytes have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The peer said goodbye first, or is gone: close the socket.
    Drop,
    /// End our side of TCP, then throw away input until the peer ends its
    /// own: closing with unread input would reset the connection, and the
    /// peer would lose our last bytes.
    Linger,
    /// Our side has ended.
    Lingering,
}

/// What has to happen to the socket of a closing connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing.
    Nothing,
    /// Our side has to be ended.
    EndOurSide,
    /// It has to be closed.
    Close,
}

impl Ending {
    /// Close the socket as soon as the last bytes are written.
    #[must_use]
    pub fn drop(cause: Cause) -> Self {
        Self { cause, after: Some(After::Drop) }
    }

    /// End our side, and wait for the peer to end its own.
    #[must_use]
    pub fn linger(cause: Cause) -> Self {
        Self { cause, after: Some(After::Linger) }
    }

    /// Close the socket at once.
    #[must_use]
    pub fn lose(cause: Cause) -> Self {
        Self { cause, after: None }
    }
}

impl Connection {
    /// The end begins; nothing that comes in is looked at any more. What was registered for the
    /// connection has been taken back.
    pub fn begin_end(&mut self, after: After, tick: u32) {
        self.state = State::Closing(after);
        self.since = tick;
    }

    /// It is over: what was still to be written is forgotten.
    pub fn bury(&mut self) {
        self.state = State::Dead;
        self.outbox = None;
    }

    /// Goes on with the end if all that was owed to the peer has been written. The last word of
    /// TLS is written as far as `socket` takes it now.
    pub fn settle(&mut self, socket: &mut impl Write) -> Settled {
        let State::Closing(after) = self.state else { return Settled::Nothing };
        if self.outbox.is_some() || after == After::Lingering {
            return Settled::Nothing;
        }
        self.say_goodbye(socket);
        if after == After::Drop {
            return Settled::Close;
        }
        self.state = State::Closing(After::Lingering);
        Settled::EndOurSide
    }

    fn say_goodbye(&mut self, socket: &mut impl Write) {
        let Some(tls) = self.extra.as_mut().and_then(|extra| extra.tls()) else { return };
        let mut sealed = Vec::new();
        if tls.seal_goodbye(&mut sealed).is_ok() {
            let _best_effort = socket.write(&sealed);
        }
    }

    /// The peer will send nothing more. If it is owed something, it gets it; returns how the
    /// connection ends, if it does not go on to its end already.
    pub fn peer_ended(&mut self) -> Option<Ending> {
        match &mut self.state {
            State::Closing(after @ After::Linger) if self.outbox.is_some() => {
                *after = After::Drop;
                None
            }
            State::Open(_) if self.outbox.is_some() => Some(Ending::drop(Cause::Eof)),
            State::Closing(After::Drop) => None,
            _ => Some(Ending::lose(Cause::Eof)),
        }
    }
}
