//! The timing wheel with a million connections in it.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on may panic")]

#[macro_use]
mod settings;

use criterion::{Criterion, Throughput};
use millgate::reactor::wheel::{Links, Wheel};
use std::ops::{Index, IndexMut};

const SLOTS: u32 = 1_000_000;
/// The default of `heartbeat.idle_timeout`, in ticks of a second.
const IDLE_TICKS: u32 = 360;

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

/// A wheel at tick 0 whose slots come due evenly over one idle time-out.
fn filled() -> (Wheel, Line, Vec<u32>) {
    let (mut wheel, mut line) = (Wheel::new(0), Line(vec![Links::default(); SLOTS as usize]));
    let due: Vec<u32> = (0..SLOTS).map(|slot| 1 + slot % IDLE_TICKS).collect();
    for slot in 0..SLOTS {
        wheel.insert(&mut line, slot, due[slot as usize]);
    }
    (wheel, line, due)
}

fn wheel(c: &mut Criterion) {
    let mut group = c.benchmark_group("wheel");
    group.throughput(Throughput::Elements(1));
    group.bench_function("remove and insert, slots at random", |b| {
        let (mut wheel, mut line, due) = filled();
        let mut slot = 0;
        b.iter(|| {
            // A step that shares no factor with the count visits every slot.
            slot = (slot + 618_033) % SLOTS;
            wheel.remove(&mut line, slot);
            wheel.insert(&mut line, slot, due[slot as usize]);
        });
    });
    group.throughput(Throughput::Elements(u64::from(SLOTS / IDLE_TICKS)));
    group.bench_function("a second: pop who is due, file them anew", |b| {
        let (mut wheel, mut line, mut due) = filled();
        let mut now = 0;
        b.iter(|| {
            now += 1;
            while let Some(slot) = wheel.pop(&mut line, now) {
                let due = &mut due[slot as usize];
                if *due <= now {
                    *due = now + IDLE_TICKS;
                }
                wheel.insert(&mut line, slot, *due);
            }
            wheel.pass(now);
        });
    });
    group.finish();
}

bench!(wheel);
