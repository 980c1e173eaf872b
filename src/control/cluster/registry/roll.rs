//! Who is alive, judged by what the registrations say: no I/O, no clock.

use super::super::redis::record::FRESH_SECONDS;
use crate::id::NodeAddr;
use crate::limits::NODES_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// What one look into Redis has found of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Unix seconds of its last registration.
    pub(super) stamp: u64,
    /// Id of the millgate node that was last there, and when it started if its
    /// lease lives; nodes of the reference have none.
    pub(super) lease: Option<(String, Option<u64>)>,
}

/// What a lease says: where the node is, and when it started.
pub(super) fn lease_text(address: &NodeAddr, start: u64) -> String {
    format!("{address} {start}")
}

/// When the node at `address` started, if this is its lease.
pub(super) fn lease_start(text: &[u8], address: &NodeAddr) -> Option<u64> {
    let (at, start) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    start.parse().ok().filter(|_| at == address.as_str())
}

/// Whether one of the `live` nodes is of the reference: it has no lease.
pub(super) fn has_reference(
    entries: &BTreeMap<NodeAddr, Entry>,
    live: &BTreeSet<NodeAddr>,
) -> bool {
    let has_lease = |entry: &Entry| matches!(entry.lease, Some((_, Some(_))));
    entries.iter().any(|(address, entry)| live.contains(address) && !has_lease(entry))
}

/// The roll of nodes.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// Millgate nodes whose lease has run out: their id, and the stamp that their
    /// address had then. A later stamp is that of somebody else.
    dead: BTreeMap<NodeAddr, (String, u64)>,
}

impl Roll {
    /// The live ones among these entries, at `now` by the clock of Redis.
    pub(super) fn call(
        &mut self,
        entries: &BTreeMap<NodeAddr, Entry>,
        now: u64,
    ) -> BTreeSet<NodeAddr> {
        self.dead.retain(|address, _| entries.contains_key(address));
        let live = entries.iter().filter(|(address, entry)| self.is_live(address, entry, now));
        live.map(|(address, _)| address.clone()).collect()
    }

    fn is_live(&mut self, address: &NodeAddr, entry: &Entry, now: u64) -> bool {
        let is_fresh = entry.stamp.saturating_add(FRESH_SECONDS) > now;
        match &entry.lease {
            None => is_fresh,
            Some((_, Some(_))) => {
                self.dead.remove(address);
                is_fresh
            }
            Some((id, None)) => {
                let died = self.dead.get(address).filter(|(dead, _)| dead == id);
                let Some((_, stamp)) = died else {
                    self.dead.insert(address.clone(), (id.clone(), entry.stamp));
                    return false;
                };
                is_fresh && entry.stamp != *stamp
            }
        }
    }
}

/// A hash of Redis; its fields need not be text.
pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What a read of both hashes comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Other nodes with a fresh stamp: address → (stamp, id).
    pub(super) candidates: BTreeMap<NodeAddr, (u64, Option<String>)>,
    /// Ids of nodes that have been silent for so long that nobody needs them: (field, id).
    pub(super) forgotten: Vec<(String, String)>,
}

/// Seconds of silence after which an id is forgotten: far longer than any outage
/// of Redis, after which a node would find its own id missing and write it again.
const FORGOTTEN_SECONDS: u64 = 7_200;

