//! Where a part of a list ends and the next one begins.

use crate::id::NodeAddr;
use std::fmt;

/// A position in the list of a node; outside `00c0ffee00c0ffee`, and with
/// `@ip:port` behind it on another node than the one that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) at: u64,
    /// `None` is the node that is asked.
    pub(super) node: Option<NodeAddr>,
}

impl Cursor {
    /// Reads what an earlier answer said; `None` if it is nothing of the kind.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (at, node) = match text.split_once('@') {
            Some((at, node)) => (at, Some(NodeAddr::parse(node)?)),
            None => (text, None),
        };
        let is_ours = at.len() == 16 && at.bytes().all(|byte| byte.is_ascii_hexdigit());
        let at = is_ours.then(|| u64::from_str_radix(at, 16).ok())??;
        Some(Self { at, node })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.at)?;
        self.node.as_ref().map_or(Ok(()), |node| write!(f, "@{node}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["0000000000000000", "00c0ffee00c0ffee", "ffffffffffffffff@10.0.0.1:9001"] {
            assert_eq!(Cursor::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "0", "0000000000000000@", "0000000000000000@here", "@10.0.0.1:9001"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
        let long = format!("0000000000000000@{}:9001", "a".repeat(255));
        assert_eq!(Cursor::parse(&long), None);
    }
}
