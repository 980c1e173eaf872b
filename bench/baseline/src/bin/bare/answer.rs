//! What bytes of a client are answered with, once its head has been.

use memchr::{memchr, memmem};

/// How a loop answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Not at all.
    Nothing,
    /// With the same bytes, whatever they are.
    Same,
    /// Each frame with a text frame of as many letters; the mask stays on, the
    /// content is never looked at.
    AsMuch,
    /// Each frame with the gateway's reply to `ping`. The least JSON work
    /// imaginable: the text behind the first `"seq":"` is copied up to the next
    /// quote, the rest is canned. White space or an escape there finds no `seq`.
    Pong,
}

/// The bytes cannot be answered, or say goodbye.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation;

const FINAL_TEXT: u8 = 0x81;
const CLOSE: u8 = 0x8;
/// A `seq` that ends later is taken for none: the rest need not be unmasked.
const SEQ_WITHIN: usize = 256;
const OPENING: &[u8] = b"{\"seq\":\"";
const SEQ: &[u8] = b"\"seq\":\"";
const PONG: &[u8] = br#"","cmd":"ping","response":{"code":200,"codeMsg":"Success","data":"pong"}}"#;

impl Answer {
    /// Appends the answers to all whole frames that `input` begins with and
    /// returns how many bytes these had.
    ///
    /// # Errors
    /// [`Violation`] for a close frame, or a frame without a mask.
    pub(crate) fn append(self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Violation> {
        match self {
            Self::Nothing => return Ok(input.len()),
            Self::Same => {
                out.extend_from_slice(input);
                return Ok(input.len());
            }
            Self::AsMuch | Self::Pong => {}
        }
        let mut rest = input;
        while let Some((start, end)) = extent(rest)? {
            if self == Self::AsMuch {
                header(end - start, out);
                out.resize(out.len() + end - start, b'x');
            } else {
                pong(&rest[start - 4..end], out);
            }
            rest = &rest[end..];
        }
        Ok(input.len() - rest.len())
    }
}

/// A text frame as servers send it.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    header(payload.len(), &mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// Where the payload of the first frame begins and ends; `None` if it is not
/// wholly here. The mask stands in the four bytes before.
fn extent(input: &[u8]) -> Result<Option<(usize, usize)>, Violation> {
    let &[first, second, ref rest @ ..] = input else { return Ok(None) };
    if first & 0xf == CLOSE || second & 0x80 == 0 {
        return Err(Violation);
    }
    let (len, start) = match second & 0x7f {
        126 => (rest.first_chunk().map(|len| u64::from(u16::from_be_bytes(*len))), 8),
        127 => (rest.first_chunk().map(|len| u64::from_be_bytes(*len)), 14),
        len => (Some(len.into()), 6),
    };
    let Some(len) = len else { return Ok(None) };
    let end = usize::try_from(len).map_err(|_| Violation)?.checked_add(start).ok_or(Violation)?;
    Ok((input.len() >= end).then_some((start, end)))
}

fn header(len: usize, out: &mut Vec<u8>) {
    let [a, b, c, d, e, f, high, low] = (len as u64).to_be_bytes();
    match len {
        0..=125 => out.extend_from_slice(&[FINAL_TEXT, low]),
        126..=0xffff => out.extend_from_slice(&[FINAL_TEXT, 126, high, low]),
        _ => out.extend_from_slice(&[FINAL_TEXT, 127, a, b, c, d, e, f, high, low]),
    }
}

/// Appends the reply to a request that comes with its mask in front.
fn pong(masked: &[u8], out: &mut Vec<u8>) {
    let Some((mask, payload)) = masked.split_first_chunk::<4>() else { return };
    let payload = &payload[..payload.len().min(SEQ_WITHIN)];
    let mut request = [0; SEQ_WITHIN];
    let (words, tail) = payload.as_chunks::<4>();
    let (plain, _) = request.as_chunks_mut::<4>();
    for (plain, word) in plain.iter_mut().zip(words) {
        *plain = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(*mask)).to_ne_bytes();
    }
    let rest = request[payload.len() - tail.len()..].iter_mut();
    for ((plain, byte), key) in rest.zip(tail).zip(mask) {
        *plain = byte ^ key;
    }

