//! What only some connections have.

use super::flow::Flow;

/// The uncommon part of a connection, in a box of its own: an ordinary one
/// pays a pointer for it.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// What it has sent lately, where that is bounded.
    pub(super) flow: Flow,
}
