//! Which connections are read from in a turn, in which order, and for how long.
//!
//! Clients that send little are read from first, with the bytes that they send in a moment.
//! Whoever sends more than one read may take waits in a queue of its own, which has a share of
//! each turn. So a client that floods waits for other clients that flood, and nobody else does.

use crate::limits::{
    GREEDY_READ_BYTES, LIGHT_READ_BYTES, READING_GREEDY_US_PER_TURN, READING_US_PER_TURN,
    RECEIVE_BUFFER_BYTES,
};
use std::collections::VecDeque;
use std::time::Duration;

/// A connection: its slot and its serial.
pub(super) type Member = (u32, u32);

/// What a connection waits for. Each connection waits in one queue at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Its news came when the time of the turn was spent.
    Fresh,
    /// Its last read took as many bytes as one read may.
    Greedy,
    /// Its TLS handshake costs more than this turn has left for such work.
    Shaking,
}

/// The connections that have, or may have, unread input that no event will announce again,
/// and the time that this turn has spent on reading.
#[derive(Debug, Default)]
pub(super) struct Reading {
    fresh: VecDeque<Member>,
    greedy: VecDeque<Member>,
    shaking: VecDeque<Member>,
    /// When reading began in this turn, and how long it has taken so far.
    began: Duration,
    spent: Duration,
    /// It is the greedy connections' share of the turn.
    is_for_greedy: bool,
    /// Bytes and connections since the clock was read.
    unmeasured_bytes: usize,
    unmeasured_reads: u32,
}

/// The clock is read after so many bytes, or so many connections.
const MEASURED_BYTES: usize = 4_096;
const MEASURED_READS: u32 = 16;

/// A greedy connection may fill the whole buffer while so few of them wait.
const GREEDY_FEW: usize = 4;

impl Reading {
    /// A turn begins at the time `now`.
    pub(super) fn begin_turn(&mut self, now: Duration) {
        self.began = now;
        self.spent = Duration::ZERO;
        self.is_for_greedy = false;
        self.unmeasured_bytes = 0;
        self.unmeasured_reads = 0;
    }

    /// Puts a connection at the end of a queue. It must not wait in any queue already.
    pub(super) fn push(&mut self, waits: Waits, member: Member) {
        self.queue(waits).push_back(member);
    }

    /// Takes the connection out that has waited longest.
    pub(super) fn pop(&mut self, waits: Waits) -> Option<Member> {
        self.queue(waits).pop_front()
    }

    /// How many wait in a queue.
    pub(super) fn len(&mut self, waits: Waits) -> usize {
        self.queue(waits).len()
    }

