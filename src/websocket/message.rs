//! Client frames put together to messages (RFC 6455 §5.4 to §5.6 and §8.1).
//!
//! A message whose only frame lies whole in the receive buffer is unmasked
//! there and handed out as a slice of it: no copy, no allocation. Only what is
//! cut by the end of a read, or fragmented by the client, is copied, into an
//! [`Assembly`] that goes as soon as it is used up.

use super::assembly::{Content, Stage};
use super::close;
use super::frame::{HEADER_BYTES_MAX, Header, Opcode};
use super::mask;
use std::mem;

pub use super::assembly::Assembly;
pub use super::violation::Violation;

/// The bounds that a connection's messages are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Payload of a whole message in bytes, at most.
    pub message_bytes: usize,
}

/// A whole message, or a control frame, of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping of at most 125 bytes, which a pong has to return.
    Ping(&'a [u8]),
    /// A pong of at most 125 bytes.
    Pong(&'a [u8]),
    /// The closing handshake: code, which is legal, and reason, if it has them.
    Close(Option<(u16, &'a str)>),
}

impl Incoming<'_> {
    /// Bytes of its payload, a close code included.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes.len(),
            Self::Close(None) => 0,
            Self::Close(Some((_, reason))) => 2 + reason.len(),
        }
    }
}

/// The messages in the bytes of one read. See [`Messages::next`].
#[derive(Debug)]
pub struct Messages<'a> {
    assembly: Option<Box<Assembly>>,
    input: &'a mut [u8],
    message_bytes: usize,
    frames: u32,
    /// What was last handed out, if it had to be put together.
    assembled: Assembled,
}

/// A message or control frame taken out of its [`Assembly`].
#[derive(Debug)]
enum Assembled {
    Nothing,
    Text(String),
    Binary(Vec<u8>),
    Control(Opcode, Vec<u8>),
}

/// What one frame, or the part of it that the input has, came to.
enum Step<'a> {
    /// Something whole, left where it was received.
    InPlace(Incoming<'a>),
    /// Something whole, now in [`Messages::assembled`].
    Assembled,
    /// A frame that leaves its message incomplete.
    Fragment,
    /// No whole frame; nothing is left of the input.
    Starved,
}

impl<'a> Messages<'a> {
    /// Reads `input`, the bytes that follow those that `assembly` has come from
    /// ([`Messages::into_assembly`]). They are unmasked in place: their content afterwards
    /// means nothing.
    #[inline]
    #[must_use]
    pub fn new(assembly: Option<Box<Assembly>>, input: &'a mut [u8], rules: &Rules) -> Self {
        let message_bytes = rules.message_bytes;
        Self { assembly, input, message_bytes, frames: 0, assembled: Assembled::Nothing }
    }

    /// Complete frames seen so far, of whatever kind: each is a sign of life.
    #[inline]
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// What is to be kept for the bytes that follow: `None` unless a header, a frame or a
    /// fragmented message is under way.
    #[inline]
    #[must_use]
    pub fn into_assembly(self) -> Option<Box<Assembly>> {
        self.assembly
    }

