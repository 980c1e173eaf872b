//! Reads that continue behind bytes of earlier reads.

use super::{Connection, State};
use std::io::{self, Read};

/// What a read has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes of the buffer that are filled.
    pub filled: usize,
    /// So many of them were kept from earlier reads.
    pub kept: usize,
    /// So many of them are of a request head, and were looked at before.
    pub seen: usize,
}

impl Connection {
    /// Reads from `source` behind what earlier reads have left, as many bytes at most. What was
    /// left stays with the connection unless the read brings something.
    ///
    /// # Errors
    /// What `source` says; [`io::ErrorKind::UnexpectedEof`] when it has ended, and
    /// [`io::ErrorKind::OutOfMemory`] when what was left fills the buffer.
    pub fn receive(
        &mut self,
        source: &mut impl Read,
        buffer: &mut [u8],
        bytes_max: usize,
    ) -> io::Result<Received> {
        let is_wrapped = self.is_wrapped();
        let left: &[u8] = match (&self.state, &self.extra) {
            (_, Some(extra)) if is_wrapped => &extra.raw,
            (State::Handshake { head: Some(head) }, _) => head,
            _ => &[],
        };
        let kept = left.len();
        let room = buffer.len().min(kept.saturating_add(bytes_max));
        let filled = read_behind(left, source, &mut buffer[..room])?;
        if is_wrapped && let Some(extra) = &mut self.extra {
            extra.raw = Vec::new();
        }
        Ok(Received { filled, kept, seen: if is_wrapped { 0 } else { kept } })
    }
}

/// Copies `kept` to the beginning of `buffer` and reads from `source` behind it.
/// Returns how many bytes of the buffer are filled, `kept` included.
///
/// `kept` stays with its owner, who replaces it after a successful read only: a read
/// that would block, or fails, must leave it as it is.
///
/// # Errors
/// What `source` says; [`io::ErrorKind::UnexpectedEof`] when it has ended, and
/// [`io::ErrorKind::OutOfMemory`] when `kept` leaves no room in the buffer.
fn read_behind(kept: &[u8], source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let (front, room) =
        buffer.split_at_mut_checked(kept.len()).ok_or(io::ErrorKind::OutOfMemory)?;
    if room.is_empty() {
        // A read into nothing returns 0, which would look like the end of the stream.
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    front.copy_from_slice(kept);
    match source.read(room)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(kept.len() + read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// A socket: each entry is what it has when it is asked, an empty one is "would block".
    struct Script(VecDeque<Vec<u8>>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(next) = self.0.front_mut() else { return Ok(0) };
            if next.is_empty() {
                self.0.pop_front();
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let len = next.len().min(buffer.len());
            buffer[..len].copy_from_slice(&next[..len]);
            next.drain(..len);
            if next.is_empty() {
                self.0.pop_front();
            }
            Ok(len)
        }
    }

    /// A record: its length, and so many bytes.
    fn records(lens: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, len) in lens.iter().enumerate() {
            bytes.push(*len);
            bytes.extend((0..*len).map(|byte| byte ^ number as u8));
        }
        bytes
    }

    /// Takes whole records off the front; returns how many bytes they have.
    fn take_records(bytes: &[u8], taken: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while let Some(len) = bytes.get(used)
            && let Some(record) = bytes.get(used..=used + usize::from(*len))
        {
            taken.extend_from_slice(record);
            used += record.len();
        }
        used
    }

    proptest! {
        /// Records that are cut anywhere arrive whole and in order, whatever pauses and
        /// blocked reads come between their pieces, and also where a read fills the
        /// buffer to its last byte.
        #[test]
        fn no_order_of_events_loses_a_byte(
            lens in prop::collection::vec(any::<u8>(), 1..40),
            cuts in prop::collection::vec((1_usize..400, 0_usize..3), 1..60),
            buffer_bytes in 257_usize..600,
        ) {
            let sent = records(&lens);
            let mut rest = sent.as_slice();
            let mut script = VecDeque::new();
            for (len, blocks) in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*len).min(rest.len()));
                script.push_back(piece.to_vec());
                script.extend(std::iter::repeat_n(Vec::new(), *blocks));
                rest = after;
            }
            let mut socket = Script(script);
            let mut buffer = vec![0; buffer_bytes];
            let (mut kept, mut taken) = (Vec::new(), Vec::new());
            loop {
                match read_behind(&kept, &mut socket, &mut buffer) {
                    Ok(filled) => {
                        let used = take_records(&buffer[..filled], &mut taken);
                        kept = buffer[used..filled].to_vec();
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        // Another connection is served meanwhile, in the same buffer.
                        buffer.fill(0xee);
                    }
                    Err(error) => {
                        prop_assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                        break;
                    }
                }
            }
            prop_assert!(kept.is_empty());
            prop_assert_eq!(taken, sent);
        }
    }

    #[test]
    fn a_full_buffer_is_no_end_of_the_stream() {
        let mut socket = Script(VecDeque::from([vec![1]]));
        for kept in [[7; 4].as_slice(), &[7; 5]] {
            let refused = read_behind(kept, &mut socket, &mut [0; 4]).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
        }
        assert_eq!(socket.0.len(), 1, "nothing was read");
    }
}
