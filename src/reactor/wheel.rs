//! The timing wheel that reaps the silent: hierarchical, intrusive, lazy.
//!
//! Six levels of 64 buckets (Varghese and Lauck, "Hashed and Hierarchical
//! Timing Wheels", 1987, scheme 7) over ticks of one second reach 136 years.
//! Links lie in the connections themselves, so the wheel costs nothing a
//! connection and neither filing nor removing allocates.
//!
//! A heartbeat does not touch the wheel. A slot that comes due is handed to
//! the caller, who looks at the deadline as it is *now* and either acts or
//! files the slot anew: so a busy connection is touched once per time-out,
//! and a slot that sinks from a higher level needs no stored deadline.

use std::ops::{Index, IndexMut};
use std::time::Duration;

/// A slot's place in the wheel; the default is nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    next: u32,
    /// The slot before this one, or `HEAD | bucket` for the first in a bucket,
    /// or `NONE` when not filed.
    prev: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { next: NONE, prev: NONE }
    }
}

/// Where the links lie: whatever finds the links of a slot by its number, which
/// is below 2³¹.
pub trait Slots: Index<u32, Output = Links> + IndexMut<u32> {}
impl<T: Index<u32, Output = Links> + IndexMut<u32>> Slots for T {}

/// The wheel itself: heads of lists, and which of them are not empty.
///
/// It goes with one collection of [`Slots`], which every call is given.
#[derive(Debug)]
pub struct Wheel {
    heads: [[u32; BUCKETS as usize]; LEVELS as usize],
    occupied: [u64; LEVELS as usize],
    /// The first tick whose buckets may not be empty.
    cursor: u32,
}

/// Six digits of base 64 hold every tick of 32 bits.
const LEVELS: u32 = 6;
const BITS: u32 = 6;
const BUCKETS: u32 = 1 << BITS;
const NONE: u32 = u32::MAX;
const HEAD: u32 = 1 << 31;

impl Wheel {
    /// An empty wheel that stands at tick `now`.
    #[must_use]
    pub fn new(now: u32) -> Self {
        Self {
            heads: [[NONE; BUCKETS as usize]; LEVELS as usize],
            occupied: [0; LEVELS as usize],
            cursor: now,
        }
    }

    /// Files `slot` so that it is handed out at tick `due` or before it; a tick
    /// that has passed means the next one. It must not be filed already.
    pub fn insert(&mut self, slots: &mut impl Slots, slot: u32, due: u32) {
        debug_assert!(slots[slot].prev == NONE, "filed twice");
        let (level, bucket) = self.place(due);
        let head = &mut self.heads[level as usize][bucket as usize];
        let next = std::mem::replace(head, slot);
        if next != NONE {
            slots[next].prev = slot;
        }
        slots[slot] = Links { next, prev: HEAD | level << BITS | bucket };
        self.occupied[level as usize] |= 1 << bucket;
    }

    /// Takes `slot` out, if it is filed.
    pub fn remove(&mut self, slots: &mut impl Slots, slot: u32) {
        let Links { next, prev } = std::mem::take(&mut slots[slot]);
        if prev == NONE {
            return;
        }
        if next != NONE {
            slots[next].prev = prev;
        }
        if prev & HEAD == 0 {
            slots[prev].next = next;
            return;
        }
        let (level, bucket) = ((prev & !HEAD) >> BITS, prev & (BUCKETS - 1));
        self.heads[level as usize][bucket as usize] = next;
        if next == NONE {
            self.occupied[level as usize] &= !(1 << bucket);
        }
    }

    /// The next slot to look at, taken out of the wheel; `None` when there is
    /// nothing left up to tick `now`. Every slot filed for a tick up to `now`
    /// is handed out, and some that merely sink to a lower level.
    pub fn pop(&mut self, slots: &mut impl Slots, now: u32) -> Option<u32> {
        loop {
            self.cursor = self.next_tick().filter(|tick| *tick <= now)?;
            for level in (0..LEVELS).rev() {
                let aligned = self.cursor.trailing_zeros() >= level * BITS;
                let slot = self.heads[level as usize][self.digit(level) as usize];
                if aligned && slot != NONE {
                    self.remove(slots, slot);
                    return Some(slot);
                }
            }
            self.cursor += 1;
        }
    }

    /// Lets the cursor follow the time, when all that was due has been popped.
    pub fn pass(&mut self, now: u32) {
        let limit = self.next_tick().unwrap_or(u32::MAX);
        self.cursor = self.cursor.max(now.saturating_add(1).min(limit));
    }

    /// How long ago [`Wheel::pop`] should have looked at something; zero if there is nothing due.
    pub(super) fn lag(&self, now: Duration) -> Duration {
        let due = self.next_tick().map(|tick| Duration::from_secs(tick.into()));
        due.map_or(Duration::ZERO, |due| now.saturating_sub(due))
    }

    /// The next tick at which [`Wheel::pop`] has something to look at.
    #[must_use]
    pub fn next_tick(&self) -> Option<u32> {
        let of_level = |level: u32| {
            let shift = level * BITS;
            // Of the bucket that the cursor is in, a higher level is only
            // looked at on its first tick.
            let inside = self.cursor & ((1 << shift) - 1) != 0;
            let first = self.digit(level) + u32::from(inside);
            let ahead = self.occupied[level as usize].checked_shr(first).unwrap_or(0);
            let bucket = (ahead != 0).then(|| first + ahead.trailing_zeros())?;
            let base = self.cursor.checked_shr(shift + BITS).unwrap_or(0);
            Some((base << BITS | bucket) << shift)
        };
        // A higher level may be the first: when the cursor stands where one
        // of its buckets has just come up and has not been emptied yet.
        (0..LEVELS).filter_map(of_level).min()
    }

