//! Whom a command names: a user of an app.

use super::json::{Text, Whole, is_key};
use serde::de::MapAccess;
use std::borrow::Cow;

/// `userID` and `appID`; empty and 0 where they are missing.
#[derive(Default)]
pub(super) struct Who<'a> {
    pub(super) user: Cow<'a, str>,
    pub(super) app: u32,
}

impl<'a> Who<'a> {
    /// Takes the value of `key` if it is one of the two; false leaves it in `map`.
    pub(super) fn take<'de: 'a, M: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut M,
    ) -> Result<bool, M::Error> {
        if is_key(key, "userID") {
            self.user = map.next_value::<Text<'_>>()?.0;
        } else if is_key(key, "appID") {
            self.app = map.next_value::<Whole>()?.0;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}
