//! `login`: who is on this connection.

use super::json::{Data, Fields, Text, is_key};
use super::who::Who;
use super::{Code, Done, Effect, Failure, Rules, Session};
use crate::auth::{Grant, Verifier};
use crate::id::AppId;
use crate::metrics::TokenFault;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The checks come in the reference's order: shape, user, app, already logged in. The token
/// is the last one, since it costs most.
pub(super) fn apply(data: Data<'_>, session: Session<'_>, rules: &Rules) -> Result<Done, Failure> {
    let body: Body<'_> = data.read().map_err(|_| Code::BadParameter)?;
    if body.who.user.is_empty() || body.who.user.len() > rules.user_id_bytes_max {
        return Err(Code::BadUserId.into());
    }
    let app = AppId(body.who.app);
    if rules.apps.binary_search(&app).is_err() {
        return Err(Code::NotAuthorized.into());
    }
    let effect = match (&rules.tokens, session.user) {
        (None, Some(_)) => return Err(Code::Failed.into()),
        (None, None) => body.login(None),
        (Some(tokens), Some(who)) => {
            // Nobody becomes somebody else, whatever the token says.
            if who != (app, &*body.who.user) || body.token.is_empty() {
                return Err(Code::Failed.into());
            }
            if !session.may_renew {
                return Err(Code::Internal.into());
            }
            Effect::Renew { expires: body.prove(tokens, session)? }
        }
        (Some(tokens), None) => {
            let expires = Some(body.prove(tokens, session)?);
            body.login(expires)
        }
    };
    Ok(Done { data: "null", effect })
}

impl Body<'_> {
    fn login(self, expires: Option<u64>) -> Effect {
        let Self { who, understands_displaced, .. } = self;
        Effect::Login { app: AppId(who.app), user: who.user.into(), expires, understands_displaced }
    }

    /// When the token ends that lets this user in: the one that came with the
    /// login, or else the one of the handshake.
    fn prove(&self, tokens: &Verifier, session: Session<'_>) -> Result<u64, Failure> {
        let proven = match session.grant {
            Some(grant) if self.token.is_empty() => self.check(grant, session.now),
            _ => tokens
                .verify(&self.token, session.now)
                .and_then(|grant| self.check(&grant, session.now)),
        };
        proven
            .map_err(|fault| Failure { code: Code::NotAuthorized, effect: Effect::Refused(fault) })
    }

    fn check(&self, grant: &Grant, now: u64) -> Result<u64, TokenFault> {
        grant.admit(&self.who.user, AppId(self.who.app), now)?;
        Ok(grant.expires)
    }
}

#[derive(Default)]
struct Body<'a> {
    who: Who<'a>,
    token: Cow<'a, str>,
    understands_displaced: bool,
}

/// Whether a list has this word. The reference ignores the key, so whatever is no list is no
/// mistake; nor are elements that are no words, which a later version may give a meaning.
fn lists(json: &RawValue, word: &'static str) -> bool {
    let mut list = serde_json::Deserializer::from_str(json.get());
    list.deserialize_seq(Listed(word)).unwrap_or(false)
}

/// Looks for a word in a list, without keeping the list.
struct Listed(&'static str);

impl<'de> Visitor<'de> for Listed {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let mut is_listed = false;
        while let Some(element) = list.next_element::<&'de RawValue>()? {
            let text = serde_json::from_str::<Text<'_>>(element.get());
            is_listed |= text.is_ok_and(|text| text.0 == self.0);
        }
        Ok(is_listed)
    }
}

impl<'de: 'a, 'a> Fields<'de> for Body<'a> {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        if self.who.take(key, map)? {
            return Ok(());
        }
        if is_key(key, "serviceToken") {
            self.token = map.next_value::<Text<'_>>()?.0;
        } else if is_key(key, "understands") {
            self.understands_displaced = lists(map.next_value()?, "displaced");
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
