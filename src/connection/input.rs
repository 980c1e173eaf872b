//! From the bytes of one read to what they ask for, one thing at a time.

use super::flow::Meter;
use super::tls::Tls;
use super::{Connection, Ending, Rules, Security, State};
use crate::address::ClientAddr;
use crate::config::Excess;
use crate::limits::RETRY_AFTER_SECONDS;
use crate::metrics::Cause;
use crate::websocket::close;
use crate::websocket::frame::{self, Kind};
use crate::websocket::handshake::{self, Endpoint, Refusal, Upgrade};
use crate::websocket::message::{Incoming, Messages, Violation};
use crate::websocket::proxy::{self, ProxyError};
use std::borrow::Cow;
use std::mem;
use std::time::Duration;

/// Something that the owner of a connection has to look at.
#[derive(Debug)]
pub enum Effect<'i> {
    /// A proxy has told where the client is ([`super::Extra::client`]): it has to be judged.
    Client,
    /// A whole request for a WebSocket; the owner grants it with [`Connection::open`] or refuses
    /// it with an ending.
    Request {
        /// What is asked for.
        upgrade: Upgrade<'i>,
        /// The bytes of the request.
        head: &'i [u8],
    },
    /// A message or a control frame. [`Connection::respond`] answers it.
    Message {
        /// What the client says.
        incoming: Incoming<'i>,
        /// Whether the bounds of its flow let it pass.
        is_admitted: bool,
    },
}

/// What a connection could not understand, for a line of the log.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The PROXY protocol was violated.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// TLS was violated, or cannot begin.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The request was refused.
    #[error("{0}")]
    Request(Refusal),
}

/// Buffers for TLS that no connection owns.
#[derive(Debug, Default)]
pub struct Scratch {
    /// What one read has brought, decrypted.
    plain: Vec<u8>,
    /// What TLS itself has to answer.
    sealed: Vec<u8>,
}

/// What the buffers keep between reads.
const KEPT_BYTES: usize = 262_144;

/// The bytes of one read on their way through the stages of a connection.
#[derive(Debug)]
pub struct Input<'b> {
    stage: Stage<'b>,
    /// The buffers, until TLS has used them.
    scratch: Option<&'b mut Scratch>,
    /// What TLS has said behind the bytes that it has decrypted.
    tls_end: Option<TlsEnd>,
}

