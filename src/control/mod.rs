//! The control plane: a small tokio runtime beside the reactors.
//!
//! Invariant: nothing here waits for a reactor. It reads the directory and
//! the counters, and posts orders; a full mailbox is an error, not a wait.

mod delivery;
mod http;

use crate::clock::Clock;
use crate::config::Config;
use crate::hub::{Digests, Hub};
use crate::logging::DroppedLines;
use crate::metrics::Metrics;
use delivery::Delivery;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the control plane is made of.
#[derive(Debug)]
pub struct Parts {
    /// Who is where.
    pub hub: Arc<Hub>,
    /// The reactors' counters.
    pub metrics: Arc<Metrics>,
    /// The node's time.
    pub clock: Clock,
    /// Where clients are listened for.
    pub websocket_addr: SocketAddr,
    /// The log's lost lines.
    pub dropped: DroppedLines,
    /// An open listener for HTTP.
    pub http: TcpListener,
}

/// The running control plane.
#[derive(Debug)]
pub struct Control {
    runtime: Runtime,
    http_addr: SocketAddr,
    ending: watch::Sender<bool>,
    http: JoinHandle<()>,
}

impl Control {
    /// Starts the runtime, the HTTP server and the digests.
    ///
    /// # Errors
    /// When the kernel refuses a thread or a descriptor.
    pub fn start(config: &Config, parts: Parts) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.control.threads)
            .thread_name("control")
            .enable_all()
            .build()?;
        let _inside = runtime.enter();
        let http_addr = parts.http.local_addr()?;
        parts.http.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(parts.http)?;
        let (ending, ended) = watch::channel(false);
        let digests = Digests::new(config.announce.digests_per_second);
        runtime.spawn(send_digests(Arc::clone(&parts.hub), parts.clock, digests));
        let delivery = Delivery::new(config, Arc::clone(&parts.hub), parts.clock);
        let site = http::Site {
            config: config.clone(),
            hub: parts.hub,
            metrics: parts.metrics,
            delivery,
            clock: parts.clock,
            websocket_addr: parts.websocket_addr,
            dropped: parts.dropped,
        };
        let http = runtime.spawn(http::serve(listener, site, ended));
        Ok(Self { runtime, http_addr, ending, http })
    }

    /// Where the HTTP API listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Lets requests under way finish for a moment, then ends.
    pub fn stop(self) {
        // Nobody is left to be told if the server has ended already.
        let _told = self.ending.send(true);
        let http = self.http;
        let waited =
            self.runtime.block_on(async move { tokio::time::timeout(HTTP_GRACE, http).await });
        if waited.is_err() {
            tracing::warn!("HTTP requests were cut off");
        }
        self.runtime.shutdown_background();
    }
}

/// Time that HTTP requests get to finish at the end.
const HTTP_GRACE: Duration = Duration::from_secs(2);

/// How often it is looked whether a digest is due.
const DIGEST_TICK: Duration = Duration::from_millis(250);

async fn send_digests(hub: Arc<Hub>, clock: Clock, mut digests: Digests) {
    let mut ticks = tokio::time::interval(DIGEST_TICK);
    loop {
        ticks.tick().await;
        hub.announcer.send_digests(&mut digests, clock.now());
    }
}
