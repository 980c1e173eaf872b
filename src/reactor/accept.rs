//! Clients coming in, and what each failure to accept means.

use super::listener::{Entrance, Gate};
use super::{OpenError, Reactor};
use crate::config::{LISTENERS_MAX, Listener};
use crate::limits::{ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN};
use crate::metrics::Intake;
use mio::{Registry, Token};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The listeners of one reactor.
#[derive(Debug)]
pub(super) struct Acceptor {
    gates: Vec<Gate>,
    /// The gate that is asked first next time: none is served before all others.
    first: usize,
    /// No accept before this time.
    pub(super) paused_until: Option<Duration>,
    /// Why the last pause was made.
    paused_for: Intake,
    closed_for_good: bool,
}

/// Tokens from here on are not of connections, which have far smaller slots.
const RESERVED: usize = usize::MAX - LISTENERS_MAX;

/// What rings when there is mail.
pub(super) const BELL: Token = Token(usize::MAX);

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// That connection is lost; the next may be fine.
    Next,
    /// Nothing will work until somebody frees something: wait.
    Pause,
    /// The listener itself is broken: open it anew, after a pause.
    GiveUp,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Next => "goes on",
            Self::Pause => "pauses",
            Self::GiveUp => "opens the listener again",
        })
    }
}

/// accept(2): errors of the new connection itself are passed on by Linux and
/// concern only it; running out of something concerns everybody.
fn verdict(error: &io::Error) -> Verdict {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC) => {
            Verdict::Pause
        }
        Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) => {
            Verdict::GiveUp
        }
        _ => Verdict::Next,
    }
}

/// What keeps a reactor from accepting after this error.
fn shortage(error: &io::Error) -> Intake {
    match error.raw_os_error() {
        Some(libc::EMFILE) => Intake::ProcessFiles,
        Some(libc::ENFILE) => Intake::HostFiles,
        Some(libc::ENOBUFS | libc::ENOMEM) => Intake::KernelMemory,
        Some(libc::ENOSPC) => Intake::Watches,
        _ => Intake::Listener,
    }
}

impl Acceptor {
    /// Opens all listeners; other reactors may share their places.
    pub(super) fn open(entrances: Vec<Entrance>, registry: &Registry) -> Result<Self, OpenError> {
        let mut gates = Vec::with_capacity(entrances.len());
        for (index, entrance) in entrances.into_iter().enumerate() {
            let listener = entrance.listener.clone();
            let gate = Gate::open(entrance, Token(RESERVED + index), registry);
            gates.push(gate.map_err(|error| OpenError::Listen { listener, error })?);
        }
        Ok(Self {
            gates,
            first: 0,
            paused_until: None,
            paused_for: Intake::Open,
            closed_for_good: false,
        })
    }

    /// Where clients are listened for; no port is 0.
    pub(super) fn listeners(&self) -> impl Iterator<Item = &Listener> {
        self.gates.iter().map(Gate::listener)
    }

    /// The listener behind a gate.
    pub(super) fn listener(&self, gate: usize) -> &Listener {
        self.gates[gate].listener()
    }

    /// Whether a token is of a connection. If not, somebody may wait at its gate.
    pub(super) fn takes(&mut self, token: Token) -> bool {
        if token.0 < RESERVED {
            return false;
        }
        if let Some(gate) = self.gates.get_mut(token.0 - RESERVED) {
            gate.more = true;
        }
        true
    }

    /// Whether somebody may wait.
    fn has_more(&self) -> bool {
        self.gates.iter().any(|gate| gate.more)
    }

    /// Closes the listeners so that new clients go to the other reactors.
    fn close(&mut self, registry: &Registry) {
        for gate in &mut self.gates {
            gate.close(registry);
        }
    }

    /// Closes the listeners for ever.
    pub(super) fn close_for_good(&mut self, registry: &Registry) {
        for gate in &mut self.gates {
            gate.close_for_good(registry);
        }
        self.closed_for_good = true;
        self.paused_until = None;
    }

    fn is_closed(&self) -> bool {
        !self.closed_for_good && self.gates.iter().any(Gate::is_closed)
    }

    /// Opens those again that are closed.
    fn reopen(&mut self, registry: &Registry) -> io::Result<()> {
        self.gates.iter_mut().try_for_each(|gate| gate.reopen(registry))
    }

    fn pause(&mut self, now: Duration, why: Intake) {
        self.paused_until = Some(now + Duration::from_millis(ACCEPT_PAUSE_MS));
        self.paused_for = why;
    }

