//! Orders to a reactor.

use crate::envelope::Frame;
use crate::id::{AppId, UserId};
use std::sync::Arc;
use std::time::Duration;

/// One order to a reactor.
#[derive(Clone, Debug)]
pub enum Mail {
    /// Write `frame` to the connection in `slot`, if it is still the one with this `serial`.
    Deliver {
        /// Index in the reactor's slab.
        slot: u32,
        /// Stamp of the connection meant.
        serial: u32,
        /// What to write.
        frame: Frame,
    },
    /// Write to every member of an app that this reactor owns.
    Fanout(Arc<Fanout>),
    /// The output budget is spent and this reactor has the largest backlog: give some back.
    Shed,
    /// Close everything in good order within this time, then end.
    Drain(Duration),
}

/// One message to a whole app; every reactor gets a pointer to the same one.
#[derive(Debug)]
pub struct Fanout {
    /// Whose members.
    pub app: AppId,
    /// The one user to leave out, by name; empty leaves out nobody.
    pub except: UserId,
    /// What to write.
    pub frame: Frame,
}
