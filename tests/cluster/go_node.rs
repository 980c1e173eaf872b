//! A stand-in for a node of gowebsocket, with its habits.
//!
//! - It tells other nodes nothing but through Redis, and reads there for each message.
//! - One thread, as the one manager of the reference, takes logins and ends of connections one after the
//!   other. It calls the other nodes one after the other, dials for each call and waits one second.
//! - An end marks the record that it finds with `isLogoff`, whichever node the record names.
//! - A heartbeat writes the record that it finds again, whichever node the record names.
//! - It registers two seconds after its start and each minute, and never deregisters.
//! - It ends without a word: connections are cut, and records stay as they are.
//! - It reads addresses as `ip:port`. An address of IPv6 makes the whole list of nodes unreadable.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test that cannot go on may panic; not all tests use all of it"
)]

pub(super) use super::proto::acc;
use super::unix_seconds;
use acc::acc_server_client::AccServerClient;
use acc::acc_server_server::{AccServer, AccServerServer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

/// Who is where, and what came.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Users of this node without a client that the test looks at.
    pub(crate) here: BTreeSet<(u32, String)>,
    /// Users of others, as Redis would tell.
    pub(crate) elsewhere: BTreeSet<(u32, String)>,
    /// Messages to one that other nodes have sent, oldest first.
    pub(crate) messages: Vec<acc::SendMsgReq>,
    /// Messages to all that other nodes have sent, oldest first.
    pub(crate) broadcasts: Vec<acc::SendMsgAllReq>,
    /// It does what it is called for, and answers so much later.
    pub(crate) answers_after: Duration,
    /// So long after the end of a connection it writes the record.
    pub(crate) logs_out_after: Duration,
    /// The newest connection of each user.
    clients: HashMap<(u32, String), (u64, Sender<Push>)>,
}

impl Room {
    /// Writes to a user; false if the user is not here.
    fn write(&self, app: u32, user: &str, push: &Push) -> bool {
        let key = (app, user.to_owned());
        match self.clients.get(&key) {
            // The reference does not notice either that a connection is about to end.
            Some((_, client)) => client.send(push.clone()).is_ok(),
            None => self.here.contains(&key),
        }
    }

    /// Writes to every user of an app but one.
    fn write_all(&self, app: u32, except: &str, push: &Push) {
        let others =
            self.clients.iter().filter(|((of, user), _)| *of == app && user.as_str() != except);
        for (_, (_, client)) in others {
            let _ended = client.send(push.clone());
        }
    }
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Push {
    /// Whose connection it came on.
    pub(crate) to: String,
    pub(crate) cmd: String,
    pub(crate) msg: String,
}

/// A user's record, with the fields that the reference knows; it drops all others.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Record {
    acc_ip: String,
    acc_port: String,
    #[serde(rename = "appID")]
    app_id: u32,
    #[serde(rename = "userID")]
    user_id: String,
    client_ip: String,
    client_port: String,
    login_time: u64,
    heartbeat_time: u64,
    log_out_time: u64,
    qua: String,
    device_info: String,
    is_logoff: bool,
}

impl Record {
    fn is_online(&self) -> bool {
        !self.is_logoff && self.heartbeat_time + FRESH_SECONDS >= unix_seconds()
    }
}

const FRESH_SECONDS: u64 = 180;

/// A running node; it ends, connections and all, when it is dropped, as on SIGTERM.
#[derive(Debug)]
pub(crate) struct GoNode {
    pub(crate) addr: SocketAddr,
    pub(crate) room: Arc<Mutex<Room>>,
    site: Site,
    /// For the manager.
    events: Sender<Event>,
    connections: AtomicU64,
    runtime: Option<Runtime>,
    /// Dropped with the node: the tasks that register and manage end.
    _alive: Sender<()>,
}

/// What its threads share.
#[derive(Clone, Debug)]
struct Site {
    addr: SocketAddr,
    room: Arc<Mutex<Room>>,
    calls: Handle,
    /// Where its Redis is; without one it knows of no other node.
    redis: Option<::redis::Client>,
}

#[derive(Debug)]
enum Event {
    Login(u32, String, u64, Sender<Push>),
    /// A connection has ended.
    Unregister(u32, String, u64),
}

/// A client that is logged in to such a node.
#[derive(Debug)]
pub(crate) struct GoClient {
    app: u32,
    user: String,
    connection: u64,
    site: Site,
    events: Sender<Event>,
}

