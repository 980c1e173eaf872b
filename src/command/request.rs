//! The envelope of a request.

use super::json::{self, Data, Fields, Text, is_key};
use super::reply::append_string;
use serde::de::{Error, IgnoredAny, MapAccess};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A request, borrowed from the receive buffer where nothing is escaped.
#[derive(Default)]
pub(super) struct Request<'a> {
    pub(super) seq: Seq<'a>,
    pub(super) cmd: Cow<'a, str>,
    pub(super) data: Data<'a>,
}

/// What a client numbers its requests by. The reference takes texts alone; many clients
/// count with numbers, and get the number back as they wrote it.
#[derive(Clone, Debug)]
pub(super) enum Seq<'a> {
    Text(Cow<'a, str>),
    /// A number, or a text with its quotes: JSON as it goes on the wire.
    Json(&'a str),
}

impl Default for Seq<'_> {
    fn default() -> Self {
        Self::Text(Cow::Borrowed(""))
    }
}

impl<'a> Seq<'a> {
    /// Reads a text or a number; nothing for `null`.
    fn read<E: Error>(raw: &'a RawValue) -> Result<Option<Self>, E> {
        let json = raw.get();
        match json.as_bytes().first() {
            Some(b'"') => {
                let Text(text) = serde_json::from_str(json).map_err(E::custom)?;
                Ok(Some(Self::Text(text)))
            }
            Some(b'-' | b'0'..=b'9') if !json::overflows(json) => Ok(Some(Self::Json(json))),
            Some(b'n') => Ok(None),
            _ => Err(E::custom("seq is neither a text nor a number")),
        }
    }

    /// Appends it as JSON.
    pub(super) fn append(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => append_string(out, text),
            Self::Json(json) => out.extend_from_slice(json.as_bytes()),
        }
    }

    /// It as JSON, for a reply that comes later.
    pub(super) fn to_json(&self) -> String {
        match self {
            Self::Text(text) => serde_json::Value::from(text.as_ref()).to_string(),
            Self::Json(json) => (*json).to_owned(),
        }
    }
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
            if let Some(seq) = Seq::read(map.next_value()?)? {
                self.seq = seq;
            }
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
