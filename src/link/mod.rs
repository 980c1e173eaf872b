//! All that passes between threads: orders to a reactor and its news, the boxes
//! they wait in, and the budgets and permits that all reactors share.

mod admission;
mod awake;
mod backlogs;
mod broadcast;
mod budget;
mod current;
mod drain;
mod event;
mod mail;
mod mailbox;
mod order;
mod permits;
mod rate;
mod sending;
mod subnets;
mod tap;
mod whom;

/// What [`awake`] is made of; the model checker gives it atomics of its own.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
}

pub use admission::{Admission, Shortage};
pub use backlogs::{Backlog, Backlogs};
pub use broadcast::{
    Asked, BroadcastRules, BroadcastSize, BroadcastState, Broadcasts, Place, Ticket,
};
pub use budget::Budget;
pub use current::Current;
pub use drain::{Drain, Plan, Progress, Share, Slot, Stage};
pub use event::{Event, News};
pub use mail::{Announcement, Change, ClientPage, Fanout, Mail};
pub use mailbox::{Mailbox, Post, Refused, mailbox, mailbox_with_reserve};
pub use order::{Order, Reloaded, Wish};
pub use permits::Permits;
pub use rate::{Rate, SharedRate};
pub use sending::{Outgoing, Sending, Waiting};
pub use subnets::{Crowded, Subnet, SubnetRules, Subnets};
pub use tap::{Happening, Line, Shown, Tap};
pub use whom::{Find, Kick, Trace, Whom};
