//! `login`: who is on this connection.

use super::json::{Data, Fields, Text, Whole, is_key};
use super::{Code, Done, Effect, Rules, Session};
use crate::id::AppId;
use serde::de::{IgnoredAny, MapAccess};
use std::borrow::Cow;

/// The checks come in the reference's order: shape, user, app, already logged in.
pub(super) fn apply(data: Data<'_>, session: Session, rules: &Rules) -> Result<Done, Code> {
    let body: Body<'_> = data.read().map_err(|_| Code::BadParameter)?;
    if body.user.is_empty() || body.user.len() > rules.user_id_bytes_max {
        return Err(Code::BadUserId);
    }
    let app = AppId(body.app);
    if rules.apps.binary_search(&app).is_err() {
        return Err(Code::NotAuthorized);
    }
    if session.logged_in {
        return Err(Code::Failed);
    }
    Ok(Done { data: "null", effect: Effect::Login { app, user: body.user.into() } })
}

#[derive(Default)]
struct Body<'a> {
    user: Cow<'a, str>,
    app: u32,
}

impl<'de: 'a, 'a> Fields<'de> for Body<'a> {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        if is_key(key, "userID") {
            self.user = map.next_value::<Text<'_>>()?.0;
        } else if is_key(key, "appID") {
            self.app = map.next_value::<Whole>()?.0;
        } else if is_key(key, "serviceToken") {
            map.next_value::<Text<'_>>()?;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