impl GoNode {
    /// `AccServer` alone: it has no Redis.
    pub(crate) fn start(listener: TcpListener) -> Self {
        Self::run(listener, None)
    }

    /// A node of a fleet. It registers after two seconds.
    pub(crate) fn join(redis: &str) -> Self {
        let redis = ::redis::Client::open(format!("redis://{redis}/")).unwrap();
        Self::run(TcpListener::bind("127.0.0.1:0").unwrap(), Some(redis))
    }

    fn run(listener: TcpListener, redis: Option<::redis::Client>) -> Self {
        let addr = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let room = Arc::new(Mutex::new(Room::default()));
        let site = Site { addr, room, calls: runtime.handle().clone(), redis };
        let calls = AccServerServer::new(Calls(site.clone()));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = TcpListenerStream::new(listener).map(|stream| {
                // As every connection of Go.
                stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            });
            Server::builder().add_service(calls).serve_with_incoming(incoming).await.unwrap();
        });
        let (events, told) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let managing = site.clone();
        std::thread::spawn(move || managing.manage(&told));
        if site.redis.is_some() {
            let registering = site.clone();
            std::thread::spawn(move || registering.register(&ended));
        }
        let (room, connections) = (Arc::clone(&site.room), AtomicU64::new(1));
        Self { addr, room, site, events, connections, runtime: Some(runtime), _alive: alive }
    }

    /// A user whose client nobody looks at.
    pub(crate) fn log_in(&self, app: u32, user: &str) {
        self.room.lock().unwrap().here.insert((app, user.to_owned()));
    }

    /// Logs in; pushes for the user come to `inbox`. The record is written when this returns.
    pub(crate) fn connect(&self, app: u32, user: &str, inbox: Sender<Push>) -> GoClient {
        let now = unix_seconds();
        let record = Record {
            acc_ip: self.addr.ip().to_string(),
            acc_port: self.addr.port().to_string(),
            app_id: app,
            user_id: user.to_owned(),
            client_ip: "127.0.0.1:1".to_owned(),
            login_time: now,
            heartbeat_time: now,
            ..Record::default()
        };
        self.site.set(app, user, &record);
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let events = self.events.clone();
        let _taken = events.send(Event::Login(app, user.to_owned(), connection, inbox));
        GoClient { app, user: user.to_owned(), connection, site: self.site.clone(), events }
    }

    /// `POST /user/sendMessage`.
    pub(crate) fn send(&self, app: u32, user: &str, msg_id: &str, text: &str) -> bool {
        let push = push_to(user, "msg", text);
        let is_here = |room: &Room| {
            let key = (app, user.to_owned());
            room.clients.contains_key(&key) || room.here.contains(&key)
        };
        let room = self.room.lock().unwrap();
        if is_here(&room) {
            return room.write(app, user, &push);
        }
        drop(room);
        let Some(record) = self.site.get(app, user).filter(Record::is_online) else { return false };
        let request = acc::SendMsgReq {
            seq: msg_id.into(),
            app_id: app,
            user_id: user.into(),
            cms: "msg".into(),
            r#type: "msg".into(),
            msg: text.into(),
            is_local: false,
        };
        let to = format!("{}:{}", record.acc_ip, record.acc_port);
        let sent = self.site.calls.block_on(async {
            dial(&to).await.ok()?.send_msg(request).await.ok().map(Response::into_inner)
        });
        sent.is_some_and(|reply| reply.ret_code == 200)
    }

    /// `POST /user/sendMessageAll`: it says yes, unless it cannot read the list of nodes.
    pub(crate) fn send_all(&self, app: u32, user: &str, text: &str) -> bool {
        self.site.send_all(app, user, "msg", text).is_some()
    }

    /// `GET /user/list`; empty when it cannot read the list of nodes.
    pub(crate) fn list(&self, app: u32) -> Vec<String> {
        let mut users = Vec::new();
        for node in self.site.nodes().unwrap_or_default() {
            if node == self.addr.to_string() {
                users.extend(names(&self.room.lock().unwrap(), app));
                continue;
            }
            let list = acc::GetUserListReq { app_id: app };
            let listed = self.site.calls.block_on(async {
                dial(&node).await.ok()?.get_user_list(list).await.ok().map(Response::into_inner)
            });
            users.extend(listed.into_iter().flat_map(|reply| reply.user_id));
        }
        users
    }

    /// `GET /user/online`.
    pub(crate) fn is_online(&self, app: u32, user: &str) -> bool {
        self.site.get(app, user).is_some_and(|record| record.is_online())
    }
}

