//! The users of an app on all other nodes, one node after the other.

use super::answer::append_string;
use super::cursor::Cursor;
use crate::control::cluster::{Cluster, Listing, PeerError};
use crate::id::{AppId, NodeAddr, UserId};
use futures_util::future::join_all;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A walk over the other nodes.
pub(super) struct Others {
    cluster: Option<Arc<Cluster>>,
    app: AppId,
    /// Nodes that come after the one that is read, and where to begin there.
    ahead: VecDeque<Cursor>,
    reading: Option<Reading>,
    /// How many users each has, as far as it was asked.
    members: BTreeMap<NodeAddr, u64>,
    /// Nodes that gave no answer, or only a part of it.
    missing: Vec<NodeAddr>,
}

struct Reading {
    node: NodeAddr,
    listing: Listing,
    /// Where it goes on behind what was told.
    next: Option<u64>,
}

impl Others {
    /// From the first node on; without a cluster there is none.
    pub(super) fn new(cluster: Option<Arc<Cluster>>, app: AppId) -> Self {
        let nodes = cluster.iter().flat_map(|cluster| cluster.peers().addresses());
        let ahead = nodes.map(|node| Cursor { at: 0, node: Some(node) }).collect();
        let (members, missing) = (BTreeMap::new(), Vec::new());
        Self { cluster, app, ahead, reading: None, members, missing }
    }

    /// Asks all of them at once how many users they have.
    pub(super) async fn count_members(&mut self) -> usize {
        let Some(cluster) = &self.cluster else { return 0 };
        let nodes: Vec<NodeAddr> = self.ahead.iter().filter_map(|at| at.node.clone()).collect();
        let answers = join_all(nodes.iter().map(|node| members(cluster, node, self.app))).await;
        for (node, answer) in nodes.into_iter().zip(answers) {
            match answer {
                Ok(members) => {
                    self.members.insert(node, members);
                }
                Err(error) => self.miss(node, error),
            }
        }
        usize::try_from(self.members.values().sum::<u64>()).unwrap_or(usize::MAX)
    }

    /// Begins at this position of this node. If it has left, the nodes behind it follow.
    pub(super) fn skip_to(&mut self, node: NodeAddr, at: u64) {
        let wanted = Some(node);
        self.ahead.retain(|cursor| cursor.node >= wanted);
        match self.ahead.front_mut() {
            Some(first) if first.node == wanted => first.at = at,
            _ => self.missing.extend(wanted),
        }
    }

    /// The next names, `max` at most, which may be none; `None` at the end.
    pub(super) async fn next(&mut self, max: usize) -> Option<Vec<UserId>> {
        loop {
            let Some(reading) = &mut self.reading else {
                self.open(max).await?;
                continue;
            };
            match reading.listing.next().await {
                Some(Ok(page)) => {
                    reading.next = page.next;
                    return Some(page.users.into_iter().map(UserId::from).collect());
                }
                Some(Err(error)) => {
                    let node = reading.node.clone();
                    self.miss(node, error);
                    self.reading = None;
                }
                None => self.reading = None,
            }
        }
    }

    /// Begins to read the next node that answers; `None` if there is none.
    async fn open(&mut self, max: usize) -> Option<()> {
        let limit = if max == usize::MAX { 0 } else { max as u64 };
        let cluster = self.cluster.clone()?;
        while let Some(Cursor { at, node }) = self.ahead.pop_front() {
            let Some(node) = node else { continue };
            match cluster.peers().list(&node, self.app, at, limit).await {
                Ok(listing) => {
                    self.reading = Some(Reading { node, listing, next: None });
                    return Some(());
                }
                Err(error) => self.miss(node, error),
            }
        }
        None
    }

    /// Where the walk would go on, as far as is known.
    pub(super) fn rest(&self) -> Option<Cursor> {
        let reading = self.reading.as_ref();
        let here = reading.and_then(|reading| Some((reading.next?, reading.node.clone())));
        if let Some((at, node)) = here {
            return Some(Cursor { at, node: Some(node) });
        }
        let has_users = |cursor: &&Cursor| {
            cursor.node.as_ref().and_then(|node| self.members.get(node)).is_some_and(|n| *n > 0)
        };
        self.ahead.iter().find(has_users).cloned()
    }

    /// Names the nodes whose users are missing.
    pub(super) fn confess(&self, out: &mut Vec<u8>) {
        for (index, node) in self.missing.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b",\"partial\":[" } else { b"," });
            append_string(out, node.as_str());
        }
        if !self.missing.is_empty() {
            out.push(b']');
        }
    }

    /// Notes a node whose users are missing. At an address that refuses connections there are none:
    /// nodes of gowebsocket stay registered for minutes after their end.
    fn miss(&mut self, node: NodeAddr, error: PeerError) {
        if error != PeerError::Gone && !self.missing.contains(&node) {
            self.missing.push(node);
        }
    }
}

/// How many users of an app are on that node.
async fn members(cluster: &Cluster, node: &NodeAddr, app: AppId) -> Result<u64, PeerError> {
    let mut listing = cluster.peers().list(node, app, 0, 1).await?;
    listing.next().await.map_or(Ok(0), |page| Ok(page?.members))
}
