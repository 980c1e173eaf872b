//! `ping`: is anybody there? Needs no login.

use super::{Done, Effect};

pub(super) fn apply() -> Done {
    Done { data: "\"pong\"", effect: Effect::None }
}
