//! The exclusive or that every client payload wears (RFC 6455 §5.3).

/// Removes (or puts on) the mask `key` in place, where `payload` begins
/// `offset` bytes into the payload of its frame.
///
/// Goes by blocks of 16 bytes, which compile to vector instructions; a frame
/// of a few bytes costs one or two operations.
#[inline]
pub(super) fn apply(payload: &mut [u8], key: [u8; 4], offset: usize) {
    // Only the last two bits of the offset matter: the key repeats every four bytes.
    let key = u32::from_le_bytes(key).rotate_right(8 * (offset as u32 & 3));
    let wide = u128::from(key) * 0x0000_0001_0000_0001_0000_0001_0000_0001;

    let (blocks, rest) = payload.as_chunks_mut::<16>();
    for block in blocks {
        *block = (u128::from_le_bytes(*block) ^ wide).to_le_bytes();
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_le_bytes(*word) ^ key).to_le_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.to_le_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// §5.3 as it is written there: octet i is taken with octet i mod 4 of the key.
    fn naive(payload: &[u8], key: [u8; 4], offset: usize) -> Vec<u8> {
        let octet = |(i, byte): (usize, &u8)| byte ^ key[(i + offset) % 4];
        payload.iter().enumerate().map(octet).collect()
    }

    #[test]
    fn every_length_at_every_offset_is_as_the_rfc_writes_it() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..100 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..length).map(|i: u8| i.wrapping_mul(31)).collect();
                let mut masked = plain.clone();
                apply(&mut masked, key, offset);
                assert_eq!(masked, naive(&plain, key, offset), "{length} bytes at {offset}");
            }
        }
    }

    #[test]
    fn two_pieces_are_masked_as_the_whole() {
        let key = [1, 2, 4, 8];
        let mut whole = [0x55; 41];
        let mut pieces = whole;
        apply(&mut whole, key, 0);
        let (left, right) = pieces.split_at_mut(19);
        apply(left, key, 0);
        apply(right, key, 19);
        assert_eq!(whole, pieces);
    }

    #[test]
    fn the_example_of_the_rfc() {
        let mut hello = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply(&mut hello, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(&hello, b"Hello");
    }
}
