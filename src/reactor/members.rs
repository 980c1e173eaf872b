//! The members of one app in one reactor, and how far a broadcast has come among them.

/// Slots of the logged-in connections of an app, in three zones:
///
/// ```text
/// 0 ──── reached ──── cursor ──── waiting ──── end ──── newcomers ──── len
/// ```
///
/// A pass (wave) takes a bounded number of steps per turn, and members come
/// and go between its steps. Removal fills its hole from the end of the same
/// zone, and so on up, so that everybody who was here when the wave began and
/// still is gets it exactly once, and nobody else does: at constant cost.
#[derive(Debug, Default)]
pub(super) struct Members {
    slots: Vec<u32>,
    cursor: usize,
    end: usize,
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds a member; returns its position.
    pub(super) fn push(&mut self, slot: u32) -> u32 {
        self.slots.push(slot);
        position(self.slots.len() - 1)
    }

    /// Removes the member at `at`, telling `moved(slot, new position)` of
    /// every other that changed its place (three at most).
    pub(super) fn remove(&mut self, at: u32, mut moved: impl FnMut(u32, u32)) {
        let mut hole = at as usize;
        let mut fill = |slots: &mut Vec<u32>, hole: &mut usize, from: usize| {
            if from != *hole {
                slots[*hole] = slots[from];
                moved(slots[*hole], position(*hole));
            }
            *hole = from;
        };
        if hole < self.cursor {
            self.cursor -= 1;
            fill(&mut self.slots, &mut hole, self.cursor);
        }
        if hole < self.end {
            self.end -= 1;
            fill(&mut self.slots, &mut hole, self.end);
        }
        let last = self.slots.len() - 1;
        fill(&mut self.slots, &mut hole, last);
        self.slots.pop();
        // Doubling leaves half of a large list unused for good; give back what
        // a room that has shrunk will not soon need.
        if self.slots.capacity() > 1_024 && self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }

    /// Begins a wave over all who are members now.
    pub(super) fn begin_wave(&mut self) {
        self.cursor = 0;
        self.end = self.slots.len();
    }

    /// The next member of the wave.
    pub(super) fn step(&mut self) -> Option<u32> {
        if self.cursor == self.end {
            return None;
        }
        self.cursor += 1;
        Some(self.slots[self.cursor - 1])
    }
}

fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[derive(Clone, Debug)]
    enum Step {
        Join(u32),
        Leave(u32),
        Begin,
        Reach,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..40_u32).prop_map(Step::Join),
            3 => (0..40_u32).prop_map(Step::Leave),
            1 => Just(Step::Begin),
            6 => Just(Step::Reach),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        /// The twin knows the wave's audience as a set.
        #[test]
        fn a_wave_reaches_exactly_those_who_were_here_and_stayed(steps in steps()) {
            let mut members = Members::default();
            let mut positions: BTreeMap<u32, u32> = BTreeMap::new();
            let mut waiting: BTreeSet<u32> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Join(slot) if !positions.contains_key(&slot) => {
                        positions.insert(slot, members.push(slot));
                    }
                    Step::Leave(slot) => {
                        if let Some(at) = positions.remove(&slot) {
                            waiting.remove(&slot);
                            members.remove(at, |slot, to| {
                                positions.insert(slot, to);
                            });
                        }
                    }
                    Step::Begin if waiting.is_empty() => {
                        members.begin_wave();
                        waiting = positions.keys().copied().collect();
                    }
                    Step::Reach => match members.step() {
                        Some(slot) => prop_assert!(waiting.remove(&slot), "{slot} again"),
                        None => prop_assert!(waiting.is_empty(), "{waiting:?} left out"),
                    },
                    Step::Join(_) | Step::Begin => {}
                }
                for (slot, at) in &positions {
                    prop_assert_eq!(members.slots[*at as usize], *slot);
                }
                prop_assert_eq!(members.slots.len(), positions.len());
            }
        }
    }
}
