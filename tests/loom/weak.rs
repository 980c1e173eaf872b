//! The same lines over atomics that order nothing.

pub(crate) mod sync {
    pub(crate) use loom::sync::atomic::Ordering;

    /// Takes every ordering for the weakest.
    #[derive(Debug)]
    pub(crate) struct AtomicBool(loom::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> Self {
            Self(loom::sync::atomic::AtomicBool::new(value))
        }

        pub(crate) fn swap(&self, value: bool, _: Ordering) -> bool {
            self.0.swap(value, Ordering::Relaxed)
        }
    }
}

#[path = "../../src/link/awake.rs"]
pub(crate) mod awake;
