//! `heartbeat`: a sign of life of somebody who is logged in.
//!
//! The reactor counts any frame as life; all that is left to do here is to answer.

use super::json::{Data, Fields, Text, is_key};
use super::{Code, Done, Effect, Failure, Session};
use serde::de::{IgnoredAny, MapAccess};

pub(super) fn apply(data: Data<'_>, session: Session<'_>) -> Result<Done, Failure> {
    let Body = data.read().map_err(|_| Code::BadParameter)?;
    if session.user.is_none() {
        return Err(Code::NotLoggedIn.into());
    }
    Ok(Done { data: "null", effect: Effect::None })
}

/// The reference reads a `userID`, checks that it is a string, and ignores it.
#[derive(Default)]
struct Body;

impl<'de> Fields<'de> for Body {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        if is_key(key, "userID") {
            map.next_value::<Text<'_>>()?;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
