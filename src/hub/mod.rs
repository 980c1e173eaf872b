//! Who is where, and the narrow waist that every message goes through.

mod announce;
mod directory;
mod router;
mod seen;

pub use announce::{Announcer, Digests};
pub use directory::{Arrival, Directory, Page};
pub use router::{Delivered, Router};
pub use seen::Seen;

use crate::config::Config;
use crate::link::{Admission, Post};
use crate::metrics::Metrics;
use std::sync::Arc;

/// What reactors and control plane share.
#[derive(Debug)]
pub struct Hub {
    /// Who is logged in on this node.
    pub directory: Arc<Directory>,
    /// The way to their connections.
    pub router: Arc<Router>,
    /// The way to tell a room who came and went.
    pub announcer: Announcer,
    /// Whether new clients are let in.
    pub admission: Admission,
}

impl Hub {
    /// An empty hub over the reactors' mailboxes.
    #[must_use]
    pub fn new(config: &Config, posts: Vec<Post>, metrics: Arc<Metrics>) -> Arc<Self> {
        let directory = Arc::new(Directory::new(&config.apps.ids));
        let router = Arc::new(Router::new(Arc::clone(&directory), posts, metrics));
        let announcer = Announcer::new(Arc::clone(&router), config.announce.exact_up_to);
        Arc::new(Self { directory, router, announcer, admission: Admission::default() })
    }
}
