//! Whether new clients are let in.

use std::sync::atomic::{AtomicBool, Ordering};

/// Says so to all reactors. It is closed while memory is short, so that those
/// who are connected stay so.
#[derive(Debug, Default)]
pub struct Admission {
    is_closed: AtomicBool,
}

impl Admission {
    /// Closes or opens it.
    pub fn close(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::Relaxed);
    }

    /// Whether nobody new is let in now.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}
