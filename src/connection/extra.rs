//! What only some connections have.

use super::flow::Flow;
use super::tls::Tls;
use crate::address::ClientAddr;
use crate::auth::Grant;
use crate::config::Listener;
use crate::limits::BAD_TOKENS_KEPT_SECONDS;
use crate::link::Subnet;
use crate::websocket::proxy::Rest;
use std::num::NonZeroU32;

/// Kept beside a connection that is more than a socket and its messages; an
/// ordinary one has none.
#[derive(Debug, Default)]
pub struct Extra {
    /// Whom a trusted proxy has said it speaks for.
    pub client: Option<ClientAddr>,
    /// The header of the PROXY protocol has not wholly arrived; nothing else comes before it.
    pub(super) awaits_proxy: bool,
    /// What is still to come of such a header that is larger than what is kept of it.
    pub(super) proxy_rest: Option<Box<Rest>>,
    /// What stands between the socket and the client's words.
    pub(super) security: Security,
    /// What has arrived and cannot be understood yet: the beginning of a PROXY header, or
    /// of a TLS record.
    pub(super) raw: Vec<u8>,
    /// Where it is counted among the connections of its network.
    pub subnet: Option<Subnet>,
    /// What it has sent lately, where that is bounded.
    pub(super) flow: Flow,
    /// No bound has been asked yet whether it may come: its address is told later.
    pub is_unjudged: bool,
    /// Tick of the calendar at which the token of its user ends; `None` for one that shows none, or none yet.
    pub expires: Option<u32>,
    /// The tick after that of the last look at a new token of the user: one a second is enough.
    pub renewed: Option<NonZeroU32>,
    /// Tokens that were not good, up to `limits::BAD_TOKENS_MAX`.
    pub bad_tokens: BadTokens,
    /// What a token grants that was shown at the handshake, up to the login.
    pub grant: Option<Box<Grant>>,
}

/// The allocator serves up to 136 bytes from a block of 144; `Tls` and `Grant` have their own.
const _: () = assert!(size_of::<Extra>() <= 136);

/// How many tokens that were not good a connection has shown lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BadTokens {
    count: u8,
    /// The lower half of the tick of the last one: half a day is long enough.
    last: u16,
}

impl BadTokens {
    /// Counts one more; returns how many that are now. Those before a long pause are forgotten.
    pub fn count(&mut self, tick: u32) -> u8 {
        let tick = (tick & u32::from(u16::MAX)) as u16;
        if tick.wrapping_sub(self.last) >= BAD_TOKENS_KEPT_SECONDS {
            self.count = 0;
        }
        self.last = tick;
        self.count = self.count.saturating_add(1);
        self.count
    }
}

/// Whether a connection is encrypted.
#[derive(Debug, Default)]
pub(super) enum Security {
    /// It is not.
    #[default]
    None,
    /// It has to be, and nothing has come yet: who only connects costs no keys.
    Due,
    /// TLS is spoken.
    Tls(Box<Tls>),
}

impl Extra {
    /// What a connection needs that has come in at this listener.
    pub fn at(listener: &Listener) -> Option<Box<Self>> {
        if !listener.proxy && !listener.tls {
            return None;
        }
        let security = if listener.tls { Security::Due } else { Security::None };
        Some(Box::new(Self { awaits_proxy: listener.proxy, security, ..Self::default() }))
    }

    /// Whether what comes over the socket is not yet what the client says.
    pub(super) fn wraps(&self) -> bool {
        self.awaits_proxy || self.proxy_rest.is_some() || !matches!(self.security, Security::None)
    }

    /// What can be taken over into another process; `None` while TLS is spoken, whose keys the
    /// library keeps to itself.
    pub(super) fn copied(&self) -> Option<Self> {
        let security = match &self.security {
            Security::None => Security::None,
            Security::Due => Security::Due,
            Security::Tls(_) => return None,
        };
        Some(Self {
            client: self.client,
            awaits_proxy: self.awaits_proxy,
            proxy_rest: self.proxy_rest.clone(),
            security,
            raw: self.raw.clone(),
            subnet: self.subnet,
            flow: self.flow,
            is_unjudged: self.is_unjudged,
            expires: self.expires,
            renewed: self.renewed,
            bad_tokens: self.bad_tokens,
            grant: self.grant.clone(),
        })
    }

    /// The TLS side, once there is one.
    pub(super) fn tls(&mut self) -> Option<&mut Tls> {
        match &mut self.security {
            Security::Tls(tls) => Some(tls),
            Security::None | Security::Due => None,
        }
    }

    /// Whether the next bytes may begin or go on with a handshake of TLS, which costs far
    /// more than anything else that a client can ask for.
    pub(super) fn may_shake(&self) -> bool {
        match &self.security {
            Security::None => false,
            Security::Due => true,
            Security::Tls(tls) => tls.is_handshaking(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_tokens_are_forgotten_after_a_while() {
        let mut bad = BadTokens::default();
        assert_eq!([100, 101, 102].map(|tick| bad.count(tick)), [1, 2, 3]);
        let later = 102 + u32::from(BAD_TOKENS_KEPT_SECONDS);
        assert_eq!([later, later + 1].map(|tick| bad.count(tick)), [1, 2]);
    }
}
