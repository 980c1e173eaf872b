//! Audit lines: who gave which order to this node, from where, and what became of it.
//!
//! They have a log target of their own, so that an operator keeps them when `log.level` hides
//! other lines: `warn,millgate::audit=info`.

/// The target of all audit lines.
pub(super) const TARGET: &str = "millgate::audit";
