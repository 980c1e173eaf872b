//! How much time a connection has in its present state.

use super::{Connection, Open, Rules, State};
use crate::limits::CLOSE_TIMEOUT_SECONDS;
use crate::websocket::handshake::Endpoint;

/// Which time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// For the request.
    Handshake,
    /// For the login.
    Login,
    /// Of its token.
    Token,
    /// For the rest of a message.
    Message,
    /// For a sign of life.
    Idle,
    /// For the peer's end of the close.
    Close,
}

impl Connection {
    /// The tick at which the connection has had its time. `token_end` is the tick at which its
    /// token ends, if it has one (see [`super::Extra::expires`]).
    #[must_use]
    pub fn deadline(&self, rules: &Rules, token_end: Option<u32>) -> u32 {
        let ticks = match self.state {
            State::Handshake { .. } => rules.handshake_ticks,
            State::Open(_) => match rules.login_ticks {
                Some(login_ticks) if self.awaits_login(rules) => login_ticks.min(rules.idle_ticks),
                _ => rules.idle_ticks,
            },
            State::Closing(_) | State::Dead => CLOSE_TIMEOUT_SECONDS,
        };
        let due = self.since.saturating_add(ticks);
        let State::Open(open) = &self.state else { return due };
        let whole = end_of_message(open, rules).unwrap_or(u32::MAX);
        due.min(whole).min(token_end.unwrap_or(u32::MAX))
    }

    /// What is over at this tick, of a connection whose deadline has passed; `None` for one that
    /// is over itself. `has_expired`: its token has come to its end.
    #[must_use]
    pub fn overdue(&self, rules: &Rules, tick: u32, has_expired: bool) -> Option<Overdue> {
        Some(match &self.state {
            State::Handshake { .. } => Overdue::Handshake,
            State::Open(_) if self.awaits_login(rules) => Overdue::Login,
            State::Open(_) if has_expired => Overdue::Token,
            State::Open(open) if end_of_message(open, rules).is_some_and(|end| end <= tick) => {
                Overdue::Message
            }
            State::Open(_) => Overdue::Idle,
            State::Closing(_) => Overdue::Close,
            State::Dead => return None,
        })
    }

    /// Whether this client has to log in, and in time: until then its time counts
    /// from the handshake, whatever it sends.
    #[must_use]
    pub fn awaits_login(&self, rules: &Rules) -> bool {
        rules.login_ticks.is_some()
            && matches!(
                self.state,
                State::Open(Open { endpoint: Endpoint::Commands, user: None, .. })
            )
    }

    /// Whether nobody has logged in yet.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        match &self.state {
            State::Handshake { .. } => true,
            State::Open(open) => open.user.is_none(),
            State::Closing(_) | State::Dead => false,
        }
    }
}

/// The tick at which a message that has begun has to be whole.
fn end_of_message(open: &Open, rules: &Rules) -> Option<u32> {
    let since = open.assembly.as_ref().and_then(|assembly| assembly.since)?;
    rules.message_ticks.map(|ticks| since.saturating_add(ticks))
}
