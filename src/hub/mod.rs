//! Who is where, and the narrow waist that every message goes through.

mod announce;
mod directory;
mod rooms;
mod router;
mod seats;
mod seen;

pub use announce::{Announcer, Digests};
pub use directory::{Arrival, Directory, Page, TooManyApps};
pub use router::{Delivered, Orders, Router};
pub use seats::Seats;
pub use seen::Seen;

use crate::config::{Broadcast, Config, Language, Limits};
use crate::link::{Admission, BroadcastRules, Post};
use crate::metrics::Metrics;
use crate::session::User;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What reactors and control plane share.
#[derive(Debug)]
pub struct Hub {
    /// Who is logged in on this node.
    pub directory: Arc<Directory>,
    /// The way to their connections.
    pub router: Arc<Router>,
    /// The way to tell a room who came and went.
    pub announcer: Announcer,
    /// The connections of each user, where they are bounded.
    pub seats: Seats,
    /// Whether new clients are let in.
    pub admission: Admission,
    /// How large what comes in for them may be, and how many they may be.
    pub bounds: Bounds,
    /// The language of texts for clients; settled at the start.
    pub language: Language,
}

/// Bounds of what is sent to users, wherever it comes from, and of how many there may be.
#[derive(Debug)]
pub struct Bounds {
    frame_bytes: AtomicUsize,
    user_id_bytes: AtomicUsize,
    connections: AtomicUsize,
}

impl Bounds {
    fn new(config: &Config) -> Self {
        let Limits { outbox_bytes, user_id_bytes, .. } = config.limits;
        Self {
            frame_bytes: outbox_bytes.into(),
            user_id_bytes: user_id_bytes.into(),
            connections: config.limits.connections.into(),
        }
    }

    fn set(&self, config: &Config) {
        self.frame_bytes.store(config.limits.outbox_bytes, Ordering::Relaxed);
        self.user_id_bytes.store(config.limits.user_id_bytes, Ordering::Relaxed);
        self.connections.store(config.limits.connections, Ordering::Relaxed);
    }

    /// Largest frame: a larger one fits into no backlog.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes.load(Ordering::Relaxed)
    }

    /// Longest name of a user.
    #[must_use]
    pub fn user_id_bytes(&self) -> usize {
        self.user_id_bytes.load(Ordering::Relaxed)
    }

    /// Connections of this node, at most (`limits.connections`); [`usize::MAX`] without a limit.
    #[must_use]
    pub fn connections(&self) -> usize {
        match self.connections.load(Ordering::Relaxed) {
            0 => usize::MAX,
            limit => limit,
        }
    }
}

impl Hub {
    /// An empty hub over the reactors' mailboxes.
    #[must_use]
    pub fn new(config: &Config, posts: Vec<Post>, metrics: Arc<Metrics>) -> Arc<Self> {
        let directory = Arc::new(Directory::new(&config.apps.ids));
        let router = Arc::new(Router::new(Arc::clone(&directory), posts, metrics));
        router.broadcasts().set_rules(broadcast_rules(config));
        let language = config.protocol.language;
        let announcer = Announcer::new(Arc::clone(&router), config.announce.exact_up_to, language);
        announcer.set_exact_rate(config.announce.exact_per_second);
        let (admission, bounds) = (Admission::default(), Bounds::new(config));
        let seats = Seats::default();
        Arc::new(Self { directory, router, announcer, seats, admission, bounds, language })
    }

    /// Ends the registration of a login in favour of another node's, and has its connection
    /// told. A login that has come since then is newer, and stays.
    pub fn displace(&self, held: &Arc<User>) {
        if self.directory.displace(held) {
            self.router.tell_displaced(held.conn());
        }
    }

    /// Goes by another configuration from now on.
    ///
    /// # Errors
    /// [`TooManyApps`] when its apps do not all fit; then nothing has changed.
    pub fn reload(&self, config: &Config) -> Result<(), TooManyApps> {
        self.directory.add_apps(&config.apps.ids)?;
        self.announcer.set_exact_up_to(config.announce.exact_up_to);
        self.announcer.set_exact_rate(config.announce.exact_per_second);
        self.bounds.set(config);
        self.router.broadcasts().set_rules(broadcast_rules(config));
        Ok(())
    }
}

fn broadcast_rules(config: &Config) -> BroadcastRules {
    let Broadcast { wait, messages, bytes } = config.broadcast;
    BroadcastRules { wait, messages, bytes }
}
