//! Who a client is, by address, behind whatever proxies.

use super::Reactor;
use super::conn::{Open, State};
use crate::address::ClientAddr;
use crate::limits::CLIENTS_PER_PAGE;
use crate::link::ClientPage;
use crate::metrics::Cause;
use crate::websocket::{forwarded, proxy};
use std::net::IpAddr;

impl Reactor {
    /// Where the client of this connection is: as a trusted proxy has told, or
    /// else the other end of the socket, for which the kernel is asked.
    pub(super) fn client(&self, slot: u32) -> ClientAddr {
        let conn = &self.conns[slot];
        let told = conn.extra.as_ref().and_then(|extra| extra.client);
        told.unwrap_or_else(|| conn.socket.peer())
    }

    /// Who is logged in there, for a line of the log.
    pub(super) fn name(&self, slot: u32) -> Option<&str> {
        let State::Open(Open { user: Some(user), .. }) = &self.conns[slot].state else {
            return None;
        };
        Some(&user.id)
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
            self.conns[slot].extra.get_or_insert_default().client = told;
        }
    }

    /// Says in the log who has come; the kernel is asked for it only if somebody reads that.
    pub(super) fn tell_of_upgrade(&self, slot: u32) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(conn = %self.id(slot), client = %self.client(slot), "open");
        }
    }

    /// Reads the header that must come first on a listener for proxies; returns
    /// its length once it is there. What is none ends the connection.
    pub(super) fn take_proxy_header(&mut self, slot: u32, bytes: &[u8]) -> Option<usize> {
        let header = match proxy::read(bytes) {
            Ok(header) => header?,
            Err(error) => {
                tracing::debug!(conn = %self.id(slot), %error, "refused");
                self.lose(slot, Cause::ProxyHeader);
                return None;
            }
        };
        let trusted = &self.settings.trusted;
        if !trusted.is_empty() {
            let proxy = self.conns[slot].socket.peer();
            if proxy == ClientAddr::Unknown || !trusted.trusts(proxy.ip()) {
                tracing::debug!(conn = %self.id(slot), %proxy, "not in listen.trusted_proxies");
                self.lose(slot, Cause::ProxyHeader);
                return None;
            }
        }
        if let Some(extra) = &mut self.conns[slot].extra {
            extra.client = header.source.map(ClientAddr::from);
            extra.awaits_proxy = false;
            extra.proxy_rest = header.rest.map(Box::new);
        }
        if let Err(refused) = self.book_behind_proxy(slot) {
            self.refuse_wrapped(slot, refused);
            return None;
        }
        Some(header.len)
    }

    /// Skips what is still to come of a large header of a proxy; returns how much of that there
    /// was, once it is complete. None of it is kept.
    pub(super) fn take_proxy_rest(&mut self, slot: u32, bytes: &[u8]) -> Option<usize> {
        let extra = self.conns[slot].extra.as_mut()?;
        let Some(rest) = &mut extra.proxy_rest else { return Some(0) };
        match rest.take(bytes) {
            Ok(len) if rest.is_over() => {
                extra.proxy_rest = None;
                Some(len)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(conn = %self.id(slot), %error, "refused");
                self.lose(slot, Cause::ProxyHeader);
                None
            }
        }
    }
}
