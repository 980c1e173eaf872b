//! JSON as Go's encoding/json reads it, over serde_json.
//!
//! What differs from serde's ways: keys match whatever their case, of a key
//! given twice the last counts, `null` is the zero value of anything, a whole
//! number may be written `101.0` or `1.01e2`, half a surrogate pair is U+FFFD
//! instead of an error, and there are bounds of depth and of numbers.

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The `data` of a request, unread; `None` when it was missing.
#[derive(Clone, Copy, Default)]
pub(super) struct Data<'a>(pub(super) Option<&'a RawValue>);

impl<'a> Data<'a> {
    /// Reads it into the fields of `T`; missing data is an empty object.
    pub(super) fn read<T: Fields<'a>>(self) -> Result<T, serde_json::Error> {
        self.0.map_or_else(|| Ok(T::default()), |raw| read(raw.get()))
    }
}

/// Reads an object, or `null` as an empty one.
pub(super) fn read<'a, T: Fields<'a>>(json: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str::<Object<T>>(json).map(|object| object.0)
}

/// A type that is filled key by key; its default is what an empty object means.
pub(super) trait Fields<'de>: Default {
    /// Takes the value of `key` out of `map`, which it must do for every key.
    fn field<M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error>;
}

/// Compares a key as Go does: without regard to case, and with the two letters
/// outside ASCII that fold into it (ſ and the Kelvin sign).
pub(super) fn is_key(key: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key == name || key.chars().map(fold).eq(name.chars().map(fold))
}

struct Object<T>(T);

impl<'de, T: Fields<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData)).map(Object)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<T, M::Error> {
        let mut fields = T::default();
        while let Some(Text(key)) = map.next_key()? {
            fields.field(&key, &mut map)?;
        }
        Ok(fields)
    }
}

/// A string or `null`, borrowed where nothing in it is escaped.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(""))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A whole number from 0 to 2³²−1 in any notation, or `null`.
///
/// Go reads every number as a 64-bit float first, so `101.0` is whole and `-0` is not.
pub(super) struct Whole(pub(super) u32);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor).map(Whole)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of 32 bits or null")
    }

    fn visit_unit<E>(self) -> Result<u32, E> {
        Ok(0)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u32, E> {
        u32::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked and there is no fraction"
    )]
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u32, E> {
        let fits = number.fract() == 0.0
            && number.is_sign_positive()
            && (0.0..=f64::from(u32::MAX)).contains(&number);
        if fits {
            Ok(number as u32)
        } else {
            Err(E::invalid_value(de::Unexpected::Float(number), &self))
        }
    }
}

/// Replaces `\uD800`–`\uDFFF` that are not half of a pair by `\uFFFD`.
/// Messages without a backslash, nearly all, are only looked through once.
#[must_use]
pub fn repair_surrogates(json: &str) -> Cow<'_, str> {
    let Some(first) = json.find('\\') else {
        return Cow::Borrowed(json);
    };
    let bytes = json.as_bytes();
    let mut lone = Vec::new();
    let mut at = first;
    while at + 1 < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        let unit = |at: usize| escaped_unit(bytes.get(at..at + 6)?);
        match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at += 12,
            (Some(0xD800..=0xDFFF), _) => {
                lone.push(at);
                at += 6;
            }
            // Steps over the escaped character, which may be a backslash.
            _ => at += 2,
        }
    }
    if lone.is_empty() {
        return Cow::Borrowed(json);
    }
    let mut repaired = json.to_owned();
    for at in lone {
        repaired.replace_range(at..at + 6, "\\uFFFD");
    }
    Cow::Owned(repaired)
}

/// The number in `\uXXXX`.
fn escaped_unit(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    let all_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    all_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

/// Levels that Go reads; what is deeper is an error ("exceeded max depth").
const DEPTH_MAX: usize = 10_000;

/// Whether valid JSON has more levels than Go reads. Hardly any message has so
/// many brackets, and counting them is quick.
pub(super) fn is_too_deep(json: &str) -> bool {
    let opens = |byte: &u8| matches!(byte, b'[' | b'{');
    // Each level takes two brackets.
    if json.len() <= 2 * DEPTH_MAX || json.bytes().filter(opens).count() <= DEPTH_MAX {
        return false;
    }
    let mut depth = 0_usize;
    outside_strings(json).flat_map(str::bytes).any(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEPTH_MAX
    })
}

/// Digits that a number without exponent may have: 10³⁰⁸ is below the largest float.
const DIGITS_SAFE: usize = 308;

/// Whether a number somewhere in valid JSON is larger than any 64-bit float,
/// which is an error where Go reads it. It takes an exponent or many digits,
/// so most data is only looked through once.
pub(super) fn overflows(json: &str) -> bool {
    let may_be_exponent = |pair: &[u8]| pair[0].is_ascii_digit() && matches!(pair[1], b'e' | b'E');
    if json.len() <= DIGITS_SAFE && !json.as_bytes().windows(2).any(may_be_exponent) {
        return false;
    }
    let is_of_number = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
    let mut numbers = outside_strings(json).flat_map(|piece| piece.split(|c| !is_of_number(c)));
    // The `e` of `true` is among them, but is no number.
    numbers.any(|number| {
        (number.len() > DIGITS_SAFE || number.contains(['e', 'E']))
            && number.parse::<f64>().is_ok_and(f64::is_infinite)
    })
}

/// The pieces of valid JSON that are not strings.
fn outside_strings(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(json);
    std::iter::from_fn(move || {
        let (piece, string) = match rest?.split_once('"') {
            Some((piece, string)) => (piece, after_string(string)),
            None => (rest?, None),
        };
        rest = string;
        Some(piece)
    })
}

/// What follows the quote that ends a string whose first quote stands before `text`.
fn after_string(text: &str) -> Option<&str> {
    let mut bytes = text.bytes().enumerate();
    loop {
        match bytes.next()? {
            (at, b'"') => return text.get(at + 1..),
            // Steps over the escaped character, which may be a quote.
            (_, b'\\') => {
                bytes.next();
            }
            _ => {}
        }
    }
}
