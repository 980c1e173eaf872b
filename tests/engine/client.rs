//! A client's side of the wire, and what the engine makes of it.

use millgate::websocket::message::{Assembly, Incoming, Messages, Rules, Violation};

/// The message limit that tests run with unless they are about limits.
pub(crate) const LIMIT: usize = 1 << 20;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
pub(crate) const FIN: u8 = 0x80;

/// What came out of the engine, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    /// The last one there is; with its close code.
    Violated(u16),
}

impl From<Incoming<'_>> for Event {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.to_owned()),
            Incoming::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Incoming::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Incoming::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Incoming::Close(why) => {
                Self::Close(why.map(|(code, reason)| (code, reason.to_owned())))
            }
        }
    }
}

pub(crate) fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

pub(crate) fn ping(payload: &[u8]) -> Event {
    Event::Ping(payload.to_vec())
}

/// One client frame under a given mask, its length in the shortest form.
pub(crate) fn masked(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((middle as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(key);
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    masked(first, payload, [0x37, 0xfa, 0x21, 0x3d])
}

/// A client's half of a connection.
pub(crate) struct Connection {
    pub(crate) assembly: Option<Box<Assembly>>,
    pub(crate) events: Vec<Event>,
    rules: Rules,
}

impl Connection {
    pub(crate) fn new(message_bytes: usize) -> Self {
        Self { assembly: None, events: Vec::new(), rules: Rules { message_bytes } }
    }

    /// One read of the gateway. Nothing is read after a violation.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        if matches!(self.events.last(), Some(Event::Violated(_))) {
            return;
        }
        if let Err(violation) = self.messages_of(bytes) {
            assert!(self.assembly.is_none(), "nothing is kept after a violation");
            self.events.push(Event::Violated(violation.close_code()));
        }
        let held = self.assembly.as_ref().map_or(0, |assembly| assembly.held_bytes());
        let most = 512 + self.rules.message_bytes;
        assert!(held <= most, "{held} bytes held where {most} are allowed");
    }

    fn messages_of(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        // A copy: the engine unmasks in place.
        let mut bytes = bytes.to_vec();
        let mut messages = Messages::new(self.assembly.take(), &mut bytes, &self.rules);
        let outcome = loop {
            match messages.next() {
                Ok(Some(incoming)) => self.events.push(incoming.into()),
                Ok(None) => break Ok(()),
                Err(violation) => break Err(violation),
            }
        };
        assert_eq!(messages.next(), Ok(None), "what is used up or spoilt stays so");
        self.assembly = messages.into_assembly();
        outcome
    }
}

/// What comes of `wire` when it arrives in these pieces; and whether it ends
/// with nothing under way.
pub(crate) fn receive<'w>(
    pieces: impl IntoIterator<Item = &'w [u8]>,
    limit: usize,
) -> (Vec<Event>, bool) {
    let mut connection = Connection::new(limit);
    for piece in pieces {
        connection.receive(piece);
    }
    (connection.events, connection.assembly.is_none())
}

/// What comes of `wire`, which must be the same whole, byte by byte, and in
/// two pieces wherever it is cut.
pub(crate) fn run(wire: &[u8]) -> Vec<Event> {
    let whole = receive([wire], LIMIT);
    assert_eq!(receive(wire.chunks(1), LIMIT), whole, "byte by byte");
    // Long ones are cut around their headers and thinly elsewhere.
    let cuts = (0..wire.len()).filter(|at| *at < 600 || at % 997 == 0 || at + 40 > wire.len());
    for at in cuts {
        let (left, right) = wire.split_at(at);
        assert_eq!(receive([left, right], LIMIT), whole, "cut at {at}");
    }
    whole.0
}
