//! Commands of clients, and what they may do: tokens, origins, messages to others.

use super::Reactor;
use super::close::Ending;
use super::conn::{State, Unread};
use crate::auth::Grant;
use crate::clock;
use crate::command::{self, Code, Effect, Outcome, SendOrder, Session};
use crate::limits::{BAD_TOKENS_MAX, VERIFICATIONS_PER_TURN};
use crate::link::Sending;
use crate::metrics::{Cause, TokenFault};
use crate::websocket::close;
use crate::websocket::frame::{self, Kind};
use crate::websocket::handshake::{Endpoint, Refusal, Upgrade};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What proofs of identity cost in a turn: those who come with too many of them wait.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// Signatures that this turn may still verify.
    left: u32,
    /// Those who have not logged in and wait for a turn that may verify some, oldest first.
    waiting: VecDeque<(u32, u32)>,
}

impl Proofs {
    /// Whether somebody waits.
    pub(super) fn are_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }
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
            Effect::Login { app, user, expires } => {
                self.login(slot, app, user);
                if let Some(expires) = expires {
                    self.prove(slot, expires, now);
                }
            }
            Effect::Renew { expires } => {
                self.prove(slot, expires, now);
                self.note_look(slot);
            }
            Effect::Refused(fault) => return self.refuse_token(slot, fault, replies),
            Effect::Send(order) => {
                replies.truncate(begin);
                self.send_on(slot, *order, replies);
            }
        }
        None
    }

    fn apply(&self, slot: u32, message: &str, now: u64, replies: &mut Vec<u8>) -> Option<Outcome> {
        let conn = &self.conns[slot];
        let State::Open(open) = &conn.state else { return None };
        let extra = conn.extra.as_deref();
        let session = Session {
            user: open.user.as_deref().map(|user| (user.app, user.id.as_str())),
            grant: extra.and_then(|extra| extra.grant.as_deref()),
            may_renew: self.proofs.left > 0
                && extra.is_none_or(|extra| extra.renewed != Some(self.tick)),
            now,
        };
        let mut outcome = None;
        frame::append_with(replies, Kind::Text, |out| {
            outcome = Some(command::apply(message, session, &self.settings.command, out));
        });
        outcome
    }

    /// Passes a message of a client on, or says that there is no room.
    fn send_on(&mut self, slot: u32, order: SendOrder, replies: &mut Vec<u8>) {
        let conn = self.id(slot);
        let user = self.conns[slot].open().and_then(|open| open.user.as_ref());
        let Some(from) = user.map(Arc::clone) else { return };
        let SendOrder { seq, to, text } = order;
        let kept = seq.clone();
        if self.shared.outgoing.send(Sending { conn, seq, from, to, text }).is_ok() {
            return self.stats().sends.add(1);
        }
        self.shared.metrics.shared.sends_refused.fetch_add(1, Ordering::Relaxed);
        self.stats().messages_out.add(1);
        frame::append_with(replies, Kind::Text, |out| {
            command::reply_to_send(out, &kept, Code::Internal, "null");
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
        self.count_verification();
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
        let extra = self.conns[slot].extra.get_or_insert_default();
        extra.expires = Some(expires);
        extra.grant = Some(Box::new(grant));
        self.file(slot);
    }

    /// A good token came with a login, or a new one after it.
    fn prove(&mut self, slot: u32, expires: u64, now: u64) {
        self.count_verification();
        let expires = self.tick_of_end(expires, now);
        let extra = self.conns[slot].extra.get_or_insert_default();
        extra.expires = Some(expires);
        extra.grant = None;
        self.file(slot);
    }

    /// The next new token of this connection is looked at in another second.
    fn note_look(&mut self, slot: u32) {
        let tick = self.tick;
        self.conns[slot].extra.get_or_insert_default().renewed = Some(tick);
    }

    /// Counts a token that is not good; whoever brings too many of them has to go.
    fn refuse_token(
        &mut self,
        slot: u32,
        fault: TokenFault,
        replies: &mut Vec<u8>,
    ) -> Option<Ending> {
        self.count_verification();
        self.stats().count_fault(fault);
        let extra = self.conns[slot].extra.get_or_insert_default();
        extra.bad_tokens = extra.bad_tokens.saturating_add(1);
        if extra.bad_tokens < BAD_TOKENS_MAX {
            return None;
        }
        close::append(replies, Some((close::BAD_TOKEN, "no good token")));
        Some(Ending::linger(Cause::BadToken))
    }

    /// Whether the token of an open connection has come to its end.
    pub(super) fn has_expired(&self, slot: u32) -> bool {
        let extra = self.conns[slot].extra.as_ref();
        extra.and_then(|extra| extra.expires).is_some_and(|end| end <= self.tick)
    }

    /// The first tick that certainly lies behind `end`, both in unix seconds.
    fn tick_of_end(&self, end: u64, now: u64) -> u32 {
        let left = u32::try_from(end.saturating_sub(now)).unwrap_or(u32::MAX / 2);
        self.tick.saturating_add(left).saturating_add(1)
    }

    fn count_verification(&mut self) {
        let tokens = self.settings.command.tokens.as_ref();
        if tokens.is_some_and(|tokens| tokens.is_costly()) {
            self.proofs.left = self.proofs.left.saturating_sub(1);
        }
    }

    /// Whether this connection is read from only in a later turn: this one has verified as
    /// many tokens as it may, and who has not logged in may bring another.
    pub(super) fn has_to_wait(&mut self, slot: u32) -> bool {
        if self.proofs.left > 0 {
            return false;
        }
        let conn = &mut self.conns[slot];
        let is_unproven = match &conn.state {
            State::Handshake { .. } => true,
            State::Open(open) => open.user.is_none(),
            State::Closing(_) | State::Dead => false,
        };
        if is_unproven {
            conn.unread = Unread::Queued;
            self.proofs.waiting.push_back((slot, conn.serial));
        }
        is_unproven
    }

    /// Reads from those who had to wait, in the order of their coming.
    pub(super) fn serve_unproven(&mut self) {
        self.proofs.left = VERIFICATIONS_PER_TURN;
        for _ in 0..self.proofs.waiting.len() {
            if self.proofs.left == 0 {
                return;
            }
            let Some((slot, serial)) = self.proofs.waiting.pop_front() else { return };
            if self.conns.get(slot, serial).is_some() {
                self.drain(slot, true);
            }
        }
    }
}
