//! What is sent to users unasked: encoded once, however many receive it.

use super::Code;
use super::reply::{append_response, append_string};
use crate::config::Language;
use crate::envelope::{Envelope, Frame};
use crate::websocket::frame::{self, Kind};

/// Encodes a push as every client of the reference knows it.
#[must_use]
pub fn envelope(envelope: &Envelope<'_>) -> Frame {
    let Envelope { seq, cmd, target, msg, from } = *envelope;
    let mut data = Vec::with_capacity(64 + target.len() + msg.len() + from.len());
    data.extend_from_slice(b"{\"target\":");
    append_string(&mut data, target);
    data.extend_from_slice(b",\"type\":\"text\",\"msg\":");
    append_string(&mut data, msg);
    data.extend_from_slice(b",\"from\":");
    append_string(&mut data, from);
    data.push(b'}');
    encode(seq, cmd, &data)
}

/// Encodes the digest of a room that is too large to hear of each one:
/// how many came and went since the last digest, and how many are here.
#[must_use]
pub fn presence(seq: u64, joined: u64, left: u64, online: usize) -> Frame {
    let data = format!("{{\"joined\":{joined},\"left\":{left},\"online\":{online}}}");
    encode(&seq.to_string(), "presence", data.as_bytes())
}

/// Encodes what the connection of `user` is told when a newer login has taken its place: it
/// receives nothing more. Clients of the reference pass over a `cmd` that they do not know.
#[must_use]
pub fn displaced(seq: u64, user: &str, language: Language) -> Frame {
    let (seq, cmd) = (seq.to_string(), "displaced");
    let msg = match language {
        Language::Reference => "账号已在其他地方登录",
        Language::English => "The account has logged in elsewhere",
    };
    envelope(&Envelope { seq: &seq, cmd, target: "", msg, from: user })
}

/// Encodes the reply to a `send`, which is only known after a while; `seq` and `data` are JSON.
#[must_use]
pub fn reply_to_send(seq: &str, code: Code, language: Language, data: &str) -> Frame {
    let mut bytes = Vec::with_capacity(96 + seq.len() + data.len());
    frame::append_with(&mut bytes, Kind::Text, |out| {
        super::reply_to_send(out, seq, code, language, data)
    });
    Frame::from_encoded(bytes)
}

fn encode(seq: &str, cmd: &str, data: &[u8]) -> Frame {
    let mut bytes = Vec::with_capacity(96 + seq.len() + cmd.len() + data.len());
    frame::append_with(&mut bytes, Kind::Text, |out| {
        out.extend_from_slice(b"{\"seq\":");
        append_string(out, seq);
        out.extend_from_slice(b",\"cmd\":");
        append_string(out, cmd);
        append_response(out, 200, "Ok", data);
        out.push(b'}');
    });
    Frame::from_encoded(bytes)
}
