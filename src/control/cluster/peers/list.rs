//! Who is on another node, a page at a time.

use super::connect::Way;
use super::letter::PeerError;
use super::peer::Peer;
use super::unary::{CALL_PATIENCE, error_of, timed, within};
use crate::control::proto::acc::GetUserListReq;
use crate::control::proto::relay::{ListPage, ListRequest};
use crate::id::AppId;
use crate::limits::{GRPC_LIST_NAMES_MAX, RELAY_LIST_PAGE_MAX};
use tonic::Streaming;

/// A piece of a peer's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct PeerPage {
    pub(in crate::control) users: Vec<String>,
    /// Where the list goes on behind this page; `None` if it ends here. To a
    /// node of gowebsocket it is a number of names, sorted.
    pub(in crate::control) next: Option<u64>,
    /// How many users the app has there.
    pub(in crate::control) members: u64,
}

/// A list that is being read.
#[derive(Debug)]
pub(in crate::control) struct Listing(Source);

#[derive(Debug)]
enum Source {
    Pages(Streaming<ListPage>),
    /// All names, which came at once; those up to `at` have been told, those behind `end` will not be.
    Names {
        names: Vec<String>,
        at: usize,
        end: usize,
    },
    Ended,
}

impl Listing {
    /// Begins at position `from`, for at most `limit` names; 0 for all.
    pub(super) async fn open(
        peer: &Peer,
        app: AppId,
        from: u64,
        limit: u64,
    ) -> Result<Self, PeerError> {
        let opened = tokio::time::timeout(CALL_PATIENCE, Self::ask(peer, app, from, limit));
        opened.await.unwrap_or(Err(PeerError::Late))
    }

    async fn ask(peer: &Peer, app: AppId, from: u64, limit: u64) -> Result<Self, PeerError> {
        let source = match peer.way().await? {
            Way::Relay(mut client) => {
                let request = timed(ListRequest { app: app.0, from, limit });
                let pages = client.list(request).await.map_err(|status| error_of(&status))?;
                Source::Pages(pages.into_inner())
            }
            Way::Acc(mut client) => {
                let request = timed(GetUserListReq { app_id: app.0 });
                let reply = client.get_user_list(request).await;
                let reply = reply.map_err(|status| error_of(&status))?.into_inner();
                if reply.ret_code != 200 {
                    return Err(PeerError::Refused);
                }
                Source::of_names(reply.user_id, from, limit)
            }
        };
        Ok(Self(source))
    }

    /// The next page, within a second; `None` behind the last. Nothing follows an error.
    pub(in crate::control) async fn next(&mut self) -> Option<Result<PeerPage, PeerError>> {
        let page = match &mut self.0 {
            Source::Pages(pages) => match within(pages.message()).await {
                Ok(page) => page.map(|page| Ok(PeerPage::from(page))),
                Err(status) => Some(Err(error_of(&status))),
            },
            Source::Names { names, at, end } => page_of(names, at, *end).map(Ok),
            Source::Ended => None,
        };
        if !matches!(page, Some(Ok(_))) {
            self.0 = Source::Ended;
        }
        page
    }
}

impl Source {
    fn of_names(mut names: Vec<String>, from: u64, limit: u64) -> Self {
        names.truncate(GRPC_LIST_NAMES_MAX);
        // Such a node lists in another order each time.
        names.sort_unstable();
        let at = usize::try_from(from).unwrap_or(usize::MAX).min(names.len());
        let limit =
            if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        let end = at.saturating_add(limit).min(names.len());
        Self::Names { names, at, end }
    }
}

fn page_of(names: &mut [String], at: &mut usize, end: usize) -> Option<PeerPage> {
    if *at >= end {
        return None;
    }
    let to = (*at + RELAY_LIST_PAGE_MAX).min(end);
    let users = names[*at..to].iter_mut().map(std::mem::take).collect();
    *at = to;
    let next = (to < names.len()).then_some(to as u64);
    Some(PeerPage { users, next, members: names.len() as u64 })
}

impl From<ListPage> for PeerPage {
    fn from(page: ListPage) -> Self {
        let ListPage { users, next, members } = page;
        Self { users, next: (next != 0).then_some(next), members }
    }
}
