//! What nodes of millgate ask each other: messages in batches, lists in pages.

use super::local::Local;
use crate::control::orders::kick_of;
use crate::control::proto::relay::item::Kind;
use crate::control::proto::relay::relay_server::Relay;
use crate::control::proto::relay::{
    Batch, HoldsReply, HoldsRequest, Item, KickReply, KickRequest, ListPage, ListRequest, Outcome,
    Receipt,
};
use crate::control::push::personal;
use crate::envelope::Envelope;
use crate::hub::{Delivered, Orders};
use crate::id::AppId;
use crate::limits::{RELAY_BATCH_ITEMS_MAX, RELAY_LIST_PAGE_MAX};
use crate::link::Refused;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tonic::{Request, Response, Status, Streaming};

/// `Relay` over the own connections.
pub(super) struct Calls {
    local: Arc<Local>,
    ended: watch::Receiver<bool>,
    callers: Arc<Notify>,
}

impl Calls {
    /// `callers` is rung for each stream that another node opens.
    pub(super) fn new(
        local: Arc<Local>,
        ended: watch::Receiver<bool>,
        callers: Arc<Notify>,
    ) -> Self {
        Self { local, ended, callers }
    }
}

#[tonic::async_trait]
impl Relay for Calls {
    type CarryStream = BoxStream<'static, Result<Receipt, Status>>;
    type ListStream = BoxStream<'static, Result<ListPage, Status>>;

    async fn carry(
        &self,
        request: Request<Streaming<Batch>>,
    ) -> Result<Response<Self::CarryStream>, Status> {
        self.callers.notify_one();
        let (local, ended) = (Arc::clone(&self.local), self.ended.clone());
        let arriving = Arriving { batches: request.into_inner(), local, ended };
        Ok(Response::new(stream::unfold(Some(arriving), Arriving::step).boxed()))
    }

    async fn list(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let ListRequest { app, from, limit } = request.into_inner();
        let left =
            if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        let walk = Walk { local: Arc::clone(&self.local), app: AppId(app), at: from, left };
        let pages = stream::unfold(Some(walk), |walk| async {
            let mut walk = walk?;
            // A caller that reads faster than the list is made must not keep the thread.
            tokio::task::yield_now().await;
            let page = walk.page();
            let goes_on = page.next != 0 && walk.left > 0;
            Some((Ok(page), goes_on.then_some(walk)))
        });
        Ok(Response::new(pages.boxed()))
    }

    async fn holds(&self, request: Request<HoldsRequest>) -> Result<Response<HoldsReply>, Status> {
        let HoldsRequest { app, user } = request.into_inner();
        let since = self.local.held_since(AppId(app), &user);
        Ok(Response::new(HoldsReply { holds: since.is_some(), since_ms: since.unwrap_or(0) }))
    }

    async fn kick(&self, request: Request<KickRequest>) -> Result<Response<KickReply>, Status> {
        let kick = kick_of(request.into_inner());
        let kick = kick.ok_or_else(|| Status::invalid_argument("nobody is meant"))?;
        let Orders { taken, refused } = self.local.kick(kick);
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Response::new(KickReply { taken: number(taken), refused: number(refused) }))
    }
}

/// A stream of batches that is being read. The next batch is only taken when
/// the receipt of the last has left: a caller who does not read is not read from.
struct Arriving {
    batches: Streaming<Batch>,
    local: Arc<Local>,
    ended: watch::Receiver<bool>,
}

impl Arriving {
    async fn step(this: Option<Self>) -> Option<(Result<Receipt, Status>, Option<Self>)> {
        let mut this = this?;
        let batch = tokio::select! {
            // What has come is answered, also at the end.
            biased;
            batch = this.batches.message() => batch,
            () = super::end(&mut this.ended) => return None,
        };
        match batch.transpose()?.and_then(|batch| this.receive(&batch)) {
            Ok(receipt) => {
                // Other calls get their turn however fast batches come.
                tokio::task::consume_budget().await;
                Some((Ok(receipt), Some(this)))
            }
            Err(status) => Some((Err(status), None)),
        }
    }

    fn receive(&self, batch: &Batch) -> Result<Receipt, Status> {
        if batch.items.len() > RELAY_BATCH_ITEMS_MAX {
            return Err(Status::invalid_argument("too many items in a batch"));
        }
        let outcomes = batch.items.iter().map(|item| self.take(item).into()).collect();
        let is_canary = |item: &Item| matches!(item.kind, Some(Kind::Canary(_)));
        let standing = batch.items.iter().any(is_canary).then(|| self.local.standing());
        Ok(Receipt { number: batch.number, outcomes, standing })
    }

    fn take(&self, item: &Item) -> Outcome {
        let result = match &item.kind {
            Some(Kind::Deliver(item)) => {
                let push = Envelope {
                    seq: &item.seq,
                    cmd: &item.cmd,
                    msg: &item.msg,
                    ..Envelope::default()
                };
                let push = personal(&item.user, &item.from, push);
                self.local.deliver(AppId(item.app), &item.user, &push).map(|delivered| {
                    match delivered {
                        Delivered::Sent => Outcome::Done,
                        Delivered::Offline => Outcome::Offline,
                        Delivered::Refused => Outcome::Refused,
                    }
                })
            }
            Some(Kind::FanOut(item)) => {
                let (seq, cmd, msg, from) = (&*item.seq, &*item.cmd, &*item.msg, &*item.from);
                let push = Envelope { seq, cmd, target: "", msg, from };
                self.local.fan_out(AppId(item.app), &push).map(|taken| match taken {
                    Ok(()) => Outcome::Done,
                    Err(Refused) => Outcome::Refused,
                })
            }
            Some(Kind::Displaced(item)) => self.local.displace(item).map(|()| Outcome::Done),
            Some(Kind::Canary(_)) => Ok(Outcome::Done),
            // Of a kind that only newer nodes know.
            None => return Outcome::Invalid,
        };
        result.unwrap_or(Outcome::Invalid)
    }
}

/// A walk over the users of one room.
struct Walk {
    local: Arc<Local>,
    app: AppId,
    at: u64,
    left: usize,
}

impl Walk {
    /// The next page: as full as it may be, since a small room lies in many shards.
    fn page(&mut self) -> ListPage {
        let directory = self.local.directory();
        let mut users = Vec::new();
        loop {
            let max = RELAY_LIST_PAGE_MAX.min(self.left) - users.len();
            let page = directory.page(self.app, self.at, max);
            users.extend(page.users.into_iter().map(String::from));
            self.at = page.next.unwrap_or(0);
            if self.at == 0 || users.len() >= RELAY_LIST_PAGE_MAX.min(self.left) {
                break;
            }
        }
        self.left -= users.len();
        ListPage { users, next: self.at, members: directory.members(self.app) as u64 }
    }
}
