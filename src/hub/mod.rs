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
use crate::link::{Admission, BroadcastRules, BroadcastSize, Post};
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
    content_bytes: AtomicUsize,
    /// A frame up to this size costs no connection more than its usual backlog.
    usual_bytes: AtomicUsize,
    /// What the backlogs of all connections together may hold.
    backlogs_bytes: AtomicUsize,
    user_id_bytes: AtomicUsize,
    connections: AtomicUsize,
}

impl Bounds {
    fn new(config: &Config) -> Self {
        let Limits { outbox_bytes, user_id_bytes, .. } = config.limits;
        Self {
            content_bytes: content_bytes_max(&config.limits).into(),
            usual_bytes: outbox_bytes.into(),
            backlogs_bytes: usize::MAX.into(),
            user_id_bytes: user_id_bytes.into(),
            connections: config.limits.connections.into(),
        }
    }

    fn set(&self, config: &Config) {
        self.content_bytes.store(content_bytes_max(&config.limits), Ordering::Relaxed);
        self.usual_bytes.store(config.limits.outbox_bytes, Ordering::Relaxed);
        self.user_id_bytes.store(config.limits.user_id_bytes, Ordering::Relaxed);
        self.connections.store(config.limits.connections, Ordering::Relaxed);
    }

    /// Says how much the backlogs of all connections together may hold, in bytes.
    pub fn set_backlogs(&self, bytes: usize) {
        self.backlogs_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Largest sum of the texts of a message, in bytes.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        self.content_bytes.load(Ordering::Relaxed)
    }

    /// Largest frame that is made of them. JSON escapes make a text larger; twice its size is enough
    /// for quotes, backslashes and line ends alone.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        frame_bytes_max(self.content_bytes())
    }

    /// Whether a broadcast would fill the backlogs of the node: a large frame is charged to every
    /// receiver, and the node would close most of them to get the memory back.
    #[must_use]
    pub fn is_too_much(&self, size: BroadcastSize) -> bool {
        let deliveries = usize::try_from(size.deliveries).unwrap_or(usize::MAX);
        size.bytes > self.usual_bytes.load(Ordering::Relaxed)
            && size.bytes.saturating_mul(deliveries)
                > self.backlogs_bytes.load(Ordering::Relaxed) / 2
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

/// Largest sum of the texts of a message, in bytes: whatever fits into a body of the API.
fn content_bytes_max(limits: &Limits) -> usize {
    limits.outbox_bytes.max(limits.http_body_bytes)
}

/// Largest frame that is made of texts of so many bytes.
const fn frame_bytes_max(content_bytes: usize) -> usize {
    content_bytes.saturating_mul(2).saturating_add(ENVELOPE_BYTES)
}

/// Largest frame of a node with these limits, in bytes.
#[must_use]
pub fn largest_frame_bytes(limits: &Limits) -> usize {
    frame_bytes_max(content_bytes_max(limits))
}

/// Bytes of a push around its texts, at most.
const ENVELOPE_BYTES: usize = 256;

fn broadcast_rules(config: &Config) -> BroadcastRules {
    let Broadcast { wait, messages, bytes } = config.broadcast;
    BroadcastRules { wait, messages, bytes }
}