    /// Level and bucket of a tick: the level is where its digits (base 64)
    /// first differ from the cursor's.
    fn place(&self, due: u32) -> (u32, u32) {
        let due = due.max(self.cursor);
        let level = (u32::BITS - 1).saturating_sub((due ^ self.cursor | 1).leading_zeros()) / BITS;
        (level, due >> (level * BITS) & (BUCKETS - 1))
    }

    fn digit(&self, level: u32) -> u32 {
        self.cursor >> (level * BITS) & (BUCKETS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Line(Vec<Links>);

    impl Index<u32> for Line {
        type Output = Links;
        fn index(&self, slot: u32) -> &Links {
            &self.0[slot as usize]
        }
    }

    impl IndexMut<u32> for Line {
        fn index_mut(&mut self, slot: u32) -> &mut Links {
            &mut self.0[slot as usize]
        }
    }

    /// xorshift64*: steps that anybody can repeat.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, below: u32) -> u32 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let high = (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32;
            ((u64::from(high) * u64::from(below)) >> 32) as u32
        }
    }

    /// Pops until nothing is left, refiling what is early, and returns who was due.
    fn reap(wheel: &mut Wheel, line: &mut Line, due: &BTreeMap<u32, u32>, now: u32) -> Vec<u32> {
        let mut reaped = Vec::new();
        while let Some(slot) = wheel.pop(line, now) {
            if due[&slot] <= now {
                reaped.push(slot);
            } else {
                wheel.insert(line, slot, due[&slot]);
            }
        }
        wheel.pass(now);
        reaped.sort_unstable();
        reaped
    }

    /// The twin keeps a map of deadlines and looks at all of them each time.
    #[test]
    fn the_wheel_agrees_with_a_naive_twin_over_millions_of_steps() {
        const SLOTS: u32 = 300;
        const STEPS: u32 = 3_000_000;
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        let mut line = Line(vec![Links::default(); SLOTS as usize]);
        let mut now = 1_000;
        let mut wheel = Wheel::new(now);
        let mut due: BTreeMap<u32, u32> = BTreeMap::new();
        let (mut reaped, mut longest) = (0_u64, 0);
        for _ in 0..STEPS {
            let slot = dice.roll(SLOTS);
            match dice.roll(100) {
                0..45 => {
                    let reach = [3, 70, 400, 5_000, 300_000, 20_000_000][dice.roll(6) as usize];
                    let at = now + 1 + dice.roll(reach);
                    let filed_earlier = due.get(&slot).is_some_and(|filed| *filed <= at);
                    due.insert(slot, at);
                    // Later deadlines are left to the lazy wheel, half of the time.
                    if !filed_earlier || dice.roll(2) == 0 {
                        wheel.remove(&mut line, slot);
                        wheel.insert(&mut line, slot, at);
                    }
                }
                45..70 => {
                    due.remove(&slot);
                    wheel.remove(&mut line, slot);
                }
                turn => {
                    now += if turn < 99 { dice.roll(4) } else { dice.roll(100_000) };
                    let popped = reap(&mut wheel, &mut line, &due, now);
                    let expected: Vec<u32> =
                        due.iter().filter(|(_, at)| **at <= now).map(|(slot, _)| *slot).collect();
                    assert_eq!(popped, expected, "at tick {now}");
                    for slot in popped {
                        longest = longest.max(due.remove(&slot).unwrap());
                        reaped += 1;
                    }
                    let next = due.values().min();
                    assert!(wheel.next_tick() <= next.copied().or(Some(u32::MAX)));
                    assert_eq!(wheel.next_tick().is_some(), next.is_some());
                }
            }
        }
        assert!(reaped > 100_000 && longest > 1 << 24, "{reaped} {longest}");
    }

    #[test]
    fn an_empty_wheel_has_nothing_to_wake_for() {
        let mut wheel = Wheel::new(5);
        let mut line = Line(vec![Links::default(); 1]);
        assert_eq!(wheel.next_tick(), None);
        assert_eq!(wheel.pop(&mut line, 1_000_000), None);
        wheel.pass(1_000_000);
        wheel.insert(&mut line, 0, 1_000_300);
        assert_eq!(wheel.pop(&mut line, 1_000_100), None);
        assert_eq!(wheel.pop(&mut line, 1_000_300), Some(0));
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_once() {
        let mut wheel = Wheel::new(100);
        let mut line = Line(vec![Links::default(); 1]);
        wheel.insert(&mut line, 0, 3);
        assert_eq!(wheel.next_tick(), Some(100));
        assert_eq!(wheel.pop(&mut line, 100), Some(0));
    }

    #[test]
    fn lag_is_told_before_what_is_due_is_taken_out() {
        let at = Duration::from_millis;
        let mut wheel = Wheel::new(100);
        let mut line = Line(vec![Links::default(); 2]);
        assert_eq!(wheel.lag(at(900_000)), Duration::ZERO, "nothing is filed");
        wheel.insert(&mut line, 0, 102);
        wheel.insert(&mut line, 1, 103);
        assert_eq!(wheel.lag(at(101_999)), Duration::ZERO, "nothing is due");
        assert_eq!(wheel.lag(at(102_007)), at(7));
        assert_eq!(wheel.pop(&mut line, 102), Some(0));
        assert_eq!(wheel.pop(&mut line, 102), None);
        assert_eq!(wheel.lag(at(102_007)), Duration::ZERO);
        assert_eq!(wheel.lag(at(104_500)), at(1_500), "the oldest counts");
    }
}
