//! Commands of clients, and what they may do: tokens, origins, messages to others.

use super::Reactor;
use super::ticks::calendar_tick;
use crate::auth::Grant;
use crate::clock;
use crate::command::{self, Code, Effect, Outcome, SendOrder, Session};
use crate::connection::{BadTokens, Ending, State, Unread};
use crate::limits::{BAD_TOKENS_MAX, VERIFICATIONS_PER_TURN, VERIFICATIONS_RESERVED};
use crate::link::Sending;
use crate::metrics::{Cause, TokenFault};
use crate::websocket::close;
use crate::websocket::frame::{self, Kind};
use crate::websocket::handshake::{Endpoint, Refusal, Upgrade};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What proofs of identity cost in a turn: those who come with too many of them wait.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Signatures that this turn may still verify for those who are not logged in.
    left: u32,
    /// Signatures that are kept for those who are.
    reserved: u32,
    /// Those who have not logged in and wait for a turn that may verify some, oldest first.
    waiting: VecDeque<(u32, u32)>,
}

impl Proofs {
    /// Whether somebody waits.
    pub(super) fn are_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A turn begins.
    fn begin_turn(&mut self) {
        self.left = VERIFICATIONS_PER_TURN - VERIFICATIONS_RESERVED;
        self.reserved = VERIFICATIONS_RESERVED;
    }

    /// Whether this turn may verify the new token of somebody who is logged in.
    fn has_for_member(&self) -> bool {
        self.left > 0 || self.reserved > 0
    }

    /// Counts signatures. What is reserved is spent first by those for whom it is reserved, and
    /// never by others.
    fn spend(&mut self, signatures: u32, is_member: bool) {
        let reserved = if is_member { signatures.min(self.reserved) } else { 0 };
        self.reserved -= reserved;
        self.left = self.left.saturating_sub(signatures - reserved);
    }
}

/// How a connection keeps the tick of a look at its token.
fn look_at(tick: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(tick.saturating_add(1))
}

impl Reactor {
    /// Answers one command, and does what it causes.
    pub(super) fn command(
        &mut self,
        slot: u32,
        message: &str,
        replies: &mut Vec<u8>,
    ) -> Option<Ending> {
        let begin = replies.len();
        let now = if self.settings.command.tokens.is_some() { clock::unix_seconds() } else { 0 };
        let Outcome { command, code, effect } = self.apply(slot, message, now, replies)?;
        tracing::debug!(target: "millgate::command", conn = %self.id(slot), user = self.name(slot), command, code = code.map(|code| code as u32));
        // The reply to a message that is passed on comes later, from elsewhere.
        let is_owed = matches!(effect, Effect::Send(_));
        self.stats().messages_out.add(u64::from(!is_owed));
        match effect {
            Effect::None => {}
            Effect::Login { app, user, expires, understands_displaced } => {
                self.login(slot, app, user, understands_displaced);
                if let Some(expires) = expires {
                    self.prove(slot, expires, now, false);
                }
            }
            Effect::Renew { expires } => {
                self.prove(slot, expires, now, true);
                self.note_look(slot);
            }
            Effect::Refused(fault) => return self.refuse_token(slot, fault, replies),
            Effect::Send(order) => {
                replies.truncate(begin);
                self.send_on(slot, *order, replies);
            }
        }
        self.append_displacement(slot, replies)
    }

    fn apply(&self, slot: u32, message: &str, now: u64, replies: &mut Vec<u8>) -> Option<Outcome> {
        let connection = &self.conns[slot];
        let State::Open(open) = &connection.state else { return None };
        let extra = connection.extra.as_deref();
        let session = Session {
            user: open.user.as_deref().map(|user| (user.app, user.id.as_str())),
            grant: extra.and_then(|extra| extra.grant.as_deref()),
            may_renew: self.proofs.has_for_member()
                && extra.is_none_or(|extra| extra.renewed != look_at(self.tick)),
            now,
        };
        let mut outcome = None;
        frame::append_with(replies, Kind::Text, |out| {
            outcome = Some(command::apply(message, session, &self.settings.command, out));
        });
        outcome
    }

    /// Passes a message of a client on, or says that there is no room.
    fn send_on(&self, slot: u32, order: SendOrder, replies: &mut Vec<u8>) {
        let conn = self.id(slot);
        let Some(from) = self.conns[slot].user().map(Arc::clone) else { return };
        let SendOrder { seq, to, text } = order;
        let kept = seq.clone();
        if self.shared.outgoing.send(Sending { conn, seq, from, to, text }).is_ok() {
            return self.stats().sends.add(1);
        }
        self.shared.metrics.shared.sends_refused.fetch_add(1, Ordering::Relaxed);
        self.stats().messages_out.add(1);
        let language = self.settings.command.wording.language;
        frame::append_with(replies, Kind::Text, |out| {
            command::reply_to_send(out, &kept, Code::Internal, language, "null");
        });
    }

