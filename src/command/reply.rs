//! How a request is answered.

use super::request::Seq;
use crate::config::Language;
use std::io::Write;

/// What a request has come to; numbers and texts are those of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    /// Done.
    Ok = 200,
    /// Needs a login first.
    NotLoggedIn = 1000,
    /// `data` is of the wrong shape.
    BadParameter = 1001,
    /// `userID` is empty or too long.
    BadUserId = 1002,
    /// `appID` is none of the configured apps, or the token is not good.
    NotAuthorized = 1003,
    /// An internal failure.
    Internal = 1004,
    /// Cannot be done in this state: a second login on one connection.
    Failed = 1009,
    /// There is no such command.
    UnknownCommand = 1010,
}

impl Code {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The text that goes with it.
    #[must_use]
    pub fn text(self, language: Language) -> &'static str {
        match language {
            Language::Reference => self.text_of_reference(),
            Language::English => self.text_in_english(),
        }
    }

    fn text_in_english(self) -> &'static str {
        match self {
            Self::Ok => "Success",
            Self::NotLoggedIn => "Not logged in",
            Self::BadParameter => "Invalid parameter",
            Self::BadUserId => "Invalid user ID",
            Self::NotAuthorized => "Not authorized",
            Self::Internal => "Internal error",
            Self::Failed => "Operation failed",
            Self::UnknownCommand => "Unknown command",
        }
    }

    fn text_of_reference(self) -> &'static str {
        match self {
            Self::Ok => "Success",
            Self::NotLoggedIn => "未登录",
            Self::BadParameter => "参数不合法",
            Self::BadUserId => "非法的用户ID",
            Self::NotAuthorized => "未授权",
            Self::Internal => "系统错误",
            Self::Failed => "操作失败",
            Self::UnknownCommand => "路由不存在",
        }
    }
}

/// A code with its text in a language.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict(pub(super) Code, pub(super) Language);

/// Appends the reply to a request; `data` is JSON.
pub(super) fn append(out: &mut Vec<u8>, seq: &Seq<'_>, cmd: &str, verdict: Verdict, data: &str) {
    let Verdict(code, language) = verdict;
    out.extend_from_slice(b"{\"seq\":");
    seq.append(out);
    out.extend_from_slice(b",\"cmd\":");
    append_string(out, cmd);
    append_response(out, code.number(), code.text(language), data.as_bytes());
    out.push(b'}');
}

/// Appends the part that replies and pushes have in common.
pub(super) fn append_response(out: &mut Vec<u8>, code: u16, text: &str, data: &[u8]) {
    out.extend_from_slice(b",\"response\":{\"code\":");
    // Writing a number into memory cannot fail.
    let _infallible = write!(out, "{code}");
    out.extend_from_slice(b",\"codeMsg\":\"");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\",\"data\":");
    out.extend_from_slice(data);
    out.push(b'}');
}

/// Appends a JSON string.
pub(super) fn append_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory cannot fail.
    let _infallible = serde_json::to_writer(out, text);
}
