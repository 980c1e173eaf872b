//! `GET /user/list`: who is in a room, a piece at a time.

use super::Site;
use super::answer::{SUCCESS, append_string, failure, streamed};
use super::cursor::Cursor;
use super::form::{Fields, Query};
use super::others::Others;
use crate::command::Code;
use crate::control::cluster::Cluster;
use crate::hub::Directory;
use crate::id::{AppId, UserId};
use crate::limits::{HTTP_PIECE_BYTES, LIST_PAGE_MAX};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers with everybody in the room, on all nodes; with `limit`, `cursor` or
/// both, with a part of them and where the next part begins. Nodes that give no
/// answer are named in `partial`.
pub(super) async fn users(State(site): State<Arc<Site>>, Query(fields): Query) -> Response {
    let Some(wanted) = Wanted::read(&fields) else {
        return failure(Code::BadParameter, site.hub.language);
    };
    let turns = Arc::clone(&site.pieces);
    let listing = Listing::begin(&site.hub.directory, site.cluster.clone(), wanted, turns).await;
    streamed(stream::unfold(Some(listing), |listing| async {
        let mut listing = listing?;
        // A caller that reads faster than the list is made must not keep the thread.
        tokio::task::yield_now().await;
        let (piece, is_last) = listing.piece().await;
        Some((Ok::<_, Infallible>(Bytes::from(piece)), (!is_last).then_some(listing)))
    }))
}

/// What a caller asks for.
struct Wanted {
    app: AppId,
    from: Option<Cursor>,
    limit: Option<usize>,
}

impl Wanted {
    /// `None` when `limit` or `cursor` cannot be read.
    fn read(fields: &Fields) -> Option<Self> {
        let limit = match fields.find("limit") {
            Some(text) => Some(text.parse().ok().filter(|limit| *limit > 0)?),
            None => None,
        };
        let from = match fields.find("cursor") {
            Some(text) => Some(Cursor::parse(text)?),
            None => None,
        };
        Some(Self { app: fields.app(), from, limit })
    }
}

/// A list that is being written: this node's users first, then those of the
/// others, in the order of their addresses.
struct Listing {
    walk: Option<Walk>,
    others: Others,
    is_begun: bool,
    count: usize,
    /// How many names may still be told.
    left: usize,
    /// What is told as the number of users, where the list is only a part of them.
    members: Option<usize>,
    /// Where turns are taken: a piece of this node's users is work for a while, and many callers
    /// must not keep all threads with it.
    turns: Arc<Semaphore>,
}

impl Listing {
    async fn begin(
        directory: &Arc<Directory>,
        cluster: Option<Arc<Cluster>>,
        wanted: Wanted,
        turns: Arc<Semaphore>,
    ) -> Self {
        let Wanted { app, from, limit } = wanted;
        let left = limit.unwrap_or(usize::MAX);
        let is_part = limit.is_some() || from.is_some();
        let (at, node) = from.map_or((0, None), |cursor| (cursor.at, cursor.node));
        let mut others = Others::new(cluster, app);
        let elsewhere = if is_part { others.count_members().await } else { 0 };
        let walk = match node {
            None => Some(Walk::new(directory, app, at, left)),
            Some(node) => {
                others.skip_to(node, at);
                None
            }
        };
        let members = is_part.then(|| directory.members(app) + elsewhere);
        Self { walk, others, is_begun: false, count: 0, left, members, turns }
    }

    /// The next piece, and whether it is the last.
    async fn piece(&mut self) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        if !self.is_begun {
            self.is_begun = true;
            out.extend_from_slice(SUCCESS);
            out.extend_from_slice(b"{\"userList\":[");
        }
        let mut turn = None;
        while out.len() < HTTP_PIECE_BYTES {
            let Some(users) = self.names(&mut turn).await else {
                self.end(&mut out);
                return (out, true);
            };
            for user in users {
                if self.count > 0 {
                    out.push(b',');
                }
                append_string(&mut out, &user);
                self.count += 1;
            }
        }
        (out, false)
    }

    /// The next names, which may be none; `None` at the end.
    /// Those of this node take the `turn`, which is given back before another node is asked.
    async fn names(&mut self, turn: &mut Option<OwnedSemaphorePermit>) -> Option<Vec<UserId>> {
        if self.left == 0 {
            return None;
        }
        if self.walk.is_some() && turn.is_none() {
            // The semaphore is never closed.
            *turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        }
        let mut here = self.walk.as_mut().and_then(Walk::next);
        if here.is_none() {
            self.walk = None;
            *turn = None;
            here = self.others.next(self.left).await;
        }
        let users = here?;
        self.left -= users.len();
        Some(users)
    }

    fn end(&self, out: &mut Vec<u8>) {
        let count = self.members.unwrap_or(self.count);
        out.extend_from_slice(format!("],\"userCount\":{count}").as_bytes());
        let here = self.walk.as_ref().and_then(Walk::rest);
        let rest = here.map(|at| Cursor { at, node: None }).or_else(|| self.others.rest());
        if let Some(cursor) = rest {
            out.extend_from_slice(b",\"cursor\":");
            append_string(out, &cursor.to_string());
        }
        self.others.confess(out);
        out.extend_from_slice(b"}}");
    }
}

/// A walk over the users of one room, some at a time.
pub(super) struct Walk {
    directory: Arc<Directory>,
    app: AppId,
    at: Option<u64>,
    left: usize,
}