    /// Looks at where a handshake comes from and at the token it shows.
    pub(super) fn examine(&mut self, upgrade: &mut Upgrade<'_>) -> Result<Option<Grant>, Refusal> {
        if self.settings.origins.is_empty() && self.settings.command.tokens.is_none() {
            return Ok(None);
        }
        let settings = Arc::clone(&self.settings);
        let foreign = upgrade.credentials.origin.filter(|origin| !settings.origins.contain(origin));
        if let Some(origin) = foreign.filter(|_| !settings.origins.is_empty()) {
            self.stats().foreign_origins.add(1);
            return Err(Refusal::foreign_origin(origin));
        }
        let (Some(tokens), Endpoint::Commands) = (&settings.command.tokens, upgrade.endpoint)
        else {
            return Ok(None);
        };
        let Some(token) = upgrade.credentials.token() else { return Ok(None) };
        self.count_verification(false);
        match tokens.verify(&token, clock::unix_seconds()) {
            Ok(grant) => {
                upgrade.selects_token_protocol = upgrade.credentials.has_token_protocol();
                Ok(Some(grant))
            }
            Err(fault) => {
                self.stats().count_fault(fault);
                Err(Refusal::BadToken)
            }
        }
    }

    /// Remembers, up to the login, what the token of the handshake grants.
    pub(super) fn keep_grant(&mut self, slot: u32, grant: Grant) {
        let expires = self.tick_of_end(grant.expires, clock::unix_seconds());
        let extra = self.conns[slot].extra();
        extra.expires = Some(expires);
        extra.grant = Some(Box::new(grant));
        self.file(slot);
    }

    /// A good token came with a login, or a new one after it. The bad ones before it are forgotten.
    fn prove(&mut self, slot: u32, expires: u64, now: u64, is_member: bool) {
        self.count_verification(is_member);
        let expires = self.tick_of_end(expires, now);
        let extra = self.conns[slot].extra();
        extra.expires = Some(expires);
        extra.grant = None;
        extra.bad_tokens = BadTokens::default();
        self.file(slot);
    }

    /// The next new token of this connection is looked at in another second.
    fn note_look(&mut self, slot: u32) {
        let tick = self.tick;
        self.conns[slot].extra().renewed = look_at(tick);
    }

    /// Counts a token that is not good; whoever brings too many of them in a short time has to go.
    fn refuse_token(
        &mut self,
        slot: u32,
        fault: TokenFault,
        replies: &mut Vec<u8>,
    ) -> Option<Ending> {
        let is_member = self.conns[slot].user().is_some();
        self.count_verification(is_member);
        self.stats().count_fault(fault);
        let tick = self.tick;
        let extra = self.conns[slot].extra();
        if extra.bad_tokens.count(tick) < BAD_TOKENS_MAX {
            return None;
        }
        close::append(replies, Some((close::BAD_TOKEN, "no good token")));
        Some(Ending::linger(Cause::BadToken))
    }

    /// Whether the token of an open connection has come to its end.
    pub(super) fn has_expired(&self, slot: u32) -> bool {
        let extra = self.conns[slot].extra.as_ref();
        extra.and_then(|extra| extra.expires).is_some_and(|end| end <= calendar_tick(self.now))
    }

    /// The first tick of the calendar that certainly lies behind `end`, both in unix seconds.
    fn tick_of_end(&self, end: u64, now: u64) -> u32 {
        let left = u32::try_from(end.saturating_sub(now)).unwrap_or(u32::MAX / 2);
        calendar_tick(self.now).saturating_add(left).saturating_add(1)
    }

    /// Counts a token that was verified, for somebody who is logged in or not.
    fn count_verification(&mut self, is_member: bool) {
        if let Some(tokens) = &self.settings.command.tokens {
            self.proofs.spend(tokens.signatures_per_token(), is_member);
        }
    }

    /// Whether this connection is read from only in a later turn: this one has verified as
    /// many tokens as it may, and who has not logged in may bring another.
    pub(super) fn has_to_wait(&mut self, slot: u32) -> bool {
        if self.proofs.left > 0 {
            return false;
        }
        let serial = self.conns.serial(slot);
        let connection = &mut self.conns[slot];
        let is_unproven = connection.is_unproven();
        if is_unproven {
            connection.unread = Unread::Queued;
            self.proofs.waiting.push_back((slot, serial));
        }
        is_unproven
    }

    /// Reads from those who had to wait, in the order of their coming.
    pub(super) fn serve_unproven(&mut self) {
        self.proofs.begin_turn();
        for _ in 0..self.proofs.waiting.len() {
            if self.proofs.left == 0 || self.reading.is_spent() {
                return;
            }
            let Some((slot, serial)) = self.proofs.waiting.pop_front() else { return };
            if self.conns.get(slot, serial).is_some() {
                self.read_from(slot, true, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_strangers_leaves_something_for_members() {
        let mut proofs = Proofs::default();
        proofs.begin_turn();
        for _ in 0..1_000 {
            proofs.spend(1, false);
        }
        assert_eq!(proofs.left, 0, "strangers wait");
        for _ in 0..VERIFICATIONS_RESERVED {
            assert!(proofs.has_for_member());
            proofs.spend(1, true);
        }
        assert!(!proofs.has_for_member());
        proofs.begin_turn();
        let mut renewed = 0;
        while proofs.has_for_member() {
            proofs.spend(1, true);
            renewed += 1;
        }
        assert_eq!(renewed, VERIFICATIONS_PER_TURN, "a quiet turn is all for them");
        proofs.begin_turn();
        proofs.spend(VERIFICATIONS_RESERVED + 3, true);
        assert_eq!(proofs.reserved, 0);
        assert_eq!(proofs.left, VERIFICATIONS_PER_TURN - VERIFICATIONS_RESERVED - 3);
    }
}
