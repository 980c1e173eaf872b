//! Text that arrives in pieces: checked as it comes, never twice.

/// Text of which a part is still to come. Pieces may end inside a character.
#[derive(Debug, Default)]
pub(super) struct Text {
    checked: String,
    /// The first bytes of a character whose last have not arrived: at most
    /// three, all of which may still become a character.
    begun: [u8; 4],
    begun_len: u8,
}

/// The text can no longer become UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Text {
    /// Bytes received.
    pub(super) fn len(&self) -> usize {
        self.checked.len() + usize::from(self.begun_len)
    }

    /// The bytes received.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let begun = self.begun.get(..usize::from(self.begun_len)).unwrap_or_default();
        [self.checked.as_bytes(), begun].concat()
    }

    /// Bytes of heap.
    pub(super) fn capacity(&self) -> usize {
        self.checked.capacity()
    }

    /// Makes room for exactly `additional` bytes more.
    pub(super) fn reserve_exact(&mut self, additional: usize) {
        self.checked.reserve_exact(usize::from(self.begun_len) + additional);
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// As soon as a byte cannot belong to UTF-8, also when its character is not complete.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        let piece = self.complete_begun(piece)?;
        match std::str::from_utf8(piece) {
            Ok(text) => {
                self.checked.push_str(text);
                Ok(())
            }
            // `error_len` of `None`: the end came too early, nothing is wrong yet.
            Err(error) if error.error_len().is_none() => {
                self.push_begun(piece, error.valid_up_to())
            }
            Err(_) => Err(Malformed),
        }
    }

    /// The whole text, now that no more will come.
    ///
    /// # Errors
    /// When the last character is incomplete.
    pub(super) fn finish(self) -> Result<String, Malformed> {
        if self.begun_len == 0 { Ok(self.checked) } else { Err(Malformed) }
    }

    /// Gives the begun character byte by byte what it lacks; returns the rest.
    fn complete_begun<'p>(&mut self, mut piece: &'p [u8]) -> Result<&'p [u8], Malformed> {
        while self.begun_len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                break;
            };
            // Three begun bytes and this one are a character or an error, so four are enough.
            let Some(place) = self.begun.get_mut(usize::from(self.begun_len)) else {
                return Err(Malformed);
            };
            *place = byte;
            self.begun_len += 1;
            piece = rest;
            let begun = self.begun.get(..usize::from(self.begun_len)).unwrap_or_default();
            match std::str::from_utf8(begun) {
                Ok(character) => {
                    self.checked.push_str(character);
                    self.begun_len = 0;
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Malformed),
            }
        }
        Ok(piece)
    }

    /// Takes a piece that is well-formed up to `valid` and begins a character there.
    fn push_begun(&mut self, piece: &[u8], valid: usize) -> Result<(), Malformed> {
        let (whole, begun) = piece.split_at_checked(valid).ok_or(Malformed)?;
        // Looks at these bytes a second time; only a text cut inside a character pays for it.
        self.checked.push_str(std::str::from_utf8(whole).map_err(|_| Malformed)?);
        let place = self.begun.get_mut(..begun.len()).ok_or(Malformed)?;
        place.copy_from_slice(begun);
        self.begun_len = begun.len() as u8;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text in these pieces comes to.
    fn in_pieces<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<String, Malformed> {
        let mut text = Text::default();
        for piece in pieces {
            text.push(piece)?;
        }
        text.finish()
    }

    const SAMPLES: [&[u8]; 14] = [
        b"",
        b"plain",
        "κόσμε".as_bytes(),
        "\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
        "数据不合法".as_bytes(),
        b"\x80",
        b"\xc0\xaf",
        b"\xc3",
        b"a\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x98\x80\xf0\x9f\x98",
        b"\xf8\x88\x80\x80\x80",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65",
    ];

    #[test]
    fn every_two_pieces_come_to_what_std_says_of_the_whole() {
        for sample in SAMPLES {
            let expected = std::str::from_utf8(sample).map(str::to_owned).map_err(|_| Malformed);
            for at in 0..=sample.len() {
                let (left, right) = sample.split_at(at);
                assert_eq!(in_pieces([left, right]), expected, "{sample:x?} cut at {at}");
            }
            assert_eq!(in_pieces(sample.chunks(1)), expected, "{sample:x?} in bytes");
        }
    }

    #[test]
    fn a_bad_byte_fails_the_moment_it_arrives() {
        // Surrogate, beyond U+10FFFF, overlong: the second byte gives each away.
        for [first, second] in [[0xed, 0xa0], [0xf4, 0x90], [0xe0, 0x80], [0xf0, 0x80]] {
            let mut text = Text::default();
            assert_eq!(text.push(&[first]), Ok(()));
            assert_eq!(text.push(&[second]), Err(Malformed));
        }
        for first in [0x80, 0xc0, 0xc1, 0xf5, 0xff] {
            assert_eq!(Text::default().push(&[first]), Err(Malformed));
        }
    }

    #[test]
    fn the_length_counts_begun_characters() {
        let mut text = Text::default();
        text.push(b"ab\xf0\x9f\x98").unwrap();
        assert_eq!(text.len(), 5);
        text.push(b"\x80").unwrap();
        assert_eq!(text.len(), 6);
        assert_eq!(text.finish().unwrap(), "ab\u{1f600}");
    }
}
