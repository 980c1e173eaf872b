//! A stand-in for a node of gowebsocket: `AccServer` alone, and its client, which
//! dials for each call and waits one second.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test that cannot go on may panic; not all tests use all of it"
)]

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};

pub(super) use super::proto::acc;
use acc::acc_server_client::AccServerClient;
use acc::acc_server_server::{AccServer, AccServerServer};

/// Who is where, and what came.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Users of this node.
    pub(crate) here: BTreeSet<(u32, String)>,
    /// Users of others, as Redis would tell.
    pub(crate) elsewhere: BTreeSet<(u32, String)>,
    /// Messages to one, oldest first.
    pub(crate) messages: Vec<acc::SendMsgReq>,
    /// Messages to all, oldest first.
    pub(crate) broadcasts: Vec<acc::SendMsgAllReq>,
}

/// A running node; it ends, connections and all, when it is dropped.
#[derive(Debug)]
pub(crate) struct GoNode {
    pub(crate) addr: SocketAddr,
    pub(crate) room: Arc<Mutex<Room>>,
    runtime: Option<Runtime>,
}

impl GoNode {
    pub(crate) fn start(listener: TcpListener) -> Self {
        let addr = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let room = Arc::new(Mutex::new(Room::default()));
        let calls = AccServerServer::new(Calls(Arc::clone(&room)));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = TcpListenerStream::new(listener);
            Server::builder().add_service(calls).serve_with_incoming(incoming).await.unwrap();
        });
        Self { addr, room, runtime: Some(runtime) }
    }

    pub(crate) fn log_in(&self, app: u32, user: &str) {
        self.room.lock().unwrap().here.insert((app, user.to_owned()));
    }
}

impl Drop for GoNode {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

struct Calls(Arc<Mutex<Room>>);

#[tonic::async_trait]
impl AccServer for Calls {
    /// Sets neither retCode nor errMsg.
    async fn query_users_online(
        &self,
        request: Request<acc::QueryUsersOnlineReq>,
    ) -> Result<Response<acc::QueryUsersOnlineRsp>, Status> {
        let request = request.into_inner();
        let key = (request.app_id, request.user_id);
        let room = self.0.lock().unwrap();
        let online = room.here.contains(&key) || room.elsewhere.contains(&key);
        Ok(Response::new(acc::QueryUsersOnlineRsp { online, ..Default::default() }))
    }

    async fn send_msg(
        &self,
        request: Request<acc::SendMsgReq>,
    ) -> Result<Response<acc::SendMsgRsp>, Status> {
        let request = request.into_inner();
        let mut room = self.0.lock().unwrap();
        if !room.here.contains(&(request.app_id, request.user_id.clone())) {
            let (ret_code, err_msg) = (1004, "系统错误".into());
            let reply = acc::SendMsgRsp { ret_code, err_msg, send_msg_id: String::new() };
            return Ok(Response::new(reply));
        }
        let (ret_code, err_msg) = (200, "Success".into());
        let send_msg_id = request.seq.clone();
        room.messages.push(request);
        Ok(Response::new(acc::SendMsgRsp { ret_code, err_msg, send_msg_id }))
    }

    async fn send_msg_all(
        &self,
        request: Request<acc::SendMsgAllReq>,
    ) -> Result<Response<acc::SendMsgAllRsp>, Status> {
        let request = request.into_inner();
        let (ret_code, err_msg) = (200, "Success".into());
        let send_msg_id = request.seq.clone();
        self.0.lock().unwrap().broadcasts.push(request);
        Ok(Response::new(acc::SendMsgAllRsp { ret_code, err_msg, send_msg_id }))
    }

    async fn get_user_list(
        &self,
        request: Request<acc::GetUserListReq>,
    ) -> Result<Response<acc::GetUserListRsp>, Status> {
        let app = request.into_inner().app_id;
        let room = self.0.lock().unwrap();
        let here = room.here.iter().filter(|(of, _)| *of == app);
        // In no order that anybody may rely on.
        let user_id = here.map(|(_, user)| user.clone()).rev().collect();
        Ok(Response::new(acc::GetUserListRsp { ret_code: 200, err_msg: "Success".into(), user_id }))
    }
}

/// What such a node calls others with: a connection a call, plaintext, one second.
pub(crate) async fn dial(
    addr: &str,
) -> Result<AccServerClient<tonic::transport::Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))?;
    Ok(AccServerClient::new(endpoint.timeout(Duration::from_secs(1)).connect().await?))
}