impl Drop for GoNode {
    fn drop(&mut self) {
        self.room.lock().unwrap().clients.clear();
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl GoClient {
    /// Gives a sign of life; false is "not logged in".
    pub(crate) fn heartbeat(&self) -> bool {
        let Some(mut record) = self.site.get(self.app, &self.user) else { return false };
        record.heartbeat_time = unix_seconds();
        record.is_logoff = false;
        self.site.set(self.app, &self.user, &record);
        true
    }

    /// Ends the connection. The node takes note of it when its manager comes to it.
    pub(crate) fn close(self) {
        let _ended = self.events.send(Event::Unregister(self.app, self.user, self.connection));
    }
}

impl Site {
    /// One event after the other, for as long as there is a node or a client.
    fn manage(&self, events: &Receiver<Event>) {
        for event in events {
            match event {
                Event::Login(app, user, connection, client) => {
                    let key = (app, user.clone());
                    self.room.lock().unwrap().clients.insert(key, (connection, client));
                    self.send_all(app, &user, "enter", "哈喽~");
                }
                Event::Unregister(app, user, connection) => self.unregister(app, &user, connection),
            }
        }
    }

    fn unregister(&self, app: u32, user: &str, connection: u64) {
        let key = (app, user.to_owned());
        let mut room = self.room.lock().unwrap();
        // An older connection of a user who has a newer one here ends without a word.
        if room.clients.get(&key).is_none_or(|(newest, _)| *newest != connection) {
            return;
        }
        room.clients.remove(&key);
        let pause = room.logs_out_after;
        drop(room);
        if let Some(mut record) = self.get(app, user) {
            // A slow Redis lies between the two.
            std::thread::park_timeout(pause);
            record.is_logoff = true;
            record.log_out_time = unix_seconds();
            self.set(app, user, &record);
        }
        self.send_all(app, user, "exit", "用户已经离开~");
    }

    /// Tells all nodes, one after the other; `None` when it cannot read their list.
    fn send_all(&self, app: u32, user: &str, cmd: &str, text: &str) -> Option<()> {
        for node in self.nodes()? {
            if node == self.addr.to_string() {
                self.room.lock().unwrap().write_all(app, user, &push_to("", cmd, text));
                continue;
            }
            let request = acc::SendMsgAllReq {
                seq: format!("{:x}", unix_seconds()),
                app_id: app,
                user_id: user.into(),
                cms: cmd.into(),
                r#type: "text".into(),
                msg: text.into(),
            };
            // Whatever becomes of it.
            let _told = self
                .calls
                .block_on(async { dial(&node).await.ok()?.send_msg_all(request).await.ok() });
        }
        Some(())
    }

    /// Registers until the node ends.
    fn register(&self, ended: &Receiver<()>) {
        let mut pause = Duration::from_secs(2);
        while ended.recv_timeout(pause) == Err(mpsc::RecvTimeoutError::Timeout) {
            let (addr, now) = (self.addr.to_string(), unix_seconds());
            let _stamped: Option<u64> = self.ask("HSET", &[SERVERS, &addr, &now.to_string()]);
            let _kept: Option<u64> = self.ask("EXPIRE", &[SERVERS, "7200"]);
            pause = Duration::from_secs(60);
        }
    }

    /// Live nodes; `None` if an address is not `ip:port`.
    fn nodes(&self) -> Option<Vec<String>> {
        let registered: HashMap<String, u64> = self.ask("HGETALL", &[SERVERS])?;
        let live = registered.into_iter().filter(|(_, stamp)| stamp + 180 > unix_seconds());
        live.map(|(addr, _)| (addr.split(':').count() == 2).then_some(addr)).collect()
    }

    fn get(&self, app: u32, user: &str) -> Option<Record> {
        let text: Option<String> = self.ask("GET", &[&key_of(app, user)])?;
        serde_json::from_str(&text?).ok()
    }

    fn set(&self, app: u32, user: &str, record: &Record) {
        let text = serde_json::to_string(record).unwrap();
        let _set: Option<String> = self.ask("SETEX", &[&key_of(app, user), "86400", &text]);
    }

    /// An answer of Redis; `None` if there is none, or no Redis.
    fn ask<T: ::redis::FromRedisValue>(&self, command: &str, words: &[&str]) -> Option<T> {
        let mut connection = self.redis.as_ref()?.get_connection().ok()?;
        ::redis::cmd(command).arg(words).query(&mut connection).ok()
    }
}

const SERVERS: &str = "acc:hash:servers";

fn key_of(app: u32, user: &str) -> String {
    format!("acc:user:online:{app}_{user}")
}

fn push_to(to: &str, cmd: &str, msg: &str) -> Push {
    Push { to: to.to_owned(), cmd: cmd.to_owned(), msg: msg.to_owned() }
}

fn names(room: &Room, app: u32) -> Vec<String> {
    let here = room.here.iter().chain(room.clients.keys());
    // In no order that anybody may rely on.
    let mut names: Vec<String> =
        here.filter(|(of, _)| *of == app).map(|(_, user)| user.clone()).collect();
    names.reverse();
    names
}

struct Calls(Site);

impl Calls {
    /// What is called for is done; the answer comes later.
    async fn answer<T>(&self, reply: T) -> Result<Response<T>, Status> {
        let pause = self.0.room.lock().unwrap().answers_after;
        if !pause.is_zero() {
            let _passed = tokio::time::timeout(pause, std::future::pending::<()>()).await;
        }
        Ok(Response::new(reply))
    }
}

#[tonic::async_trait]
impl AccServer for Calls {
    /// Sets neither retCode nor errMsg.
    async fn query_users_online(
        &self,
        request: Request<acc::QueryUsersOnlineReq>,
    ) -> Result<Response<acc::QueryUsersOnlineRsp>, Status> {
        let request = request.into_inner();
        let key = (request.app_id, request.user_id);
        let site = self.0.clone();
        let online = {
            let room = site.room.lock().unwrap();
            room.here.contains(&key) || room.elsewhere.contains(&key)
        };
        let asked = tokio::task::spawn_blocking(move || site.get(key.0, &key.1)).await;
        let online = online || asked.unwrap().is_some_and(|record| record.is_online());
        self.answer(acc::QueryUsersOnlineRsp { online, ..Default::default() }).await
    }

    async fn send_msg(
        &self,
        request: Request<acc::SendMsgReq>,
    ) -> Result<Response<acc::SendMsgRsp>, Status> {
        let request = request.into_inner();
        let push = push_to(&request.user_id, &request.cms, &request.msg);
        let reply = {
            let mut room = self.0.room.lock().unwrap();
            if room.write(request.app_id, &request.user_id, &push) {
                let (ret_code, err_msg) = (200, "Success".into());
                let send_msg_id = request.seq.clone();
                room.messages.push(request);
                acc::SendMsgRsp { ret_code, err_msg, send_msg_id }
            } else {
                let (ret_code, err_msg) = (1004, "系统错误".into());
                acc::SendMsgRsp { ret_code, err_msg, send_msg_id: String::new() }
            }
        };
        self.answer(reply).await
    }

    async fn send_msg_all(
        &self,
        request: Request<acc::SendMsgAllReq>,
    ) -> Result<Response<acc::SendMsgAllRsp>, Status> {
        let request = request.into_inner();
        let (ret_code, err_msg) = (200, "Success".into());
        let send_msg_id = request.seq.clone();
        {
            let mut room = self.0.room.lock().unwrap();
            let push = push_to("", &request.cms, &request.msg);
            room.write_all(request.app_id, &request.user_id, &push);
            room.broadcasts.push(request);
        }
        self.answer(acc::SendMsgAllRsp { ret_code, err_msg, send_msg_id }).await
    }

    async fn get_user_list(
        &self,
        request: Request<acc::GetUserListReq>,
    ) -> Result<Response<acc::GetUserListRsp>, Status> {
        let app = request.into_inner().app_id;
        let user_id = names(&self.0.room.lock().unwrap(), app);
        self.answer(acc::GetUserListRsp { ret_code: 200, err_msg: "Success".into(), user_id }).await
    }
}

/// What such a node calls others with: a connection a call, plaintext, one second.
pub(crate) async fn dial(addr: &str) -> Result<AccServerClient<Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))?;
    let endpoint = endpoint.timeout(Duration::from_secs(1)).connect_timeout(Duration::from_secs(1));
    Ok(AccServerClient::new(endpoint.connect().await?))
}
