//! `send`: a message to another client, or to all of one's own app.

use super::json::{Fields, Text, is_key};
use super::request::Request;
use super::who::Who;
use super::{Code, Done, Effect, Failure, Rules, SendOrder, Session};
use crate::id::AppId;
use serde::de::{IgnoredAny, MapAccess};
use std::borrow::Cow;

/// Shape, login, user, app. Whether the addressee is there is found out later.
pub(super) fn apply(
    request: &Request<'_>,
    session: Session<'_>,
    rules: &Rules,
) -> Result<Done, Failure> {
    let body: Body<'_> = request.data.read().map_err(|_| Code::BadParameter)?;
    if body.text.is_empty() {
        return Err(Code::BadParameter.into());
    }
    let (own, _) = session.user.ok_or(Code::NotLoggedIn)?;
    if body.who.user.len() > rules.user_id_bytes_max {
        return Err(Code::BadUserId.into());
    }
    // An app is a room of its own: nobody writes into one that he is not in.
    if body.who.app != 0 && AppId(body.who.app) != own {
        return Err(Code::NotAuthorized.into());
    }
    let to = (!body.who.user.is_empty()).then(|| body.who.user.into());
    let order = SendOrder { seq: request.seq.to_json(), to, text: body.text.into_owned() };
    Ok(Done { data: "null", effect: Effect::Send(Box::new(order)) })
}

#[derive(Default)]
struct Body<'a> {
    who: Who<'a>,
    text: Cow<'a, str>,
}

impl<'de: 'a, 'a> Fields<'de> for Body<'a> {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        if self.who.take(key, map)? {
            return Ok(());
        }
        if is_key(key, "message") {
            self.text = map.next_value::<Text<'_>>()?.0;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
