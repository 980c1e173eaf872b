//! For tests: a node without reactors, whose mail is read by hand.

use super::{Anywhere, Credentials, Logins, Parts, Security, serve};
use crate::auth::Access;
use crate::clock::Clock;
use crate::config::Config;
use crate::hub::Hub;
use crate::id::{AppId, ConnId, NodeAddr};
use crate::link::{Current, Drain, Mail, Mailbox, mailbox};
use crate::metrics::Metrics;
use crate::session::User;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(in crate::control) const APP: AppId = AppId(101);

/// A node's gRPC server over a hub, in a runtime of its own; it ends,
/// connections and all, when it is dropped.
pub(in crate::control) struct Node {
    pub(in crate::control) addr: NodeAddr,
    pub(in crate::control) hub: Arc<Hub>,
    pub(in crate::control) metrics: Arc<Metrics>,
    pub(in crate::control) drain: Arc<Drain>,
    /// Of the only reactor.
    pub(in crate::control) mail: Mailbox,
    pub(in crate::control) ending: watch::Sender<bool>,
    pub(in crate::control) serving: JoinHandle<()>,
    runtime: Option<Runtime>,
}

impl Node {
    pub(in crate::control) fn start(config: &Config) -> Self {
        Self::start_at(config, SocketAddr::from(([127, 0, 0, 1], 0)), 100_000)
    }

    /// At an address, once it is free, with a mailbox for `depth` letters.
    pub(in crate::control) fn start_at(config: &Config, addr: SocketAddr, depth: usize) -> Self {
        let listener = bind(addr);
        let addr = NodeAddr::parse(&listener.local_addr().unwrap().to_string()).unwrap();
        let (post, mail) = mailbox(depth).unwrap();
        let metrics = Metrics::new(1);
        let hub = Hub::new(config, vec![post], Arc::clone(&metrics));
        let drain = Arc::<Drain>::default();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (ending, ended) = watch::channel(false);
        let parts = Parts {
            hub: Arc::clone(&hub),
            metrics: Arc::clone(&metrics),
            drain: Arc::clone(&drain),
            client_url: config.cluster.client_url.clone(),
            clock: Clock::start(),
            access: Arc::new(Current::new(Access::load(&config.auth).unwrap())),
            security: Arc::new(Credentials::new(
                Security::load(&config.cluster).unwrap(),
                Clock::start(),
            )),
            anywhere: anywhere(),
            logins: Arc::new(AlwaysOlder(Arc::clone(&hub))),
            callers: Arc::default(),
        };
        let serving = runtime.spawn(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            serve(listener, parts, ended).await.unwrap();
        });
        Self { addr, hub, metrics, drain, mail, ending, serving, runtime: Some(runtime) }
    }

    /// Logs a user in on a connection whose slot is `slot`.
    pub(in crate::control) fn log_in(&self, name: &str, slot: u32) {
        let conn = ConnId { reactor: 0, slot, serial: 1 };
        self.hub.directory.login(Arc::new(User::new(APP, name.into(), conn))).unwrap();
    }

    /// The text of the next message in the reactor's mail, whoever it is for.
    pub(in crate::control) fn next_text(&self) -> Option<String> {
        match self.mail.take()? {
            Mail::Deliver { frame, .. } => Some(text(frame.as_bytes())),
            Mail::Fanout(fanout) => Some(text(fanout.frame.as_bytes())),
            // The older connection of a user is told; that is another test.
            Mail::Displaced { .. } => self.next_text(),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// The payload of a frame.
fn text(frame: &[u8]) -> String {
    let begin = frame.iter().position(|byte| *byte == b'{').unwrap();
    String::from_utf8(frame[begin..].to_vec()).unwrap()
}

/// Every login of this node is older than any other.
#[derive(Debug)]
struct AlwaysOlder(Arc<Hub>);

impl Logins for AlwaysOlder {
    fn since_ms(&self, _: &User) -> u64 {
        1
    }

    fn displaced(&self, app: AppId, user: &str, _: u64, _: &str) {
        if let Some(held) = self.0.directory.registration(app, user) {
            assert!(self.0.directory.displace(&held));
        }
    }
}

/// The cluster knows `faraway` to be online, `nowhere` not to be, and nothing of others.
fn anywhere() -> Anywhere {
    Arc::new(|_, user| {
        let known = match user {
            "faraway" => Some(true),
            "nowhere" => Some(false),
            _ => None,
        };
        Box::pin(std::future::ready(known))
    })
}

/// Binds as soon as whoever was there before has let go.
pub(in crate::control) fn bind(addr: SocketAddr) -> TcpListener {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if let Ok(listener) = TcpListener::bind(addr) {
            return listener;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    panic!("{addr} stays in use");
}

/// Waits until something is so.
pub(in crate::control) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_so() {
            ticks.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

/// How long a test waits for what has to come.
pub(in crate::control) const PATIENCE: Duration = Duration::from_secs(20);
