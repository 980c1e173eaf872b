//! The envelope of a request.

use super::json::{self, Data, Fields, Text, is_key};
use serde::de::{Error, IgnoredAny, MapAccess};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A request, borrowed from the receive buffer where nothing is escaped.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) seq: Cow<'a, str>,
    pub(super) cmd: Cow<'a, str>,
    pub(super) data: Data<'a>,
}

impl<'a> Request<'a> {
    /// # Errors
    /// What Go would not read as a request.
    pub(super) fn parse(message: &'a str) -> Result<Self, serde_json::Error> {
        let request = json::read(message)?;
        if json::is_too_deep(message) {
            return Err(Error::custom("too deep"));
        }
        Ok(request)
    }
}

impl<'de: 'a, 'a> Fields<'de> for Request<'a> {
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        if is_key(key, "seq") {
            assign(&mut self.seq, map.next_value()?);
        } else if is_key(key, "cmd") {
            assign(&mut self.cmd, map.next_value()?);
        } else if is_key(key, "data") {
            let data: &RawValue = map.next_value()?;
            if json::overflows(data.get()) {
                return Err(Error::custom("a number is too large"));
            }
            self.data = Data(Some(data));
        } else {
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Go leaves a string as it is when `null` is assigned to it; this shows when
/// a key comes twice. (Not so in `data`, which Go reads into a map first.)
fn assign<'a>(field: &mut Cow<'a, str>, value: Option<Text<'a>>) {
    if let Some(Text(text)) = value {
        *field = text;
    }
}
