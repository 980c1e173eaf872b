//! The narrow waist: from a user's name to the mailbox of the reactor that
//! owns the connection.

use super::directory::Directory;
use crate::envelope::Frame;
use crate::id::{AppId, ConnId};
use crate::link::{
    BroadcastRules, BroadcastSize, Broadcasts, ClientPage, Fanout, Mail, Post, Refused,
};
use crate::metrics::Metrics;
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What became of a message to one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Handed to the reactor that owns the connection.
    Sent,
    /// The user is not on this node.
    Offline,
    /// The user is here, but the reactor's mailbox is full.
    Refused,
}

/// What became of an order to several reactors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// So many will carry it out.
    pub taken: usize,
    /// The mailbox of so many was full.
    pub refused: usize,
}

/// Delivers to connections of this node, and only of this node.
#[derive(Debug)]
pub struct Router {
    directory: Arc<Directory>,
    posts: Vec<Post>,
    metrics: Arc<Metrics>,
    broadcasts: Arc<Broadcasts>,
}

impl Router {
    /// A router over the reactors' mailboxes, in the order of their numbers.
    #[must_use]
    pub fn new(directory: Arc<Directory>, posts: Vec<Post>, metrics: Arc<Metrics>) -> Self {
        let broadcasts = Broadcasts::new(BroadcastRules::default());
        Self { directory, posts, metrics, broadcasts }
    }

    /// The users behind this router.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The numbers that this router counts into.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends one frame to one user.
    pub fn deliver(&self, app: AppId, user: &str, frame: Frame) -> Delivered {
        let Some(conn) = self.directory.find(app, user) else {
            return Delivered::Offline;
        };
        match self.answer(conn, frame) {
            Ok(()) => Delivered::Sent,
            Err(Refused) => Delivered::Refused,
        }
    }

    /// Sends one frame to one connection, whoever is on it; nowhere if it has gone.
    ///
    /// # Errors
    /// [`Refused`] when the mailbox of its reactor is full.
    pub fn answer(&self, conn: ConnId, frame: Frame) -> Result<(), Refused> {
        let ConnId { reactor, slot, serial } = conn;
        let sent = self.posts[usize::from(reactor)].send(Mail::Deliver { slot, serial, frame });
        if sent.is_err() {
            self.metrics.shared.deliver_refused.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }

    /// The broadcasts that are under way.
    #[must_use]
    pub fn broadcasts(&self) -> &Arc<Broadcasts> {
        &self.broadcasts
    }

    /// What a broadcast of this frame to an app costs.
    #[must_use]
    pub fn size_of_broadcast(&self, app: AppId, frame: &Frame) -> BroadcastSize {
        BroadcastSize { deliveries: self.directory.members(app) as u64, bytes: frame.len() }
    }

    /// Sends one frame to every user of an app but one: one order a reactor. It has a ticket, and
    /// so a place in each mailbox.
    ///
    /// # Errors
    /// [`Refused`] when a reactor has ended; members owned by others get it all the same.
    pub fn fan_out(&self, fanout: Fanout) -> Result<(), Refused> {
        let fanout = Arc::new(fanout);
        let order = || Mail::Fanout(Arc::clone(&fanout));
        let taken = self.posts.iter().filter(|post| post.send_reserved(order()).is_ok()).count();
        if taken == self.posts.len() {
            return Ok(());
        }
        self.metrics.shared.fanout_refused.fetch_add(1, Ordering::Relaxed);
        Err(Refused)
    }

    /// Asks the reactor with the largest backlog to give memory back. If its
    /// mailbox is full it is asked again at the next overdraft.
    pub fn ask_to_shed(&self, reactor: u16) {
        let _asked_again_later = self.posts[usize::from(reactor)].send_reserved(Mail::Shed);
    }

    /// Wakes a reactor that was handed a permit.
    pub fn rouse(&self, reactor: u16) {
        self.posts[usize::from(reactor)].rouse();
    }

    /// Sends a canary to each reactor, which shows in its counters; how many could not be sent.
    pub fn send_canaries(&self, number: u64) -> usize {
        let is_full = |post: &&Post| post.send_reserved(Mail::Canary(number)).is_err();
        self.posts.iter().filter(is_full).count()
    }

    /// Has a connection closed whose user has too many others. If the mailbox is full it
    /// stays, as one whose place a newer login has taken, and is counted.
    pub fn replace(&self, conn: ConnId) {
        let ConnId { reactor, slot, serial } = conn;
        if self.posts[usize::from(reactor)].send(Mail::Replaced { slot, serial }).is_err() {
            self.metrics.shared.deliver_refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has a connection told that a newer login has taken its place. If the mailbox is full, the
    /// connection's reactor sees that from the user's record with its next command.
    pub fn tell_displaced(&self, conn: ConnId) {
        let ConnId { reactor, slot, serial } = conn;
        let _told_later = self.posts[usize::from(reactor)].send(Mail::Displaced { slot, serial });
    }

    /// Tells one reactor that its settings have been replaced.
    ///
    /// # Errors
    /// [`Refused`] when its mailbox is full: try again.
    pub fn reload(&self, reactor: usize) -> Result<(), Refused> {
        self.posts[reactor].send_reserved(Mail::Reload)
    }

    /// Asks one reactor where its clients are, from this slot on. The page comes
    /// when the reactor finds time; nobody may wait for it without a limit.
    ///
    /// # Errors
    /// [`Refused`] when its mailbox is full.
    pub fn ask_for_clients(
        &self,
        reactor: usize,
        from: u32,
    ) -> Result<Receiver<ClientPage>, Refused> {
        let (to, page) = crossbeam_channel::bounded(1);
        self.posts[reactor].send(Mail::Clients { from, to })?;
        Ok(page)
    }

    /// How many reactors there are.
    #[must_use]
    pub fn reactors(&self) -> usize {
        self.posts.len()
    }

    /// Gives an order to the reactor that owns a connection, or to all of them;
    /// how many have taken it, and how many could not.
    pub fn order(&self, owner: Option<u16>, order: impl Fn() -> Mail) -> Orders {
        let posts = match owner {
            Some(owner) => self.posts.get(usize::from(owner)).into_iter().collect(),
            None => self.posts.iter().collect::<Vec<_>>(),
        };
        let taken = posts.iter().filter(|post| post.send(order()).is_ok()).count();
        Orders { taken, refused: posts.len() - taken }
    }

    /// Tells one reactor to close everything by the node's schedule.
    ///
    /// # Errors
    /// [`Refused`] when its mailbox is full: try again.
    pub fn drain(&self, reactor: usize) -> Result<(), Refused> {
        self.posts[reactor].send_reserved(Mail::Drain)
    }

    /// Orders that wait, for each reactor.
    pub fn depths(&self) -> impl Iterator<Item = usize> + '_ {
        self.posts.iter().map(Post::depth)
    }
}
