//! The rooms of a node by app: more may come while it runs, none goes.
//!
//! Every message and every login looks one up, from all threads. So looking up
//! takes no lock and writes nothing; what is found stays where it is.

use super::directory::TooManyApps;
use crate::id::AppId;
use crate::limits::APPS_MAX;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Up to [`APPS_MAX`] rooms, numbered in the order in which they came.
#[derive(Debug)]
pub(super) struct Rooms<T> {
    rooms: Box<[OnceLock<T>]>,
    /// An open-addressed table from apps to numbers: app in the upper half, number
    /// in the lower; 0 is empty, since no app is 0. It is never more than half full.
    numbers: Box<[AtomicU64]>,
    /// Who adds holds it; the number of rooms.
    len: Mutex<usize>,
}

/// A power of two.
const PLACES: usize = 2 * APPS_MAX;
const _: () = assert!(PLACES.is_power_of_two());

impl<T> Rooms<T> {
    pub(super) fn new() -> Self {
        Self {
            rooms: (0..APPS_MAX).map(|_| OnceLock::new()).collect(),
            numbers: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            len: Mutex::new(0),
        }
    }

    /// Adds those whose app has no room yet: all of them, or none.
    pub(super) fn add(&self, rooms: Vec<(AppId, T)>) -> Result<(), TooManyApps> {
        let mut len = self.len.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |(app, _): &(AppId, T)| app.0 != 0 && self.position(*app).is_none();
        let new: Vec<(AppId, T)> = rooms.into_iter().filter(is_new).collect();
        if *len + new.len() > APPS_MAX {
            return Err(TooManyApps);
        }
        for (app, room) in new {
            // The room first: whoever finds its number must find it.
            let _was_empty = self.rooms[*len].set(room);
            let entry = u64::from(app.0) << 32 | *len as u64;
            if let Some(place) = self.places(app).find(|place| place.load(Ordering::Relaxed) == 0) {
                place.store(entry, Ordering::Release);
            }
            *len += 1;
        }
        Ok(())
    }

    /// The number of an app's room.
    pub(super) fn position(&self, app: AppId) -> Option<usize> {
        let entries = self.places(app).map(|place| place.load(Ordering::Acquire));
        let found = entries
            .take_while(|entry| *entry != 0)
            .find(|entry| entry >> 32 == u64::from(app.0))?;
        usize::try_from(found & u64::from(u32::MAX)).ok()
    }

    pub(super) fn get(&self, app: AppId) -> Option<&T> {
        self.rooms.get(self.position(app)?)?.get()
    }

    pub(super) fn len(&self) -> usize {
        *self.len.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rooms.iter().map_while(OnceLock::get)
    }

    /// Where an app may stand, in the order of the search. Neighbours in number,
    /// which apps often are, get places of their own: the multiplier is odd.
    fn places(&self, app: AppId) -> impl Iterator<Item = &AtomicU64> {
        let first = app.0.wrapping_mul(0x9E37_79B1) as usize;
        (0..PLACES).map(move |step| &self.numbers[(first + step) % PLACES])
    }
}