impl Walk {
    /// From position `from` on, over at most `max` users.
    pub(super) fn new(directory: &Arc<Directory>, app: AppId, from: u64, max: usize) -> Self {
        Self { directory: Arc::clone(directory), app, at: Some(from), left: max }
    }

    /// The next ones, which may be none; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Vec<UserId>> {
        let at = self.at.filter(|_| self.left > 0)?;
        let page = self.directory.page(self.app, at, self.left.min(LIST_PAGE_MAX));
        self.left -= page.users.len();
        self.at = page.next;
        Some(page.users)
    }

    /// Where the walk would go on, if there is anybody.
    fn rest(&self) -> Option<u64> {
        let mut at = self.at;
        while let Some(from) = at {
            let page = self.directory.page(self.app, from, 1);
            if !page.users.is_empty() {
                return Some(from);
            }
            at = page.next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ConnId;
    use crate::session::User;
    use futures_util::FutureExt;
    use serde_json::Value;
    use std::collections::HashSet;

    const APP: AppId = AppId(101);

    fn room(users: usize) -> Arc<Directory> {
        let directory = Directory::new(&[APP.0]);
        for n in 0..users {
            let conn = ConnId { reactor: 0, slot: 0, serial: 0 };
            directory.login(Arc::new(User::new(APP, format!("\"user\"-{n}").into(), conn)));
        }
        Arc::new(directory)
    }

    fn wanted(query: &str) -> Option<Wanted> {
        Wanted::read(&Fields::of_pairs(query.as_bytes()))
    }

    /// Reads a list to its end: its data, and the size of its largest piece.
    fn read(directory: &Arc<Directory>, query: &str) -> (Value, usize) {
        let wanted = wanted(query).unwrap();
        let mut listing = Listing::begin(directory, None, wanted, Arc::new(Semaphore::new(1)))
            .now_or_never()
            .unwrap();
        let (mut text, mut largest) = (Vec::new(), 0);
        loop {
            // Without other nodes nothing is waited for.
            let (piece, is_last) = listing.piece().now_or_never().unwrap();
            largest = largest.max(piece.len());
            text.extend(piece);
            if is_last {
                let answer: Value = serde_json::from_slice(&text).unwrap();
                assert_eq!((&answer["code"], &answer["msg"]), (&200.into(), &"Success".into()));
                return (answer["data"].clone(), largest);
            }
        }
    }

    fn names(data: &Value) -> HashSet<String> {
        let list = data["userList"].as_array().unwrap();
        let names: HashSet<_> = list.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        assert_eq!(names.len(), list.len(), "nobody twice");
        names
    }

    #[test]
    fn a_long_list_is_made_of_small_pieces() {
        let (data, largest) = read(&room(200_000), "appID=101");
        assert_eq!(data["userCount"], 200_000);
        assert_eq!(data.get("cursor"), None);
        let names = names(&data);
        assert!((0..200_000).all(|n| names.contains(&format!("\"user\"-{n}"))));
        assert!(largest < 2 * HTTP_PIECE_BYTES, "{largest}");
    }

    #[test]
    fn only_as_many_pieces_are_made_at_once_as_there_are_turns() {
        let directory = room(10_000);
        let turns = Arc::new(Semaphore::new(1));
        let begin = || {
            let wanted = wanted("appID=101").unwrap();
            Listing::begin(&directory, None, wanted, Arc::clone(&turns)).now_or_never().unwrap()
        };
        let (mut one, mut other) = (begin(), begin());
        let turn = turns.try_acquire().unwrap();
        assert!(one.piece().now_or_never().is_none(), "somebody has the turn");
        drop(turn);
        // The turn is for a piece, not for the whole list: a slow reader keeps nobody waiting.
        assert!(one.piece().now_or_never().is_some());
        assert!(other.piece().now_or_never().is_some());
        assert!(one.piece().now_or_never().is_some());
    }

    #[test]
    fn cursors_lead_through_the_whole_list() {
        let directory = room(10_000);
        for limit in [1_usize, 999, 5_000, 10_000, 20_000] {
            // With limit 1 the first steps say enough.
            let steps = if limit == 1 { 50 } else { usize::MAX };
            let (mut seen, mut query) = (HashSet::new(), format!("appID=101&limit={limit}"));
            for step in 1..=steps {
                let (data, _) = read(&directory, &query);
                assert_eq!(data["userCount"], 10_000);
                seen.extend(names(&data));
                assert_eq!(seen.len(), 10_000.min(step * limit), "each page is full");
                let Some(cursor) = data.get("cursor") else { break };
                query = format!("appID=101&limit={limit}&cursor={}", cursor.as_str().unwrap());
            }
            assert_eq!(seen.len(), 10_000.min(steps.saturating_mul(limit)));
        }
    }

    #[test]
    fn an_empty_room_and_no_room_are_empty_lists() {
        for query in ["appID=101", "appID=7", "", "appID=7&limit=10"] {
            let (data, _) = read(&room(0), query);
            assert_eq!(data, serde_json::json!({"userList": [], "userCount": 0}), "{query}");
        }
    }

    #[test]
    fn limits_and_cursors_are_read_strictly() {
        let bad = ["limit=", "limit=0", "limit=-1", "limit=x", "limit=1.5", "cursor=", "cursor=1"];
        let more = ["cursor=zzzzzzzzzzzzzzzz", "cursor=%2B00000000000000f", "limit=1&cursor=x"];
        for query in bad.into_iter().chain(more) {
            assert!(wanted(query).is_none(), "{query}");
        }
    }
}
