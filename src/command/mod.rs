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
mod send;
mod who;

pub use json::repair_surrogates;
pub use reply::Code;

use crate::auth::{Grant, Verifier};
use crate::config::{ErrorFormat, Language, Protocol};
use crate::id::{AppId, UserId};
use crate::metrics::TokenFault;
use reply::Verdict;
use request::{Request, Seq};
use std::sync::Arc;

/// What the commands of a node go by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Apps a client may log in to, ascending.
    pub apps: Vec<AppId>,
    /// Longest user id, in bytes.
    pub user_id_bytes_max: usize,
    /// Which tokens are good; `None` if a login needs none.
    pub tokens: Option<Arc<Verifier>>,
    /// Whether `send` exists.
    pub clients_send: bool,
    /// How replies are worded.
    pub wording: Protocol,
}

/// What a command may know of its connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session<'a> {
    /// Who has logged in on this connection, displaced or not.
    pub user: Option<(AppId, &'a str)>,
    /// What a token grants that was shown at the handshake.
    pub grant: Option<&'a Grant>,
    /// A login of the same user with a new token may be looked at now.
    pub may_renew: bool,
    /// Unix seconds; read only where tokens are wanted.
    pub now: u64,
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
        /// Unix seconds at which that ends, if a token says so.
        expires: Option<u64>,
        /// The client understands what it means to be displaced.
        understands_displaced: bool,
    },
    /// The user who is logged in has shown a new token.
    Renew {
        /// Unix seconds at which it ends.
        expires: u64,
    },
    /// A token that is not good was shown, or none where one is wanted.
    Refused(TokenFault),
    /// This is to be passed on. The reply is owed: whoever passes it on knows what became of it.
    Send(Box<SendOrder>),
}

/// A message to other clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendOrder {
    /// The request's `seq` as JSON, for the reply.
    pub seq: String,
    /// One user of the sender's app; `None` is everybody there but the sender.
    pub to: Option<UserId>,
    /// What is said.
    pub text: String,
}

/// What is answered to a message that is no request, as a bare text: "data not legal".
pub const NOT_A_REQUEST: &str = "数据不合法";

/// Applies one message and appends the payload of its reply to `out`; nothing where the
/// effect is [`Effect::Send`].
pub fn apply(message: &str, session: Session<'_>, rules: &Rules, out: &mut Vec<u8>) -> Outcome {
    let repaired = repair_surrogates(message);
    let Ok(request) = Request::parse(&repaired) else {
        append_no_request(out, &rules.wording);
        return Outcome { command: "none", code: None, effect: Effect::None };
    };
    let (command, result) = match &*request.cmd {
        "login" => ("login", login::apply(request.data, session, rules)),
        "heartbeat" => ("heartbeat", heartbeat::apply(request.data, session)),
        "ping" => ("ping", Ok(ping::apply())),
        "send" if rules.clients_send => ("send", send::apply(&request, session, rules)),
        _ => ("unknown", Err(Code::UnknownCommand.into())),
    };
    let (code, data, effect) = match result {
        Ok(done) => (Code::Ok, done.data, done.effect),
        Err(Failure { code, effect }) => (code, "null", effect),
    };
    if !matches!(effect, Effect::Send(_)) {
        let verdict = Verdict(code, rules.wording.language);
        reply::append(out, &request.seq, &request.cmd, verdict, data);
    }
    Outcome { command, code: Some(code), effect }
}

/// Appends what is answered to a message that is no request.
fn append_no_request(out: &mut Vec<u8>, wording: &Protocol) {
    match (wording.errors, wording.language) {
        (ErrorFormat::Json, language) => {
            let verdict = Verdict(Code::BadParameter, language);
            reply::append(out, &Seq::default(), "", verdict, "null");
        }
        (ErrorFormat::Text, Language::Reference) => {
            out.extend_from_slice(NOT_A_REQUEST.as_bytes());
        }
        (ErrorFormat::Text, Language::English) => out.extend_from_slice(b"not a request"),
    }
}

/// Appends the payload of the reply that is owed to a `send`; `seq` and `data` are JSON.
pub fn reply_to_send(out: &mut Vec<u8>, seq: &str, code: Code, language: Language, data: &str) {
    reply::append(out, &Seq::Json(seq), "send", Verdict(code, language), data);
}

/// A command that went well: what it answers, as JSON, and what it causes.
struct Done {
    data: &'static str,
    effect: Effect,
}

/// A command that failed, and what it causes all the same.
struct Failure {
    code: Code,
    effect: Effect,
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self { code, effect: Effect::None }
    }
}

#[cfg(test)]
mod tests;