    let request = &request[..payload.len()];
    let seq = memmem::find(request, SEQ).map_or(&[][..], |at| &request[at + SEQ.len()..]);
    let seq = memchr(b'"', seq).map_or(&[][..], |end| &seq[..end]);
    header(OPENING.len() + seq.len() + PONG.len(), out);
    for part in [OPENING, seq, PONG] {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(first: u8, payload: &[u8]) -> Vec<u8> {
        const MASK: [u8; 4] = [0x9f, 0x02, 0x5b, 0xe0];
        let mut frame = Vec::new();
        header(payload.len(), &mut frame);
        frame[0] = first;
        frame[1] |= 0x80;
        frame.extend_from_slice(&MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    fn answer(how: Answer, input: &[u8]) -> (usize, Vec<u8>) {
        let mut out = Vec::new();
        let used = how.append(input, &mut out).unwrap();
        (used, out)
    }

    #[test]
    fn bytes_are_returned_or_swallowed_as_they_are() {
        assert_eq!(answer(Answer::Same, b"anything"), (8, b"anything".to_vec()));
        assert_eq!(answer(Answer::Nothing, b"anything"), (8, Vec::new()));
    }

    #[test]
    fn a_frame_is_answered_with_as_much_text() {
        for len in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
            let request = client(0x82, &vec![7; len]);
            let expected = frame(&vec![b'x'; len]);
            assert_eq!(answer(Answer::AsMuch, &request), (request.len(), expected), "{len}");
        }
    }

    #[test]
    fn a_ping_is_answered_with_its_seq() {
        let reply = |seq: &str| {
            let data = r#""response":{"code":200,"codeMsg":"Success","data":"pong"}"#;
            frame(format!(r#"{{"seq":"{seq}","cmd":"ping",{data}}}"#).as_bytes())
        };
        let long = "7".repeat(200);
        for seq in ["", "1", "1773000000-42", &long] {
            let request = format!(r#"{{"seq":"{seq}","cmd":"ping","data":{{}}}}"#);
            let request = client(0x81, request.as_bytes());
            assert_eq!(answer(Answer::Pong, &request), (request.len(), reply(seq)));
        }
        for without in ["", "{}", r#"{"seq":"open"#, &format!(r#"{{"seq":"{long}{long}"}}"#)] {
            let request = client(0x81, without.as_bytes());
            assert_eq!(answer(Answer::Pong, &request).1, reply(""), "{without}");
        }
    }

    #[test]
    fn only_whole_frames_are_used_up() {
        for len in [5, 300, 70_000] {
            let one = client(0x81, &vec![b'a'; len]);
            let two = one.repeat(2);
            for end in (0..two.len()).take(20).chain([one.len() - 1, one.len(), two.len() - 1]) {
                let whole = end / one.len();
                for how in [Answer::AsMuch, Answer::Pong] {
                    let (used, out) = answer(how, &two[..end]);
                    assert_eq!(used, whole * one.len(), "{end} of {len}");
                    assert_eq!(out.is_empty(), whole == 0);
                }
            }
            let (used, out) = answer(Answer::AsMuch, &two);
            assert_eq!((used, out), (two.len(), frame(&vec![b'x'; len]).repeat(2)));
        }
    }

    #[test]
    fn goodbyes_and_nonsense_end_it() {
        let mut endless = client(0x82, &[0; 70_000]);
        endless[2..10].fill(0xff);
        for input in [client(0x88, &[3, 232]), frame(b"without a mask"), endless] {
            let mut out = Vec::new();
            assert_eq!(Answer::AsMuch.append(&input, &mut out), Err(Violation));
            assert_eq!(Answer::Pong.append(&input, &mut out), Err(Violation));
        }
    }
}
