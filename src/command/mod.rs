//! What a client may ask, and what it is answered: (message, session) → outcome.
//!
//! Invariant: nothing here knows a socket, a clock or another thread. The
//! reply is appended to a buffer; what has to happen besides is said.

mod heartbeat;
mod json;
mod login;
mod ping;
pub mod push;
mod reply;
mod request;

pub use reply::Code;

use crate::id::{AppId, UserId};
use request::Request;

/// What the commands of a node go by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Apps a client may log in to, ascending.
    pub apps: Vec<AppId>,
    /// Longest user id, in bytes.
    pub user_id_bytes_max: usize,
}

/// What a command may know of its connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    /// A login was accepted on this connection, displaced or not.
    pub logged_in: bool,
}

/// What a message has come to; the reply is in the caller's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The name of the command, if it is one that exists.
    pub command: &'static str,
    /// The code that was answered; `None` for a message that is no request at all.
    pub code: Option<Code>,
    /// What has to happen now.
    pub effect: Effect,
}

/// What has to happen besides the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// This user is logged in on this connection from now on.
    Login {
        /// The app, one of [`Rules::apps`].
        app: AppId,
        /// The name, of a legal length.
        user: UserId,
    },
}

/// What is answered to a message that is no request, as a bare text: "data not legal".
pub const NOT_A_REQUEST: &str = "数据不合法";

/// Applies one message and appends the payload of its reply to `out`.
pub fn apply(message: &str, session: Session, rules: &Rules, out: &mut Vec<u8>) -> Outcome {
    let repaired = json::repair_surrogates(message);
    let Ok(request) = Request::parse(&repaired) else {
        out.extend_from_slice(NOT_A_REQUEST.as_bytes());
        return Outcome { command: "none", code: None, effect: Effect::None };
    };
    let (command, result) = match &*request.cmd {
        "login" => ("login", login::apply(request.data, session, rules)),
        "heartbeat" => ("heartbeat", heartbeat::apply(request.data, session)),
        "ping" => ("ping", Ok(ping::apply())),
        _ => ("unknown", Err(Code::UnknownCommand)),
    };
    let (code, data, effect) = match result {
        Ok(done) => (Code::Ok, done.data, done.effect),
        Err(code) => (code, "null", Effect::None),
    };
    reply::append(out, &request, code, data);
    Outcome { command, code: Some(code), effect }
}

/// A command that went well: what it answers, as JSON, and what it causes.
struct Done {
    data: &'static str,
    effect: Effect,
}

#[cfg(test)]
mod tests;
