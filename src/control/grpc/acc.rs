//! The calls of gowebsocket's nodes, as those expect them answered.

use super::Anywhere;
use super::guard::admit;
use super::local::{Invalid, Local};
use crate::command::Code;
use crate::config::{Language, Scope};
use crate::control::proto::acc::acc_server_server::AccServer;
use crate::control::proto::acc::{
    GetUserListReq, GetUserListRsp, QueryUsersOnlineReq, QueryUsersOnlineRsp, SendMsgAllReq,
    SendMsgAllRsp, SendMsgReq, SendMsgRsp,
};
use crate::envelope::Envelope;
use crate::hub::Delivered;
use crate::id::AppId;
use crate::limits::{GRPC_LIST_NAMES_MAX, GRPC_LISTS_AT_ONCE, LIST_PAGE_MAX, USER_ID_BYTES_MAX};
use crate::link::Refused;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

/// `AccServer` over the own connections.
pub(super) struct Calls {
    local: Arc<Local>,
    anywhere: Anywhere,
    /// A list is made as a whole: only a few at once.
    lists: Semaphore,
}

impl Calls {
    pub(super) fn new(local: Arc<Local>, anywhere: Anywhere) -> Self {
        Self { local, anywhere, lists: Semaphore::new(GRPC_LISTS_AT_ONCE) }
    }

    /// Whether another node has the user; what nobody knows in time counts as no.
    async fn is_elsewhere(&self, app: AppId, user: &str) -> bool {
        if user.len() > USER_ID_BYTES_MAX {
            return false;
        }
        let asked = tokio::time::timeout(ELSEWHERE_PATIENCE, (self.anywhere)(app, user));
        asked.await.ok().flatten().unwrap_or(false)
    }

    /// Names a page at a time: no lock is held long, and no thread is kept.
    async fn names(&self, app: AppId) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = Some(0);
        while let Some(from) = at {
            let max = LIST_PAGE_MAX.min(GRPC_LIST_NAMES_MAX - names.len());
            if max == 0 {
                break;
            }
            let page = self.local.directory().page(app, from, max);
            names.extend(page.users.into_iter().map(String::from));
            at = page.next;
            tokio::task::consume_budget().await;
        }
        names
    }
}

#[tonic::async_trait]
impl AccServer for Calls {
    async fn query_users_online(
        &self,
        request: Request<QueryUsersOnlineReq>,
    ) -> Result<Response<QueryUsersOnlineRsp>, Status> {
        admit(&request, Scope::Read, self.local.metrics())?;
        let QueryUsersOnlineReq { app_id, user_id } = request.into_inner();
        let app = AppId(app_id);
        let is_here = self.local.directory().find(app, &user_id).is_some();
        let online = is_here || self.is_elsewhere(app, &user_id).await;
        let (ret_code, err_msg) = said(Ok(()));
        Ok(Response::new(QueryUsersOnlineRsp { ret_code, err_msg, online }))
    }

    async fn send_msg(&self, request: Request<SendMsgReq>) -> Result<Response<SendMsgRsp>, Status> {
        admit(&request, Scope::Send, self.local.metrics())?;
        let SendMsgReq { seq, app_id, user_id, cms, msg, .. } = request.into_inner();
        let push = Envelope { seq: &seq, cmd: &cms, target: "", msg: &msg, from: &user_id };
        let result = match self.local.deliver(AppId(app_id), &user_id, &push) {
            Ok(Delivered::Sent) => Ok(()),
            Ok(Delivered::Offline) => Err(OFFLINE),
            Ok(Delivered::Refused) => Err(BUSY),
            Err(invalid) => Err(reason(invalid)),
        };
        let send_msg_id = if result.is_ok() { seq } else { String::new() };
        let (ret_code, err_msg) = said(result);
        Ok(Response::new(SendMsgRsp { ret_code, err_msg, send_msg_id }))
    }

    async fn send_msg_all(
        &self,
        request: Request<SendMsgAllReq>,
    ) -> Result<Response<SendMsgAllRsp>, Status> {
        admit(&request, Scope::Send, self.local.metrics())?;
        let SendMsgAllReq { seq, app_id, user_id, cms, msg, .. } = request.into_inner();
        let push = Envelope { seq: &seq, cmd: &cms, target: "", msg: &msg, from: &user_id };
        let result = match self.local.fan_out(AppId(app_id), &push) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refused)) => Err(BUSY),
            Err(invalid) => Err(reason(invalid)),
        };
        let send_msg_id = if result.is_ok() { seq } else { String::new() };
        let (ret_code, err_msg) = said(result);
        Ok(Response::new(SendMsgAllRsp { ret_code, err_msg, send_msg_id }))
    }

    async fn get_user_list(
        &self,
        request: Request<GetUserListReq>,
    ) -> Result<Response<GetUserListRsp>, Status> {
        admit(&request, Scope::Read, self.local.metrics())?;
        let app = AppId(request.into_inner().app_id);
        let _turn = self.lists.acquire().await;
        let user_id = self.names(app).await;
        let (ret_code, err_msg) = said(Ok(()));
        Ok(Response::new(GetUserListRsp { ret_code, err_msg, user_id }))
    }
}

/// The caller waits for one second.
const ELSEWHERE_PATIENCE: Duration = Duration::from_millis(800);

/// A code and what it means here.
type Reason = (u32, &'static str);

/// 1005 is "no data" in the reference, which never uses it.
const OFFLINE: Reason = (1005, "the user is not online on this node");
const BUSY: Reason = (Code::Failed as u32, "the node is overloaded, try again");

fn reason(invalid: Invalid) -> Reason {
    let code = match invalid {
        Invalid::App => Code::NotAuthorized,
        Invalid::User => Code::BadUserId,
        Invalid::TooLarge | Invalid::TooLargeForAll => Code::BadParameter,
    };
    (code as u32, invalid.text())
}

/// `retCode` and `errMsg` as they go out.
fn said(result: Result<(), Reason>) -> (u32, String) {
    let (code, text) =
        result.err().unwrap_or((Code::Ok as u32, Code::Ok.text(Language::Reference)));
    (code, text.to_owned())
}
