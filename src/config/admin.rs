//! What operators may do.

use serde::{Deserialize, Serialize};

/// What operators may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// A trace shows what is in the frames, not only how long they are.
    pub trace_content: bool,
}
