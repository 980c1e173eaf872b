//! Who a client is, by address, behind whatever proxies.

use super::Reactor;
use crate::address::ClientAddr;
use crate::connection::{Ending, Output};
use crate::limits::CLIENTS_PER_PAGE;
use crate::link::ClientPage;
use crate::metrics::Cause;
use crate::websocket::forwarded;
use std::net::IpAddr;

impl Reactor {
    /// Where the client of this connection is: as a trusted proxy has told, or
    /// else the other end of the socket, for which the kernel is asked.
    pub(super) fn client(&self, slot: u32) -> ClientAddr {
        let told = self.conns[slot].extra.as_ref().and_then(|extra| extra.client);
        told.unwrap_or_else(|| self.conns.socket(slot).peer())
    }

    /// Who is logged in there, for a line of the log.
    pub(super) fn name(&self, slot: u32) -> Option<&str> {
        self.conns[slot].user().map(|user| user.id.as_str())
    }

    /// Where the clients are from this slot on, a page of them.
    pub(super) fn clients(&self, from: u32) -> ClientPage {
        let mut slots = self.conns.slots_from(from);
        let some = slots.by_ref().take(CLIENTS_PER_PAGE);
        let clients = some.map(|slot| self.client(slot)).collect();
        ClientPage { clients, next: slots.next() }
    }

    /// Takes the address that a proxy tells in the head of a handshake, if the
    /// proxy is trusted.
    pub(super) fn note_forwarded(&mut self, slot: u32, head: &[u8]) {
        let trusted = &self.settings.trusted;
        if trusted.is_empty() {
            return;
        }
        let nearest = self.client(slot);
        if nearest == ClientAddr::Unknown || !trusted.trusts(nearest.ip()) {
            return;
        }
        let told = forwarded::client(head, |ip: Option<IpAddr>| trusted.trusts(ip));
        if told.is_some() {
            self.conns[slot].extra().client = told;
        }
    }

    /// Says in the log who has come; the kernel is asked for it only if somebody reads that.
    pub(super) fn tell_of_upgrade(&self, slot: u32) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(conn = %self.id(slot), client = %self.client(slot), "open");
        }
    }

    /// A proxy has told where the client is: decides whether it is believed, and whether the
    /// client is let in.
    pub(super) fn judge_client(&mut self, slot: u32, out: &mut Output) {
        let trusted = &self.settings.trusted;
        if !trusted.is_empty() {
            let proxy = self.conns.socket(slot).peer();
            if proxy == ClientAddr::Unknown {
                // A health check sends its header and resets the connection.
                return out.end(Ending::lose(Cause::Reset));
            }
            if !trusted.trusts(proxy.ip()) {
                tracing::debug!(conn = %self.id(slot), %proxy, "not in listen.trusted_proxies");
                return out.end(Ending::lose(Cause::ProxyHeader));
            }
        }
        let Err(refused) = self.book_behind_proxy(slot) else { return };
        if self.conns[slot].may_shake() {
            // TLS has not begun: an answer would be none.
            return out.end(Ending::lose(refused.cause));
        }
        refused.append_response(&mut out.replies);
        out.end(Ending::linger(refused.cause));
    }
}