    /// The next whole message or control frame. It borrows from `self`: it
    /// must be done with before the next call.
    ///
    /// `Ok(None)`: the input is used up, and the assembly is `None` unless
    /// a header, a frame or a fragmented message is under way.
    ///
    /// After [`Incoming::Close`] a client must be silent (§5.5.1); this
    /// iterator does not enforce it, callers stop calling.
    ///
    /// # Errors
    /// What the client did wrong. The connection has to be closed with
    /// [`Violation::close_code`]; the assembly and the input are gone.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an Iterator cannot lend")]
    pub fn next(&mut self) -> Result<Option<Incoming<'_>>, Violation> {
        self.assembled = Assembled::Nothing;
        while !self.input.is_empty() {
            let step = match self.whole() {
                Ok(Some(incoming)) => {
                    self.frames += 1;
                    return Ok(Some(incoming));
                }
                Ok(None) => self.step(),
                Err(violation) => Err(violation),
            };
            match step {
                Ok(Step::InPlace(incoming)) => {
                    self.frames += 1;
                    return Ok(Some(incoming));
                }
                Ok(Step::Assembled) => {
                    self.frames += 1;
                    return self.assembled.incoming();
                }
                Ok(Step::Fragment) => self.frames += 1,
                Ok(Step::Starved) => return Ok(None),
                Err(violation) => {
                    self.assembly = None;
                    self.input = &mut [];
                    return Err(violation);
                }
            }
        }
        Ok(None)
    }

    /// Nearly all that ever happens, cut short: nothing is under way and a
    /// whole message or control frame is here. `None` leaves it to `step`.
    #[inline]
    fn whole(&mut self) -> Result<Option<Incoming<'a>>, Violation> {
        if self.assembly.is_some() {
            return Ok(None);
        }
        let Some(header) = Header::parse(self.input)? else {
            return Ok(None);
        };
        let start = usize::from(header.header_len);
        let here = self.input.len() - start;
        let bound = here.min(self.message_bytes) as u64;
        if !header.fin || header.opcode == Opcode::Continuation || header.len > bound {
            return Ok(None);
        }
        let frame = self.consume(start + header.len as usize);
        let (_, payload) = frame.split_at_mut(start);
        mask::apply(payload, header.mask, 0);
        in_place(header.opcode, payload).map(Some)
    }

    /// One frame, or as much of it as the input has, in whatever state.
    #[inline(never)]
    fn step(&mut self) -> Result<Step<'a>, Violation> {
        let Some((header, received)) = self.header()? else {
            return Ok(Step::Starved);
        };
        let missing = header.len - received;
        let payload = self.consume(usize::try_from(missing).unwrap_or(usize::MAX));
        mask::apply(payload, header.mask, received as usize);

        let whole = received == 0 && payload.len() as u64 == header.len;
        if whole && (header.opcode.is_control() || (header.fin && self.message().is_none())) {
            self.enter(Stage::Between);
            return in_place(header.opcode, payload).map(Step::InPlace);
        }
        self.absorb(header, received, payload)
    }

    /// The header of the frame under way and how much of its payload is taken
    /// care of; `None` when the input ends before its header does.
    #[inline]
    fn header(&mut self) -> Result<Option<(Header, u64)>, Violation> {
        let header = match self.assembly.as_deref().map(|assembly| assembly.stage) {
            Some(Stage::Payload { header, received }) => return Ok(Some((header, received))),
            Some(Stage::Header { bytes, len }) => self.resume_header(bytes, len)?,
            Some(Stage::Between) | None => match Header::parse(self.input)? {
                Some(header) => {
                    self.consume(usize::from(header.header_len));
                    Some(header)
                }
                None if self.input.is_empty() => None,
                None => self.resume_header([0; HEADER_BYTES_MAX], 0)?,
            },
        };
        let Some(header) = header else {
            return Ok(None);
        };
        self.judge(&header)?;
        Ok(Some((header, 0)))
    }

    /// Goes on with a header of which `len` bytes came earlier.
    #[cold]
    fn resume_header(
        &mut self,
        mut bytes: [u8; HEADER_BYTES_MAX],
        len: u8,
    ) -> Result<Option<Header>, Violation> {
        let kept = usize::from(len);
        let room = bytes.get_mut(kept..).unwrap_or_default();
        let copied = room.len().min(self.input.len());
        for (place, byte) in room.iter_mut().zip(self.input.iter()) {
            *place = *byte;
        }
        let header = Header::parse(bytes.get(..kept + copied).unwrap_or_default())?;
        match header {
            Some(header) => {
                self.consume(usize::from(header.header_len).saturating_sub(kept));
                self.enter(Stage::Between);
            }
            None => {
                // Not even fourteen bytes: the input had fewer than a header lacks.
                self.consume(copied);
                let len = (kept + copied) as u8;
                self.assembly.get_or_insert_default().stage = Stage::Header { bytes, len };
            }
        }
        Ok(header)
    }

    /// Whether a frame may come now, and whether its message may become so long.
    #[inline]
    fn judge(&self, header: &Header) -> Result<(), Violation> {
        let message = self.message();
        match (header.opcode, message) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => return Ok(()),
            (Opcode::Continuation, None) => {
                return Err(Violation::Protocol("continuation without a message"));
            }
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(Violation::Protocol("new message inside a fragmented one"));
            }
            (Opcode::Continuation, Some(_)) | (Opcode::Text | Opcode::Binary, None) => {}
        }
        let held = message.map_or(0, Content::len);
        let room = self.message_bytes.saturating_sub(held);
        if header.len > room as u64 { Err(Violation::TooBig) } else { Ok(()) }
    }

    /// Copies what cannot be handed out where it was received.
    #[cold]
    fn absorb(
        &mut self,
        header: Header,
        received: u64,
        payload: &[u8],
    ) -> Result<Step<'a>, Violation> {
        let received = received + payload.len() as u64;
        let missing = header.len - received;
        let assembly = self.assembly.get_or_insert_default();
        if missing > 0 {
            assembly.stage = Stage::Payload { header, received };
            if payload.is_empty() {
                // Copying has not begun: the whole payload may yet come at once.
                return Ok(Step::Starved);
            }
        }
        if header.opcode.is_control() {
            assembly.control.extend_from_slice(payload);
        } else {
            let message = assembly.message.get_or_insert_with(|| Content::new(header.opcode));
            let ceiling = match header.fin {
                true => message.len() + payload.len() + missing as usize,
                false => self.message_bytes,
            };
            message.push(payload, ceiling)?;
        }
        if missing > 0 { Ok(Step::Starved) } else { self.complete(&header) }
    }

    /// Takes what the last byte of a frame has made whole out of the assembly.
    fn complete(&mut self, header: &Header) -> Result<Step<'a>, Violation> {
        let Some(assembly) = self.assembly.as_deref_mut() else {
            return Ok(Step::Fragment);
        };
        if header.opcode.is_control() {
            let payload = mem::take(&mut assembly.control);
            in_place(header.opcode, &payload)?;
            self.assembled = Assembled::Control(header.opcode, payload);
        } else if header.fin {
            self.assembled = match assembly.message.take() {
                Some(Content::Text(text)) => {
                    Assembled::Text(text.finish().map_err(|_| Violation::Utf8)?)
                }
                Some(Content::Binary(bytes)) => Assembled::Binary(bytes),
                None => Assembled::Nothing,
            };
        }
        self.enter(Stage::Between);
        match self.assembled {
            Assembled::Nothing => Ok(Step::Fragment),
            _ => Ok(Step::Assembled),
        }
    }

    /// The data message under way.
    #[inline]
    fn message(&self) -> Option<&Content> {
        self.assembly.as_deref().and_then(|assembly| assembly.message.as_ref())
    }

    /// Moves an assembly, should there be one, to the next stage, and drops it
    /// when that leaves nothing in it.
    #[inline]
    fn enter(&mut self, stage: Stage) {
        if let Some(assembly) = self.assembly.as_deref_mut() {
            assembly.stage = stage;
            if assembly.is_spent() {
                self.assembly = None;
            }
        }
    }

    /// The next bytes of the input, `wanted` or as many as there are.
    #[inline]
    fn consume(&mut self, wanted: usize) -> &'a mut [u8] {
        let input = mem::take(&mut self.input);
        let (taken, rest) = input.split_at_mut(wanted.min(input.len()));
        self.input = rest;
        taken
    }
}

impl Assembled {
    fn incoming(&self) -> Result<Option<Incoming<'_>>, Violation> {
        match self {
            Self::Nothing => Ok(None),
            Self::Text(text) => Ok(Some(Incoming::Text(text))),
            Self::Binary(bytes) => Ok(Some(Incoming::Binary(bytes))),
            Self::Control(opcode, payload) => in_place(*opcode, payload).map(Some),
        }
    }
}

/// What a whole, unmasked frame says.
#[inline]
fn in_place(opcode: Opcode, payload: &[u8]) -> Result<Incoming<'_>, Violation> {
    Ok(match opcode {
        Opcode::Text => Incoming::Text(std::str::from_utf8(payload).map_err(|_| Violation::Utf8)?),
        // A continuation never stands alone: `judge` saw to it.
        Opcode::Binary | Opcode::Continuation => Incoming::Binary(payload),
        Opcode::Ping => Incoming::Ping(payload),
        Opcode::Pong => Incoming::Pong(payload),
        Opcode::Close => Incoming::Close(close::parse(payload)?),
    })
}