#[derive(Debug)]
enum Stage<'b> {
    /// As it came over the socket: a PROXY header or TLS is around it.
    Wire(&'b mut [u8]),
    /// A request; the first `seen` bytes were looked at before. `granted` is the length of
    /// one that was handed out.
    Head { bytes: &'b mut [u8], seen: usize, granted: Option<usize> },
    /// Frames; `began` is the tick since which the first bytes of the next one are kept.
    Frames { messages: Messages<'b>, meter: Option<Meter>, began: Option<u32> },
    /// Nothing is left.
    Over,
}

#[derive(Clone, Copy, Debug)]
enum TlsEnd {
    /// The peer will say nothing more.
    Peer,
    /// It could not be understood.
    Fault,
}

/// What a read has come to besides its effects.
#[derive(Debug, Default)]
pub struct Output {
    /// Whole frames, or the answer to a request, that are to be sent.
    pub replies: Vec<u8>,
    /// The connection ends after them.
    pub ending: Option<Ending>,
    /// The peer has said in TLS that nothing more will come, behind its own goodbye.
    pub has_peer_ended: bool,
    /// The deadline of the connection has come nearer.
    pub is_due_earlier: bool,
    /// What could not be understood.
    pub fault: Option<Fault>,
    /// Data messages that came.
    pub messages_in: u64,
    /// Replies of the connection itself.
    pub messages_out: u64,
    /// Messages above the bounds of the flow that were thrown away.
    pub dropped: u64,
    /// A TLS handshake has come to its end.
    pub is_tls_established: bool,
}

impl Output {
    /// Begins with a buffer for replies, which is empty.
    #[must_use]
    pub fn new(replies: Vec<u8>) -> Self {
        Self { replies, ..Self::default() }
    }

    /// The connection ends, unless that is decided already.
    pub fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    /// Answers a request with a refusal.
    pub fn refuse(&mut self, refusal: Refusal) {
        refusal.append_response(&mut self.replies);
        self.fault = Some(Fault::Request(refusal));
        self.end(Ending::linger(Cause::HandshakeRefused));
    }
}

impl<'b> Input<'b> {
    /// The bytes of one read of `connection`, behind those that it has kept; `seen` is the number
    /// of bytes of a request head that were looked at before.
    #[must_use]
    pub fn new(
        connection: &mut Connection,
        bytes: &'b mut [u8],
        seen: usize,
        scratch: &'b mut Scratch,
        rules: &Rules,
        now: Duration,
    ) -> Self {
        let stage = if connection.is_wrapped() {
            Stage::Wire(bytes)
        } else {
            Stage::plain(connection, bytes, seen, rules, now)
        };
        Self { stage, scratch: Some(scratch), tls_end: None }
    }
}

impl<'b> Stage<'b> {
    /// What the client says, without anything around it.
    fn plain(
        connection: &mut Connection,
        bytes: &'b mut [u8],
        seen: usize,
        rules: &Rules,
        now: Duration,
    ) -> Self {
        match &mut connection.state {
            State::Handshake { .. } => Self::Head { bytes, seen, granted: None },
            State::Open(open) => {
                let assembly = open.assembly.take();
                let began = assembly.as_ref().and_then(|assembly| assembly.since);
                let messages = Messages::new(assembly, bytes, &rules.message);
                let meter = rules.flow.map(|flow| Meter::new(flow, now, connection));
                Self::Frames { messages, meter, began }
            }
            State::Closing(_) | State::Dead => Self::Over,
        }
    }
}

impl Connection {
    /// The next thing that the input asks for; `None` when it is used up, or the connection ends.
    /// [`Connection::finish`] has to be called after that.
    pub fn next<'i>(
        &mut self,
        input: &'i mut Input<'_>,
        out: &mut Output,
        rules: &Rules,
        now: Duration,
    ) -> Option<Effect<'i>> {
        if out.ending.is_some() {
            return None;
        }
        if matches!(input.stage, Stage::Wire(_)) && self.unwrap(input, out, rules, now) {
            return Some(Effect::Client);
        }
        if let Stage::Head { granted: Some(len), .. } = input.stage
            && let Stage::Head { bytes, .. } = mem::replace(&mut input.stage, Stage::Over)
            && len < bytes.len()
        {
            input.stage = Stage::plain(self, &mut bytes[len..], 0, rules, now);
        }
        match &mut input.stage {
            Stage::Head { bytes, seen, granted } => {
                let bytes: &[u8] = bytes;
                match handshake::read(bytes, *seen, rules.head_bytes_max, &rules.paths()) {
                    Ok(Some(upgrade)) => {
                        self.forget_head();
                        *granted = Some(upgrade.head_len);
                        let head = &bytes[..upgrade.head_len];
                        return Some(Effect::Request { upgrade, head });
                    }
                    Ok(None) => self.keep_head(&bytes[*seen..]),
                    Err(refusal) => {
                        self.forget_head();
                        out.refuse(refusal);
                    }
                }
                None
            }
            Stage::Frames { messages, meter, .. } => match messages.next() {
                Ok(Some(incoming)) => {
                    let is_admitted = meter.as_mut().is_none_or(|meter| meter.admits(&incoming));
                    Some(Effect::Message { incoming, is_admitted })
                }
                Ok(None) => None,
                Err(violation) => {
                    let reason = Some((violation.close_code(), violation.reason()));
                    close::append(&mut out.replies, reason);
                    out.end(Ending::linger(cause_of(&violation)));
                    None
                }
            },
            Stage::Wire(_) | Stage::Over => None,
        }
    }

    /// The input is used up: what has not wholly arrived is kept.
    pub fn finish(&mut self, input: Input<'_>, out: &mut Output, rules: &Rules, tick: u32) {
        let Input { stage, tls_end, .. } = input;
        if let Stage::Frames { messages, meter, began } = stage {
            let frames = messages.frames();
            let is_settled = meter.is_none_or(|meter| meter.settle(frames, self));
            // Without a whole frame it is still the one that was under way before.
            let began = began.filter(|_| frames == 0).unwrap_or(tick);
            self.keep_assembly(messages, out, rules, began);
            if out.ending.is_none() && !is_settled {
                // Fragments cannot be thrown away one by one.
                let ending = too_fast(&mut out.replies);
                out.end(ending);
            }
            if frames > 0 && !self.awaits_login(rules) {
                self.since = tick;
            }
        }
        match tls_end {
            None => {}
            Some(TlsEnd::Fault) => out.end(Ending::linger(Cause::Tls)),
            // It is told the same after what it is still owed (RFC 8446 §6.1).
            Some(TlsEnd::Peer) if out.ending.is_none() => out.end(Ending::drop(Cause::Eof)),
            Some(TlsEnd::Peer) => out.has_peer_ended = true,
        }
    }

    /// Answers a message of a client, unless it is a command: that is returned.
    pub fn respond<'i>(
        &self,
        incoming: Incoming<'i>,
        is_admitted: bool,
        out: &mut Output,
        rules: &Rules,
    ) -> Option<Cow<'i, str>> {
        let State::Open(open) = &self.state else { return None };
        if !is_admitted {
            match rules.flow.map(|flow| flow.excess) {
                Some(Excess::Drop) => out.dropped += 1,
                Some(Excess::Close) | None => {
                    let ending = too_fast(&mut out.replies);
                    out.end(ending);
                }
            }
            return None;
        }
        match (incoming, open.endpoint) {
            (Incoming::Pong(_), _) => return None,
            (Incoming::Close(reason), _) => {
                close::append(&mut out.replies, reason.map(|(code, _)| (code, "")));
                out.end(Ending::drop(Cause::ClientClose));
                return None;
            }
            (Incoming::Ping(payload), _) => frame::append(&mut out.replies, Kind::Pong, payload),
            (Incoming::Text(text), Endpoint::Commands) => {
                out.messages_in += 1;
                return Some(Cow::Borrowed(text));
            }
            (Incoming::Binary(bytes), Endpoint::Commands) => {
                out.messages_in += 1;
                return Some(String::from_utf8_lossy(bytes));
            }
            (Incoming::Text(text), Endpoint::Echo) => {
                out.messages_in += 1;
                frame::append(&mut out.replies, Kind::Text, text.as_bytes());
            }
            (Incoming::Binary(bytes), Endpoint::Echo) => {
                out.messages_in += 1;
                frame::append(&mut out.replies, Kind::Binary, bytes);
            }
        }
        out.messages_out += 1;
        None
    }

    /// Takes the header of a proxy and TLS off. True if a proxy has told where the client is.
    fn unwrap(
        &mut self,
        input: &mut Input<'_>,
        out: &mut Output,
        rules: &Rules,
        now: Duration,
    ) -> bool {
        let Stage::Wire(bytes) = mem::replace(&mut input.stage, Stage::Over) else { return false };
        if !self.is_alive() {
            return false;
        }
        let Some(extra) = &mut self.extra else { return false };
        if extra.awaits_proxy {
            match proxy::read(bytes) {
                Ok(None) => extra.raw = bytes.to_vec(),
                Ok(Some(header)) => {
                    extra.client = header.source.map(ClientAddr::from);
                    extra.awaits_proxy = false;
                    extra.proxy_rest = header.rest.map(Box::new);
                    input.stage = Stage::Wire(&mut bytes[header.len..]);
                    return true;
                }
                Err(error) => {
                    out.fault = Some(error.into());
                    out.end(Ending::lose(Cause::ProxyHeader));
                }
            }
            return false;
        }
        let mut bytes = bytes;
        if let Some(rest) = &mut extra.proxy_rest {
            // None of it is kept.
            match rest.take(bytes) {
                Ok(len) if rest.is_over() => {
                    extra.proxy_rest = None;
                    bytes = &mut bytes[len..];
                }
                Ok(_) => return false,
                Err(error) => {
                    out.fault = Some(error.into());
                    out.end(Ending::lose(Cause::ProxyHeader));
                    return false;
                }
            }
        }
        let Some(first) = bytes.first() else { return false };
        match &mut extra.security {
            Security::None => {
                input.stage = Stage::plain(self, bytes, 0, rules, now);
                return false;
            }
            security @ Security::Due if first.is_ascii_uppercase() => {
                *security = Security::None;
                let answer = "TLS required: a plain request came to a port of wss";
                out.refuse(Refusal::BadRequest(answer));
                return false;
            }
            security @ Security::Due => match rules.tls.as_ref().map(Tls::new) {
                Some(Ok(tls)) => *security = Security::Tls(tls),
                failed => {
                    out.fault = failed.and_then(Result::err).map(Fault::from);
                    out.end(Ending::lose(Cause::Tls));
                    return false;
                }
            },
            Security::Tls(_) => {}
        }
        self.decrypt(input, bytes, out, rules, now);
        false
    }

    /// Decrypts what has come, and answers what TLS has to answer.
    fn decrypt<'b>(
        &mut self,
        input: &mut Input<'b>,
        bytes: &'b mut [u8],
        out: &mut Output,
        rules: &Rules,
        now: Duration,
    ) {
        let Some(Scratch { plain, sealed }) = input.scratch.take() else { return };
        plain.clear();
        plain.shrink_to(KEPT_BYTES);
        sealed.clear();
        sealed.shrink_to(KEPT_BYTES);
        if let State::Handshake { head: Some(head) } = &self.state {
            plain.extend_from_slice(head);
        }
        let kept = plain.len();
        let Some(extra) = &mut self.extra else { return };
        let Some(tls) = extra.tls() else { return };
        let was_handshaking = tls.is_handshaking();
        let understood = tls.open(bytes, plain, sealed);
        out.is_tls_established = was_handshaking && !tls.is_handshaking();
        match understood {
            Ok(understood) => {
                if understood.used < bytes.len() {
                    extra.raw = bytes[understood.used..].to_vec();
                }
                input.tls_end = understood.peer_ended.then_some(TlsEnd::Peer);
            }
            Err(error) => {
                out.fault = Some(error.into());
                input.tls_end = Some(TlsEnd::Fault);
            }
        }
        self.push_sealed(sealed);
        if plain.len() > kept {
            input.stage = Stage::plain(self, plain, kept, rules, now);
        }
    }

    /// Keeps the new part of a request head.
    fn keep_head(&mut self, news: &[u8]) {
        if let State::Handshake { head } = &mut self.state {
            head.get_or_insert_default().extend_from_slice(news);
        }
    }

    fn forget_head(&mut self) {
        if let State::Handshake { head } = &mut self.state {
            *head = None;
        }
    }

    /// Keeps what has come of a message that is not whole. It has to be whole in time.
    fn keep_assembly(
        &mut self,
        messages: Messages<'_>,
        out: &mut Output,
        rules: &Rules,
        began: u32,
    ) {
        let State::Open(open) = &mut self.state else { return };
        open.assembly = messages.into_assembly();
        let Some(assembly) = &mut open.assembly else { return };
        if assembly.since.is_none() {
            assembly.since = Some(began);
            out.is_due_earlier |= rules.message_ticks.is_some_and(|ticks| ticks < rules.idle_ticks);
        }
    }
}

/// The cause that a violation is counted under.
fn cause_of(violation: &Violation) -> Cause {
    match violation.close_code() {
        close::INVALID_DATA => Cause::InvalidText,
        close::TOO_BIG => Cause::TooBig,
        _ => Cause::Protocol,
    }
}

/// Tells a client that it sends more than it may.
fn too_fast(replies: &mut Vec<u8>) -> Ending {
    close::append(replies, Some((close::TOO_FAST, "too many messages")));
    Ending::linger(Cause::TooFast)
}

/// Appends the answer to a request that comes when there is no room for it.
pub(crate) fn append_no_room(replies: &mut Vec<u8>) {
    handshake::append_unavailable(replies, RETRY_AFTER_SECONDS);
}
