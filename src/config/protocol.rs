//! What clients are told, and in which words.

use serde::{Deserialize, Serialize};

/// What clients are told where gowebsocket tells them less, and how replies and pushes are
/// worded. The codes are always those of the reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Protocol {
    /// What an older connection gets when its user logs in on another one.
    pub displaced: Displaced,
    /// The language of `codeMsg` and of the texts of `enter` and `exit`.
    pub language: Language,
    /// What is answered to a message that is no request.
    pub errors: ErrorFormat,
}

/// What a connection gets that has lost its registration to a newer login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Displaced {
    /// Nothing, as in gowebsocket.
    Silent,
    /// A push; a client that has said that it understands it is closed with 3504 as well.
    #[default]
    Notify,
    /// A push, and close 3504.
    Close,
}

/// A language of replies and pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// The texts of the reference, most of which are Chinese.
    #[default]
    Reference,
    /// English.
    English,
}

/// The form of an answer to a message that is no request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorFormat {
    /// A bare text, as the reference sends it.
    #[default]
    Text,
    /// A reply like any other, with an empty `seq` and `cmd` and the code 1001.
    Json,
}