/// Reads the two hashes; what is no node, and this node, is left out.
pub(super) fn list(servers: Fields, nodes: Fields, here: &NodeAddr, now: u64) -> Listed {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
    let mut ids: BTreeMap<String, String> =
        nodes.into_iter().filter_map(|(field, id)| Some((text(field)?, text(id)?))).collect();
    ids.remove(here.as_str());
    let mut candidates = BTreeMap::new();
    for (field, stamp) in servers {
        let address = text(field).and_then(|field| NodeAddr::parse(&field));
        let stamp = text(stamp).and_then(|stamp| stamp.parse::<u64>().ok());
        let (Some(address), Some(stamp)) = (address, stamp) else { continue };
        if address == *here || stamp.saturating_add(FORGOTTEN_SECONDS) <= now {
            continue;
        }
        let id = ids.remove(address.as_str());
        // The bound is of live nodes: nobody removes the fields of nodes that are gone.
        if stamp.saturating_add(FRESH_SECONDS) > now && candidates.len() < NODES_MAX {
            candidates.insert(address, (stamp, id));
        }
    }
    Listed { candidates, forgotten: ids.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 10_000;

    fn address(text: &str) -> NodeAddr {
        NodeAddr::parse(text).unwrap()
    }

    fn is_live(roll: &mut Roll, stamp: u64, lease: Option<(&str, bool)>) -> bool {
        let lease = lease.map(|(id, lives)| (id.to_owned(), lives.then_some(1)));
        let entries = BTreeMap::from([(address("a:1"), Entry { stamp, lease })]);
        !roll.call(&entries, NOW).is_empty()
    }

    #[test]
    fn a_go_node_lives_for_three_minutes_after_its_stamp() {
        let mut roll = Roll::default();
        assert!(is_live(&mut roll, NOW - 179, None));
        assert!(!is_live(&mut roll, NOW - 180, None));
        assert!(is_live(&mut roll, NOW + 60, None), "a clock that is ahead");
        assert!(is_live(&mut roll, u64::MAX, None));
    }

    #[test]
    fn a_millgate_node_lives_as_long_as_its_lease() {
        let mut roll = Roll::default();
        assert!(is_live(&mut roll, NOW - 10, Some(("x", true))));
        assert!(!is_live(&mut roll, NOW - 10, Some(("x", false))));
        assert!(!is_live(&mut roll, NOW - 10, Some(("x", false))));
        assert!(is_live(&mut roll, NOW - 10, Some(("x", true))), "it was only slow");
        assert!(!is_live(&mut roll, NOW - 180, Some(("x", true))));
    }

    #[test]
    fn an_address_that_somebody_has_taken_over_lives_again() {
        let mut roll = Roll::default();
        assert!(!is_live(&mut roll, NOW - 10, Some(("x", false))));
        assert!(is_live(&mut roll, NOW - 1, Some(("x", false))), "a node of the reference");
        assert!(is_live(&mut roll, NOW - 1, Some(("x", false))));
        assert!(is_live(&mut roll, NOW - 10, Some(("y", true))), "the node, started again");
        assert!(!is_live(&mut roll, NOW - 1, Some(("y", false))));
    }

    #[test]
    fn a_lease_is_that_of_its_address_alone() {
        let text = lease_text(&address("a:1"), 77);
        assert_eq!(lease_start(text.as_bytes(), &address("a:1")), Some(77));
        assert_eq!(lease_start(text.as_bytes(), &address("a:2")), None);
        for odd in ["", "a:1", "a:1 ", "a:1 soon"] {
            assert_eq!(lease_start(odd.as_bytes(), &address("a:1")), None, "{odd}");
        }
    }

    #[test]
    fn odd_fields_old_stamps_and_this_node_are_left_out() {
        let pair = |field: &str, value: &str| (field.into(), value.into());
        let servers = vec![
            pair("a:1", "9990"),
            pair("b:2", "9991"),
            pair("here:1", "9999"),
            pair("old:1", "9820"),
            pair("ancient:1", "2800"),
            pair("no port", "9999"),
            pair("c:3", "soon"),
            pair("d:4", "-1"),
            (vec![0xff], vec![0xff]),
        ];
        let nodes = ["b:2", "here:1", "old:1", "ancient:1", "z:9"].map(|at| pair(at, "id"));
        let found = list(servers, nodes.to_vec(), &address("here:1"), NOW);
        let fresh = [(address("a:1"), (9990, None)), (address("b:2"), (9991, Some("id".into())))];
        assert_eq!(found.candidates, BTreeMap::from(fresh));
        assert_eq!(found.forgotten, ["ancient:1", "z:9"].map(|at| (at.into(), "id".into())));
    }

    #[test]
    fn fields_of_nodes_that_are_gone_take_no_places_of_live_ones() {
        let here = address("here:1");
        let gone = (0..NODES_MAX + 10).map(|n| (format!("gone-{n}:1").into(), "5000".into()));
        let live = ("live:1".into(), "9999".into());
        let ids = vec![("live:1".into(), "id".into())];
        let found = list(gone.chain([live]).collect(), ids, &here, NOW);
        let expected = (address("live:1"), (9_999, Some("id".to_owned())));
        assert_eq!(found.candidates, BTreeMap::from([expected]));
        assert_eq!(found.forgotten, []);
        let many = (0..NODES_MAX + 10).map(|n| (format!("live-{n}:1").into(), "9999".into()));
        assert_eq!(list(many.collect(), Vec::new(), &here, NOW).candidates.len(), NODES_MAX);
    }
}
