//! The mailbox's wake flag under the interleavings of two senders and its
//! owner, and under every order in which weak memory may show their writes.
//!
//! `src/link/awake.rs` is compiled here as it is, over loom's atomics.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::duplicate_mod, reason = "the same lines are tried over two kinds of atomics")]
#![allow(dead_code, reason = "not every model uses all of the flag")]

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

#[path = "../src/link/awake.rs"]
mod awake;
#[path = "loom/weak.rs"]
mod weak;

/// What `src/link/mod.rs` takes from the standard library.
mod sync {
    pub(crate) use loom::sync::atomic::{AtomicBool, Ordering};
}

const SENDERS: usize = 2;

/// How often a thread may be interrupted between two of its steps: four take
/// a second, and `LOOM_MAX_PREEMPTIONS=6` half a minute. Faults of this kind show with two.
const PREEMPTIONS_MAX: usize = 4;

/// The flag, as the real one or a weaker copy of it.
trait Flag: Send + Sync + 'static {
    fn awake() -> Self;
    fn rouse(&self) -> bool;
    fn doze(&self);
    fn rise(&self);
}

macro_rules! flag {
    ($type:ty) => {
        impl Flag for $type {
            fn awake() -> Self {
                Self::new()
            }
            fn rouse(&self) -> bool {
                self.rouse()
            }
            fn doze(&self) {
                self.doze();
            }
            fn rise(&self) {
                self.rise();
            }
        }
    };
}

flag!(awake::Awake);
flag!(weak::awake::Awake);

/// The weakest queue there can be: a bit for each sender, and nothing about it
/// orders anything. The flag alone has to make a message visible.
#[derive(Default)]
struct Bits(AtomicUsize);

/// A queue behind a lock, as an ordinary channel would be.
#[derive(Default)]
struct Locked(Mutex<usize>);

trait Queue: Default + Send + Sync + 'static {
    fn put(&self, sender: usize);
    /// Empties it and says how many there were.
    fn take(&self) -> usize;
    fn is_empty(&self) -> bool;
}

impl Queue for Bits {
    fn put(&self, sender: usize) {
        self.0.fetch_or(1 << sender, Ordering::Relaxed);
    }

    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed).count_ones() as usize
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Queue for Locked {
    fn put(&self, _: usize) {
        *self.0.lock().unwrap() += 1;
    }

    fn take(&self) -> usize {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn is_empty(&self) -> bool {
        *self.0.lock().unwrap() == 0
    }
}

/// An eventfd that is watched edge-triggered: a ring is told once, also when
/// it came before anybody waited.
#[derive(Default)]
struct Bell(AtomicBool);

impl Bell {
    fn ring(&self) {
        self.0.swap(true, Ordering::AcqRel);
    }

    /// `epoll_wait`: true if there was a ring, which is then used up.
    fn heard(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

struct Mailbox<F, Q> {
    flag: F,
    queue: Q,
    bell: Bell,
}

impl<F: Flag, Q: Queue> Mailbox<F, Q> {
    fn send(&self, sender: usize) {
        self.queue.put(sender);
        if self.flag.rouse() {
            self.bell.ring();
        }
    }

    /// The owner's turns until it falls asleep with no ring to wake it.
    ///
    /// A wait that a later ring ends needs no model of its own: it is the
    /// same as asking for the ring after it came, which is tried as well.
    fn work_until_asleep(&self, looks_once_more: bool, taken: &mut usize) {
        loop {
            self.flag.doze();
            if looks_once_more && !self.queue.is_empty() {
                self.flag.rise();
                // The poll that does not wait uses up a ring all the same.
                self.bell.heard();
            } else if !self.bell.heard() {
                return;
            }
            self.flag.rise();
            *taken += self.queue.take();
        }
    }
}

/// Two senders put in one message each while the owner works. When the senders
/// are done and the owner sleeps, either nothing waits or the bell has rung.
fn exchange<F: Flag, Q: Queue>(looks_once_more: bool) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS_MAX);
    builder.check(move || {
        let mailbox =
            Arc::new(Mailbox { flag: F::awake(), queue: Q::default(), bell: Bell::default() });
        let senders = [0, 1].map(|sender| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.send(sender))
        });
        let mut taken = 0;
        mailbox.work_until_asleep(looks_once_more, &mut taken);
        for sender in senders {
            sender.join().unwrap();
        }
        if taken < SENDERS {
            assert!(mailbox.bell.heard(), "a wake-up is lost");
            taken += mailbox.queue.take();
        }
        assert_eq!(taken, SENDERS);
    });
}

#[test]
fn no_wake_up_is_lost() {
    exchange::<awake::Awake, Locked>(true);
}

#[test]
fn the_flag_alone_makes_messages_visible() {
    exchange::<awake::Awake, Bits>(true);
}

#[test]
#[should_panic(expected = "a wake-up is lost")]
fn without_the_last_look_a_wake_up_is_lost() {
    exchange::<awake::Awake, Locked>(false);
}

#[test]
#[should_panic(expected = "a wake-up is lost")]
fn without_the_order_of_its_swaps_a_message_is_overlooked() {
    exchange::<weak::awake::Awake, Bits>(true);
}
