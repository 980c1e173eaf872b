//! Lines of JSON over TCP, each sealed with the key of the conversation.
//!
//! Both sides first name the protocol and a random number. Every line after
//! that begins with an HMAC of the key, both numbers, who says it, its place
//! and its text: a line cannot be made up, changed, repeated or left out by
//! anybody who does not know the key. It can be read, though.

use super::key::Key;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Lead,
    Agent,
}

impl Side {
    fn letter(self) -> u8 {
        if self == Self::Lead { b'l' } else { b'a' }
    }

    fn other(self) -> Self {
        if self == Self::Lead { Self::Agent } else { Self::Lead }
    }
}

/// The half that says something.
#[derive(Debug)]
pub(super) struct Speaker {
    stream: TcpStream,
    key: Key,
    side: Side,
    said: u64,
}

/// The half that listens.
#[derive(Debug)]
pub(super) struct Hearer {
    stream: BufReader<TcpStream>,
    key: Key,
    side: Side,
    heard: u64,
    bytes_max: u64,
}

/// The protocol and its version.
const GREETING: &str = "millgate-agent/1 ";

/// Bytes of the random number, as 32 letters.
const NONCE_BYTES: usize = 16;
const GREETING_BYTES: usize = GREETING.len() + 2 * NONCE_BYTES + 1;

/// Who says nothing for so long before we know who it is has to go.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// Who says nothing for so long is gone: both sides show once a second that they live.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Greets the other side; lines of at most `bytes_max` are taken from it.
pub(super) fn open(
    stream: TcpStream,
    key: &Key,
    side: Side,
    bytes_max: u64,
) -> io::Result<(Speaker, Hearer)> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(GREETING_TIMEOUT))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let own = nonce()?;
    let mut said = &stream;
    said.write_all(format!("{GREETING}{own}\n").as_bytes())?;
    let mut bytes = [0; GREETING_BYTES];
    said.read_exact(&mut bytes)?;
    let greeting = std::str::from_utf8(&bytes).ok();
    let theirs = greeting.and_then(|text| text.strip_prefix(GREETING)?.strip_suffix('\n'));
    let theirs = theirs.ok_or_else(|| broken("does not speak millgate-agent/1"))?;
    let nonces = if side == Side::Lead { [&own, theirs] } else { [theirs, &own] };
    let key = key.session(nonces);
    let hearing = BufReader::new(stream.try_clone()?);
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let hearer =
        Hearer { stream: hearing, key: key.clone(), side: side.other(), heard: 0, bytes_max };
    Ok((Speaker { stream, key, side, said: 0 }, hearer))
}

fn nonce() -> io::Result<String> {
    let mut bytes = [0; NONCE_BYTES];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if filled < bytes.len() {
        return Err(io::Error::other("the kernel has no random numbers"));
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn broken(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl Speaker {
    /// Says it.
    pub(super) fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string(what)?;
        let seal = self.key.seal(self.side.letter(), self.said, text.as_bytes());
        self.said += 1;
        // One write, one segment: pings are to be quick.
        self.stream.write_all(format!("{seal} {text}\n").as_bytes())
    }

    /// Hangs up: whoever listens on either side hears the end.
    pub(super) fn hang_up(&self) {
        // The other side may have done so before.
        let _closed = self.stream.shutdown(Shutdown::Both);
    }
}

impl Hearer {
    /// The next line; none when the other side has hung up.
    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut line = Vec::new();
        self.stream.by_ref().take(self.bytes_max).read_until(b'\n', &mut line).map_err(silent)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            let cut = "was cut off in a line, or said one that is too long";
            return Err(broken(cut));
        }
        let text = std::str::from_utf8(&line).map_err(|_| broken("said what is no text"))?;
        let (seal, text) = text.split_once(' ').unwrap_or(("", text));
        if !self.key.proves(self.side.letter(), self.heard, text.as_bytes(), seal) {
            return Err(broken("has another key than we have"));
        }
        self.heard += 1;
        serde_json::from_str(text).map(Some).map_err(|error| broken(&format!("said: {error}")))
    }
}

fn silent(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            broken(&format!("has been silent for {} s", SILENCE_MAX.as_secs()))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair(keys: [&str; 2]) -> [io::Result<(Speaker, Hearer)>; 2] {
        let keys = keys.map(|key| Key::new(key).unwrap_or_default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let from = listener.accept().unwrap().0;
        let theirs = keys[1].clone();
        let agent = std::thread::spawn(move || open(from, &theirs, Side::Agent, 200));
        [open(to, &keys[0], Side::Lead, 200), agent.join().unwrap()]
    }

    #[test]
    fn what_is_said_is_heard_in_order() {
        for key in ["", "0123456789abcdef"] {
            let [lead, agent] = pair([key, key]).map(Result::unwrap);
            let ((mut speaker, _hearer), (_speaker, mut hearer)) = (lead, agent);
            for number in 0..3 {
                speaker.say(&number).unwrap();
            }
            speaker.hang_up();
            let heard: Vec<i32> = std::iter::from_fn(|| hearer.hear().unwrap()).collect();
            assert_eq!(heard, [0, 1, 2]);
        }
    }

    #[test]
    fn another_key_is_refused_on_both_sides() {
        for keys in [["0123456789abcdef", "0123456789abcdeX"], ["", "0123456789abcdef"]] {
            let [lead, agent] = pair(keys).map(Result::unwrap);
            let ((mut to_agent, mut from_agent), (mut to_lead, mut from_lead)) = (lead, agent);
            to_agent.say(&1).unwrap();
            to_lead.say(&1).unwrap();
            for hearer in [&mut from_agent, &mut from_lead] {
                assert!(hearer.hear::<i32>().unwrap_err().to_string().contains("another key"));
            }
        }
    }

    #[test]
    fn lines_cannot_be_repeated_or_made_up() {
        let [lead, agent] = pair(["", ""]).map(Result::unwrap);
        let ((mut speaker, _hearer), (_speaker, mut hearer)) = (lead, agent);
        let seal = speaker.key.seal(b'l', 0, b"5");
        let line = format!("{seal} 5\n");
        speaker.stream.write_all(line.repeat(2).as_bytes()).unwrap();
        assert_eq!(hearer.hear::<i32>().unwrap(), Some(5));
        assert!(hearer.hear::<i32>().is_err());
    }

    #[test]
    fn long_lines_and_strangers_are_refused() {
        let [lead, agent] = pair(["", ""]).map(Result::unwrap);
        let ((mut speaker, _hearer), (_speaker, mut hearer)) = (lead, agent);
        speaker.say(&"x".repeat(300)).unwrap();
        assert!(hearer.hear::<String>().unwrap_err().to_string().contains("too long"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut to = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        to.write_all(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:7075\r\nContent-Length: 5\r\n\r\n")
            .unwrap();
        let from = listener.accept().unwrap().0;
        let error = open(from, &Key::default(), Side::Agent, 200).unwrap_err();
        assert!(error.to_string().contains("does not speak"), "{error}");
    }
}