    /// What keeps clients out now.
    pub(super) fn intake(&self) -> Intake {
        match self.paused_until {
            Some(_) => self.paused_for,
            // Between the end of a pause and the next turn a broken listener is closed, too.
            None if self.is_closed() => Intake::Full,
            None => Intake::Open,
        }
    }

    /// The next client, and the gate it has come through.
    fn next(&mut self, registry: &Registry) -> io::Result<Option<(OwnedFd, usize)>> {
        for step in 0..self.gates.len() {
            let index = (self.first + step) % self.gates.len();
            if !self.gates[index].more {
                continue;
            }
            if let Some(socket) = self.gates[index].accept(registry)? {
                self.first = index + 1;
                return Ok(Some((socket, index)));
            }
        }
        Ok(None)
    }
}

impl Reactor {
    /// Accepts what waits, at most so much a turn.
    pub(super) fn accept(&mut self) {
        if !self.may_accept() {
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            if self.conns.len() >= self.capacity {
                tracing::warn!(reactor = self.index, capacity = self.capacity, "reactor is full");
                self.acceptor.close(self.poll.registry());
                return;
            }
            let admitted = match self.acceptor.next(self.poll.registry()) {
                Ok(None) => return,
                Ok(Some((socket, gate))) => self.admit(socket.into(), gate),
                Err(error) => Err(error),
            };
            if let Err(error) = admitted
                && !self.after_failed_accept(&error)
            {
                return;
            }
        }
    }

    /// Whether a listener that was closed is to be opened: as soon as a
    /// sixteenth of the room is free again.
    fn may_reopen(&self) -> bool {
        self.acceptor.is_closed() && self.conns.len() < self.capacity - self.capacity / 16
    }

    /// Whether accepting has work for the next turn that nothing will announce.
    pub(super) fn has_to_accept(&self) -> bool {
        self.acceptor.paused_until.is_none() && (self.acceptor.has_more() || self.may_reopen())
    }

    /// Whether it is time to accept: ends a pause, opens a closed listener.
    fn may_accept(&mut self) -> bool {
        if self.acceptor.paused_until.is_some_and(|until| self.now < until) {
            return false;
        }
        self.acceptor.paused_until = None;
        if self.may_reopen()
            && let Err(error) = self.acceptor.reopen(self.poll.registry())
        {
            tracing::error!(reactor = self.index, %error, "cannot listen again");
            self.acceptor.pause(self.now, Intake::Listener);
            return false;
        }
        self.acceptor.has_more()
    }

    /// Returns true if the next accept may follow at once.
    fn after_failed_accept(&mut self, error: &io::Error) -> bool {
        let verdict = verdict(error);
        self.stats().accept_errors.add(1);
        if verdict == Verdict::Next {
            return true;
        }
        tracing::warn!(reactor = self.index, %error, %verdict, "cannot accept");
        self.stats().accept_pauses.add(1);
        if verdict == Verdict::GiveUp {
            self.acceptor.close(self.poll.registry());
        }
        self.acceptor.pause(self.now, shortage(error));
        false
    }
}

/// Slot and serial in one word: a stale event names a serial that is gone.
pub(super) fn token(slot: u32, serial: u32) -> Token {
    Token(slot as usize | (serial as usize) << u32::BITS)
}

/// The other way round.
pub(super) fn from_token(token: Token) -> (u32, u32) {
    let word = token.0 as u64;
    ((word & u64::from(u32::MAX)) as u32, (word >> u32::BITS) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_verdict() {
        let verdict_of = |code| verdict(&io::Error::from_raw_os_error(code));
        for lost in [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::ENETUNREACH] {
            assert_eq!(verdict_of(lost), Verdict::Next);
        }
        for scarce in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC] {
            assert_eq!(verdict_of(scarce), Verdict::Pause);
        }
        for broken in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
            assert_eq!(verdict_of(broken), Verdict::GiveUp);
        }
        let shortage_of = |code| shortage(&io::Error::from_raw_os_error(code));
        assert_eq!(shortage_of(libc::EMFILE), Intake::ProcessFiles);
        assert_eq!(shortage_of(libc::ENFILE), Intake::HostFiles);
        assert_eq!(shortage_of(libc::ENOMEM), Intake::KernelMemory);
        assert_eq!(shortage_of(libc::ENOSPC), Intake::Watches);
        assert_eq!(shortage_of(libc::EBADF), Intake::Listener);
    }

    #[test]
    fn tokens_carry_slot_and_serial() {
        for pair in [(0, 0), (7, u32::MAX), ((1 << 22) - 1, 12_345)] {
            assert_eq!(from_token(token(pair.0, pair.1)), pair);
        }
    }
}
