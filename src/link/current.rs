//! What may be exchanged while the node runs.

use std::sync::{Arc, Mutex, PoisonError};

/// A value that is replaced as a whole: who reads it has either the old one or
/// the new one, and keeps it as long as it likes.
#[derive(Debug)]
pub struct Current<T>(Mutex<Arc<T>>);

impl<T> Current<T> {
    /// The first value.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(Arc::new(value)))
    }

    /// The value of now. The lock is held for the copy of a pointer.
    pub fn get(&self) -> Arc<T> {
        // Nothing panics with the lock held.
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another value in its place.
    pub fn replace(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}
