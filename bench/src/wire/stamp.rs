//! The number that a message carries: to whom, the how-manieth, and when.
//!
//! 32 letters of the URL-safe base64 alphabet, so that a stamp passes through
//! JSON, forms and text frames unchanged: `mg`, receiver, number, intended
//! time, delay, check sum.

/// Letters of a stamp.
pub const STAMP_BYTES: usize = 32;

/// The receiver of a message that is for everybody.
pub const EVERYBODY: u32 = u32::MAX;

/// What a message says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Index of the connection that is to receive it, or [`EVERYBODY`].
    pub receiver: u32,
    /// The how-manieth message to this receiver, from 0.
    pub number: u32,
    /// When it was meant to be sent: microseconds since the run began, below 2⁴².
    pub intended_us: u64,
    /// When it was sent.
    pub sent_us: u64,
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The value of each letter; 64 for what is none.
const VALUES: [u8; 256] = {
    let mut values = [64; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Letters of each field, after the mark.
const FIELDS: [usize; 5] = [6, 6, 7, 6, 5];

const MARK: &[u8; 2] = b"mg";

impl Stamp {
    /// The letters.
    #[must_use]
    pub fn encode(&self) -> [u8; STAMP_BYTES] {
        let delay = self.sent_us.saturating_sub(self.intended_us).min(u64::from(u32::MAX));
        let intended = self.intended_us & ((1 << 42) - 1);
        let fields = [
            u64::from(self.receiver),
            u64::from(self.number),
            intended,
            delay,
            self.check(intended, delay),
        ];
        let mut letters = [b'A'; STAMP_BYTES];
        letters[..2].copy_from_slice(MARK);
        let mut at = 2;
        for (mut value, length) in fields.into_iter().zip(FIELDS) {
            for letter in letters[at..at + length].iter_mut().rev() {
                *letter = ALPHABET[(value & 63) as usize];
                value >>= 6;
            }
            at += length;
        }
        letters
    }

    /// The stamp that `bytes` begin with; `None` if they do not, or if it was changed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let letters = bytes.get(..STAMP_BYTES)?.strip_prefix(MARK)?;
        let mut fields = [0_u64; FIELDS.len()];
        let mut at = 0;
        for (field, length) in fields.iter_mut().zip(FIELDS) {
            for letter in &letters[at..at + length] {
                let value = VALUES[usize::from(*letter)];
                if value == 64 {
                    return None;
                }
                *field = *field << 6 | u64::from(value);
            }
            at += length;
        }
        let [receiver, number, intended_us, delay, check] = fields;
        let stamp = Self {
            receiver: u32::try_from(receiver).ok()?,
            number: u32::try_from(number).ok()?,
            intended_us,
            sent_us: intended_us + delay,
        };
        (stamp.check(intended_us, delay) == check).then_some(stamp)
    }

    /// 30 bits that depend on every other one (the finaliser of SplitMix64).
    fn check(&self, intended: u64, delay: u64) -> u64 {
        let who = u64::from(self.receiver) << 32 | u64::from(self.number);
        let when = intended << 22 ^ delay;
        let mut mixed = who.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ when;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) & ((1 << 30) - 1)
    }
}

/// Fills what a message has beyond its stamp, with text that tells a shift.
pub fn pad(message: &mut Vec<u8>, length: usize) {
    let more = length.saturating_sub(message.len());
    message.extend(PADDING.iter().cycle().take(more));
}

/// Whether what follows the stamp is what [`pad`] put there.
#[must_use]
pub fn is_padding(bytes: &[u8]) -> bool {
    bytes.chunks(PADDING.len()).all(|chunk| *chunk == PADDING[..chunk.len()])
}

const PADDING: &[u8; 37] = b"0123456789abcdefghijklmnopqrstuvwxyz ";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stamp_comes_back(
            receiver: u32, number: u32, intended in 0..1_u64 << 42, delay: u32,
        ) {
            let sent_us = intended + u64::from(delay);
            let stamp = Stamp { receiver, number, intended_us: intended, sent_us };
            prop_assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
        }

        #[test]
        fn a_changed_letter_is_noticed(at in 0..STAMP_BYTES, letter in 0..64_usize, number: u32) {
            let stamp = Stamp { receiver: 5, number, intended_us: 1_000, sent_us: 2_000 };
            let mut letters = stamp.encode();
            if letters[at] != ALPHABET[letter] {
                letters[at] = ALPHABET[letter];
                prop_assert_eq!(Stamp::decode(&letters), None);
            }
        }
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for text in
            ["", "mg", "hello hello hello hello hello hello", "mg??????????????????????????????"]
        {
            assert_eq!(Stamp::decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn padding_is_known_by_its_place() {
        let mut message = b"head".to_vec();
        pad(&mut message, 100);
        assert_eq!(message.len(), 100);
        assert!(is_padding(&message[4..]));
        assert!(!is_padding(&message[5..]));
        message[80] ^= 1;
        assert!(!is_padding(&message[4..]));
    }
}