    /// Whether no connection waits.
    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.greedy.is_empty() && self.shaking.is_empty()
    }

    fn queue(&mut self, waits: Waits) -> &mut VecDeque<Member> {
        match waits {
            Waits::Fresh => &mut self.fresh,
            Waits::Greedy => &mut self.greedy,
            Waits::Shaking => &mut self.shaking,
        }
    }

    /// Counts a connection that was read from; true if [`Reading::measure`] is due.
    pub(super) fn note(&mut self, bytes: usize) -> bool {
        self.unmeasured_bytes += bytes;
        self.unmeasured_reads += 1;
        self.unmeasured_bytes >= MEASURED_BYTES || self.unmeasured_reads >= MEASURED_READS
    }

    /// Takes the time.
    pub(super) fn measure(&mut self, now: Duration) {
        self.spent = now.saturating_sub(self.began);
        self.unmeasured_bytes = 0;
        self.unmeasured_reads = 0;
    }

    /// Whether this turn has no more time for connections that are not greedy.
    pub(super) fn is_spent(&self) -> bool {
        self.spent >= Duration::from_micros(READING_US_PER_TURN)
    }

    /// The share of the turn that greedy connections have begins now; returns its end.
    pub(super) fn begin_greedy(&mut self) -> Duration {
        self.is_for_greedy = true;
        let share = self.spent + Duration::from_micros(READING_GREEDY_US_PER_TURN);
        share.max(Duration::from_micros(READING_US_PER_TURN))
    }

    /// Whether so much of the turn is spent.
    pub(super) fn has_spent(&self, time: Duration) -> bool {
        self.spent >= time
    }

    /// Whether reads are short, since other connections wait.
    pub(super) fn is_loaded(&self) -> bool {
        self.spent >= Duration::from_micros(READING_US_PER_TURN / 2)
            || self.greedy.len() > GREEDY_FEW
    }

    /// Bytes that one read may take.
    pub(super) fn bytes_max(&self) -> usize {
        match (self.is_loaded(), self.is_for_greedy) {
            (false, _) => RECEIVE_BUFFER_BYTES,
            (true, false) => LIGHT_READ_BYTES,
            (true, true) => GREEDY_READ_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_first_in_first_out_and_apart() {
        let mut reading = Reading::default();
        for (waits, slot) in [(Waits::Fresh, 1), (Waits::Greedy, 2), (Waits::Fresh, 3)] {
            reading.push(waits, (slot, 0));
        }
        assert_eq!(reading.pop(Waits::Fresh), Some((1, 0)));
        assert_eq!(reading.pop(Waits::Fresh), Some((3, 0)));
        assert_eq!(reading.pop(Waits::Fresh), None);
        assert!(!reading.is_empty());
        assert_eq!((reading.len(Waits::Greedy), reading.len(Waits::Shaking)), (1, 0));
        assert_eq!(reading.pop(Waits::Greedy), Some((2, 0)));
        assert!(reading.is_empty());
    }

    /// A client that sends 20 bytes now and then, among thousands that flood, is served within two
    /// turns; and those that flood have their share nevertheless.
    #[test]
    fn who_sends_little_does_not_wait_for_those_who_flood() {
        const FLOODERS: u32 = 2_500;
        // A microsecond for 30 bytes: a message of that size with its reply.
        let cost = |bytes: usize| Duration::from_micros(bytes as u64 / 30 + 3);
        let mut reading = Reading::default();
        let mut now = Duration::from_secs(1);
        for slot in 1..=FLOODERS {
            reading.push(Waits::Greedy, (slot, 0));
        }
        let (mut served, mut longest) = (0_u32, Duration::ZERO);
        for _ in 0..500 {
            let began = now;
            reading.begin_turn(now);
            // The honest one.
            now += cost(20);
            if reading.note(20) {
                reading.measure(now);
            }
            let until = reading.begin_greedy();
            for _ in 0..reading.len(Waits::Greedy) {
                if reading.has_spent(until) {
                    break;
                }
                let Some(member) = reading.pop(Waits::Greedy) else { break };
                let bytes = reading.bytes_max();
                now += cost(bytes);
                if reading.note(bytes) {
                    reading.measure(now);
                }
                served += 1;
                reading.push(Waits::Greedy, member);
            }
            longest = longest.max(now - began);
        }
        assert!(longest < Duration::from_millis(10), "a turn of {longest:?}");
        assert!(served > 2 * FLOODERS, "each of them has been served: {served}");
    }

    #[test]
    fn a_quiet_turn_reads_whole_buffers_and_a_loaded_one_little_at_once() {
        let mut reading = Reading::default();
        let start = Duration::from_secs(1);
        reading.begin_turn(start);
        assert_eq!(reading.bytes_max(), RECEIVE_BUFFER_BYTES);
        assert!(!reading.note(100) && reading.note(4_000), "the clock is read now and then");
        reading.measure(start + Duration::from_micros(READING_US_PER_TURN / 2));
        assert!(reading.is_loaded() && !reading.is_spent());
        assert_eq!(reading.bytes_max(), LIGHT_READ_BYTES);
        reading.measure(start + Duration::from_micros(READING_US_PER_TURN));
        assert!(reading.is_spent());
        let share = reading.begin_greedy();
        assert_eq!(reading.bytes_max(), GREEDY_READ_BYTES);
        assert!(!reading.has_spent(share), "greedy connections have a share of each turn");
        reading.begin_turn(start);
        assert!(!reading.is_spent() && !reading.is_loaded());
    }
}
