//! What both hosts know, and what it proves.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A secret that coordinator and agents share. It never travels: both sides
/// seal their lines with what they make of it. No key is the empty key.
#[derive(Clone, Default)]
pub struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Where the key stands if no file is named.
pub(super) const VARIABLE: &str = "MILLGATE_BENCH_KEY";

/// Fewer could be guessed by somebody who has listened to one conversation.
const BYTES_MIN: usize = 16;
const BYTES_MAX: u64 = 4_096;

impl Key {
    /// From a file, or else from `MILLGATE_BENCH_KEY`; white space around it does not count.
    ///
    /// # Errors
    /// When the file cannot be read, or the key is shorter than 16 bytes.
    pub fn read(file: Option<&Path>) -> io::Result<Self> {
        let Some(path) = file else {
            return std::env::var(VARIABLE).map_or(Ok(Self::default()), |text| {
                Self::new(&text).map_err(|why| bad(format!("{VARIABLE}: {why}")))
            });
        };
        let mut text = String::new();
        let opened =
            File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        opened.map_err(|error| bad(format!("{}: {error}", path.display())))?;
        Self::new(&text).map_err(|why| bad(format!("{}: {why}", path.display())))
    }

    /// From its text.
    ///
    /// # Errors
    /// When it is shorter than 16 bytes.
    pub fn new(text: &str) -> Result<Self, String> {
        let bytes = text.trim().as_bytes();
        if bytes.len() < BYTES_MIN {
            return Err(format!("a key has at least {BYTES_MIN} bytes"));
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of one conversation, from what both sides have made up for it.
    pub(super) fn session(&self, nonces: [&str; 2]) -> Self {
        let mut mac = self.mac();
        for nonce in nonces {
            mac.update(nonce.as_bytes());
        }
        Self(mac.finalize().into_bytes().to_vec())
    }

    /// The seal of the `number`-th line that this side says.
    pub(super) fn seal(&self, side: u8, number: u64, line: &[u8]) -> String {
        let sum = self.sealing(side, number, line).finalize().into_bytes();
        sum.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a seal is that of this line; takes as long for every wrong one.
    pub(super) fn proves(&self, side: u8, number: u64, line: &[u8], seal: &str) -> bool {
        let digit = |index: usize| {
            let text = seal.get(index..index + 2).filter(|pair| pair.bytes().all(is_hex));
            text.and_then(|pair| u8::from_str_radix(pair, 16).ok())
        };
        let bytes: Option<Vec<u8>> = (0..seal.len()).step_by(2).map(digit).collect();
        let sealing = self.sealing(side, number, line);
        bytes.is_some_and(|bytes| sealing.verify_slice(&bytes).is_ok())
    }

    fn sealing(&self, side: u8, number: u64, line: &[u8]) -> Hmac<Sha256> {
        self.mac().chain_update([side]).chain_update(number.to_be_bytes()).chain_update(line)
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length")
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_for_one_line_at_one_place_by_one_side() {
        let key = Key::new("0123456789abcdef").unwrap().session(["a", "b"]);
        let seal = key.seal(b'a', 3, b"line");
        assert!(key.proves(b'a', 3, b"line", &seal));
        assert!(!key.proves(b'l', 3, b"line", &seal));
        assert!(!key.proves(b'a', 4, b"line", &seal));
        assert!(!key.proves(b'a', 3, b"lime", &seal));
        for wrong in ["", "00", &seal[2..], &seal.replace(char::is_numeric, "+"), "é"] {
            assert!(!key.proves(b'a', 3, b"line", wrong), "{wrong}");
        }
        let other = Key::new("0123456789abcdeX").unwrap().session(["a", "b"]);
        assert!(!other.proves(b'a', 3, b"line", &seal));
        assert!(!Key::default().session(["a", "b"]).proves(b'a', 3, b"line", &seal));
    }

    #[test]
    fn short_keys_are_refused() {
        assert!(Key::new(" 0123456789abcde\n").is_err());
        assert!(!Key::new(" 0123456789abcdef\n").unwrap().is_none());
        assert!(
            Key::read(Some(Path::new("/nowhere/key")))
                .unwrap_err()
                .to_string()
                .contains("/nowhere")
        );
    }
}
