//! What a peer's message comes to on this node.

use super::Logins;
use super::doorman::Doorman;
use crate::command::push;
use crate::control::audit;
use crate::control::proto::relay::{Displaced, Standing};
use crate::envelope::{Envelope, Frame};
use crate::hub::{Delivered, Directory, Hub, Orders};
use crate::id::{AppId, UserId};
use crate::limits::USER_ID_BYTES_MAX;
use crate::link::{Drain, Fanout, Kick, Mail, Refused, Stage};
use crate::metrics::Metrics;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The own connections, as far as peers may reach them.
pub(super) struct Local {
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
    drain: Arc<Drain>,
    /// Where clients reach this node; empty if others are not to send theirs here.
    client_url: String,
    logins: Arc<dyn Logins>,
    doorman: Arc<Doorman>,
}

/// What cannot be done, now or ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// This node does not have the app.
    App,
    /// The name is empty or longer than `limits.user_id_bytes`.
    User,
    /// The message is larger than `limits.http_body_bytes`.
    TooLarge,
    /// Its copies for all receivers would fill `limits.outbox_total_bytes`.
    TooLargeForAll,
}

impl Invalid {
    /// Why, as the caller is told.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::App => "this node has no such app",
            Self::User => "userID is empty or too long",
            Self::TooLarge => "the message is larger than limits.http_body_bytes",
            Self::TooLargeForAll => {
                "the message is too large for so many receivers (limits.outbox_total_bytes)"
            }
        }
    }
}

impl Local {
    pub(super) fn new(
        hub: Arc<Hub>,
        metrics: Arc<Metrics>,
        drain: Arc<Drain>,
        client_url: String,
        logins: Arc<dyn Logins>,
        doorman: Arc<Doorman>,
    ) -> Self {
        Self { hub, metrics, drain, client_url, logins, doorman }
    }

    /// Who is here.
    pub(super) fn directory(&self) -> &Directory {
        &self.hub.directory
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Writes to one user.
    pub(super) fn deliver(
        &self,
        app: AppId,
        user: &str,
        push: &Envelope<'_>,
    ) -> Result<Delivered, Invalid> {
        self.counted(|| {
            self.check_user(app, user)?;
            Ok(self.hub.router.deliver(app, user, self.encode(push)?))
        })
    }

    /// Writes to every user of an app but the one it is from.
    pub(super) fn fan_out(
        &self,
        app: AppId,
        push: &Envelope<'_>,
    ) -> Result<Result<(), Refused>, Invalid> {
        self.counted(|| {
            self.check_app(app)?;
            if push.from.len() > USER_ID_BYTES_MAX {
                return Err(Invalid::User);
            }
            let (except, frame) = (UserId::from(push.from), self.encode(push)?);
            let router = &self.hub.router;
            let size = router.size_of_broadcast(app, &frame);
            if self.hub.bounds.is_too_much(size) {
                return Err(Invalid::TooLargeForAll);
            }
            let ticket = match router.broadcasts().ask_for_peer(app, &except, size) {
                Ok(ticket) => ticket,
                Err(refused) => return Ok(Err(refused)),
            };
            Ok(router.fan_out(Fanout { app, except, frame, announcement: None, ticket }))
        })
    }

    /// Takes note that a login is on another node.
    pub(super) fn displace(&self, notice: &Displaced) -> Result<(), Invalid> {
        self.counted(|| {
            let app = AppId(notice.app);
            self.check_user(app, &notice.user)?;
            let held = self.hub.directory.registration(app, &notice.user);
            self.logins.displaced(app, &notice.user, notice.since_ms, &notice.node);
            if let Some(held) = held.filter(|held| held.is_displaced()) {
                self.hub.router.tell_displaced(held.conn());
            }
            Ok(())
        })
    }

    /// Since when a user is here, in unix milliseconds by the clock of Redis, 0 if that is
    /// not known; `None` if the user is not here.
    pub(super) fn held_since(&self, app: AppId, user: &str) -> Option<u64> {
        let held = self.directory().registration(app, user)?;
        Some(self.logins.since_ms(&held))
    }

    /// Closes connections.
    pub(super) fn kick(&self, kick: Kick) -> Orders {
        tracing::info!(
            target: audit::TARGET, action = "kick", by = "another node", subject = %kick.whom,
            reason = kick.reason, "order"
        );
        let kick = Arc::new(kick);
        self.hub.router.order(None, || Mail::Kick(Arc::clone(&kick)))
    }

    /// Whether clients of other nodes may come, and where.
    pub(super) fn standing(&self) -> Standing {
        let is_serving = self.drain.stage() == Stage::Serving;
        let takes_clients = is_serving && self.hub.admission.is_open();
        Standing { client_url: self.client_url.clone(), takes_clients }
    }

    fn counted<T>(&self, act: impl FnOnce() -> Result<T, Invalid>) -> Result<T, Invalid> {
        let result = act();
        let stats = &self.metrics.peers;
        let number = if result.is_ok() { &stats.received } else { &stats.invalid };
        number.fetch_add(1, Ordering::Relaxed);
        if let Err(invalid @ (Invalid::TooLarge | Invalid::TooLargeForAll)) = result {
            self.doorman.refuse_size(invalid.text());
        }
        result
    }

    fn check_app(&self, app: AppId) -> Result<(), Invalid> {
        self.directory().room_of(app).map(|_| ()).ok_or(Invalid::App)
    }

    fn check_user(&self, app: AppId, user: &str) -> Result<(), Invalid> {
        self.check_app(app)?;
        let is_name = (1..=self.hub.bounds.user_id_bytes()).contains(&user.len());
        is_name.then_some(()).ok_or(Invalid::User)
    }

    /// Nothing is encoded that is too large as it came.
    fn encode(&self, push: &Envelope<'_>) -> Result<Frame, Invalid> {
        let bytes: usize =
            [push.seq, push.cmd, push.target, push.msg, push.from].map(str::len).iter().sum();
        if bytes > self.hub.bounds.content_bytes() {
            return Err(Invalid::TooLarge);
        }
        let frame = push::envelope(push);
        if frame.len() > self.hub.bounds.frame_bytes() { Err(Invalid::TooLarge) } else { Ok(frame) }
    }
}
