//! What a reactor is given at its birth.

use super::listener::Entrance;
use crate::auth::Access;
use crate::clock::Clock;
use crate::command;
use crate::config::{Config, Displaced, Origins, Trusted};
use crate::connection::{self, FlowRules};
use crate::hub::{Hub, largest_frame_bytes};
use crate::id::AppId;
use crate::link::{
    Backlogs, Budget, Current, Drain, Mailbox, News, Outgoing, Permits, Post, Rate, SharedRate,
    SubnetRules, Subnets,
};
use crate::metrics::Metrics;
use crate::websocket::message;
use core_affinity::CoreId;
use crossbeam_channel::Sender;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// What all reactors of a node share.
#[derive(Debug)]
pub struct Shared {
    /// Who is where.
    pub hub: Arc<Hub>,
    /// One block of counters for each reactor.
    pub metrics: Arc<Metrics>,
    /// The node's time.
    pub clock: Clock,
    /// Where news go; `None` outside a cluster.
    pub events: Option<Post<News>>,
    /// Where messages of clients to others go.
    pub outgoing: Outgoing,
    /// Bytes that wait for slow peers.
    pub outboxes: Arc<Budget>,
    /// Bytes of half-received requests and messages.
    pub assemblies: Arc<Budget>,
    /// Who works at a broadcast.
    pub fanouts: Permits,
    /// Connections by network.
    pub subnets: Subnets,
    /// The pace at which new ones come.
    pub handshakes: SharedRate,
    /// How the node ends.
    pub drain: Arc<Drain>,
    /// The largest backlogs.
    pub backlogs: Arc<Backlogs>,
    /// Connections of all reactors.
    pub connections: AtomicUsize,
    /// What the configuration says; each reactor keeps its copy of the pointer
    /// and looks again at [`crate::link::Mail::Reload`].
    pub settings: Current<Settings>,
}

/// The configuration as a reactor needs it.
#[derive(Debug)]
pub struct Settings {
    /// What each connection goes by.
    pub(super) connection: connection::Rules,
    pub(super) command: command::Rules,
    /// How many connections may come in a second.
    pub(super) handshake_rate: Option<Rate>,
    /// The same, and how many there may be, of each network.
    pub(super) subnet: SubnetRules,
    /// Connections of one user, where they are bounded.
    pub(super) user_conns_max: Option<usize>,
    /// Whose pages may connect; empty means everybody's.
    pub(super) origins: Origins,
    /// What a connection gets whose user has logged in elsewhere.
    pub(super) displaced: Displaced,
    pub(super) connections_max: usize,
    /// Who is believed when it says whom it speaks for.
    pub(super) trusted: Trusted,
}

impl Settings {
    /// Takes what it needs. `tls` is what its `tls` listeners show.
    #[must_use]
    pub fn new(config: &Config, access: &Access, tls: Option<Arc<ServerConfig>>) -> Self {
        let mut apps: Vec<AppId> = config.apps.ids.iter().copied().map(AppId).collect();
        apps.sort_unstable();
        let limits = &config.limits;
        Self {
            connection: connection::Rules {
                path: config.listen.path.clone(),
                echo_path: config.echo.path.clone(),
                head_bytes_max: limits.handshake_bytes,
                message: message::Rules { message_bytes: limits.message_bytes },
                flow: FlowRules::new(limits),
                outbox_bytes_max: limits.outbox_bytes,
                frame_bytes_max: largest_frame_bytes(limits),
                idle_ticks: ticks(config.heartbeat.idle_timeout),
                handshake_ticks: ticks(limits.handshake_timeout),
                login_ticks: (!limits.login_timeout.is_zero()).then(|| ticks(limits.login_timeout)),
                message_ticks: (!limits.message_timeout.is_zero())
                    .then(|| ticks(limits.message_timeout)),
                tls,
            },
            command: command::Rules {
                apps,
                user_id_bytes_max: limits.user_id_bytes,
                tokens: access.tokens.clone(),
                clients_send: config.auth.clients_send(),
                wording: config.protocol.clone(),
            },
            displaced: config.protocol.displaced,
            origins: access.origins.clone(),
            handshake_rate: Rate::new(limits.handshakes_per_second, 1),
            subnet: SubnetRules {
                connections_max: (limits.connections_per_address > 0)
                    .then_some(limits.connections_per_address),
                rate: Rate::new(limits.handshakes_per_second_per_address, 1),
                share: Rate::new(limits.handshakes_per_second, 1).map(|rate| rate.fair_share()),
            },
            user_conns_max: (limits.connections_per_user > 0)
                .then_some(limits.connections_per_user),
            connections_max: match limits.connections {
                0 => usize::MAX,
                limit => limit,
            },
            trusted: Trusted::new(&config.listen.trusted_proxies),
        }
    }

    /// Whether each connection has to be looked at: one may have to go earlier than by `before`,
    /// or be counted.
    pub(super) fn is_stricter_than(&self, before: &Self) -> bool {
        let login = |settings: &Self| settings.connection.login_ticks.unwrap_or(u32::MAX);
        let message = |settings: &Self| settings.connection.message_ticks.unwrap_or(u32::MAX);
        let user_conns = |settings: &Self| settings.user_conns_max.unwrap_or(usize::MAX);
        self.connection.idle_ticks < before.connection.idle_ticks
            || self.connection.handshake_ticks < before.connection.handshake_ticks
            || login(self) < login(before)
            || message(self) < message(before)
            || user_conns(self) < user_conns(before)
            || (self.subnet.are_needed() && !before.subnet.are_needed())
    }
}

/// Ticks that certainly cover `time`: it may begin at the very end of one.
fn ticks(time: Duration) -> u32 {
    let whole = u32::try_from(time.as_secs()).unwrap_or(u32::MAX / 2);
    whole + 1 + u32::from(time.subsec_nanos() > 0)
}

/// What one reactor is given.
#[derive(Debug)]
pub struct Setup {
    /// Its number.
    pub index: u16,
    /// Where it runs; `None` leaves that to the scheduler.
    pub core: Option<CoreId>,
    /// Where it accepts clients, together with the others.
    pub entrances: Vec<Entrance>,
    /// Its orders.
    pub mailbox: Mailbox,
    /// The bells of all reactors and the shared sockets, which its descriptor table must keep;
    /// `None` to stay in the table of the process.
    pub private_table_with: Option<Vec<RawFd>>,
    /// Connections it may own: what its descriptor table allows.
    pub capacity: usize,
    /// Nothing is ever sent; that it has ended is known from the end of this.
    pub alive: Sender<Infallible>,
    /// What it shares.
    pub shared: Arc<Shared>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_end_early() {
        assert_eq!(ticks(Duration::from_secs(360)), 361);
        assert_eq!(ticks(Duration::from_millis(1_500)), 3);
    }
}
