//! Goodbyes of a server that stops, and clients that do as they are bidden.
//!
//! The reason of a close 1012 may say when this client should be back, and where:
//! `{"reconnect":{"after_ms":7312,"url":"wss://b.example.org/acc"}}`.

use super::conn::Role;
use super::order::{Policy, UNBIDDEN_MAX};
use super::totals::Count;
use super::worker::Worker;
use crate::wire::frame::{self, Opcode};
use crate::wire::handshake::{Handshake, random_key};
use crate::wire::url::Url;
use serde::Deserialize;
use std::collections::HashMap;

/// Whom a worker's clients were told to come back to, and who is on the way. A client that was
/// told nothing costs no memory here.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    /// Clients that were told and are not back.
    away: HashMap<u32, Away>,
    /// Clients that have moved, and the place they have moved to.
    moved: HashMap<u32, usize>,
    /// Places that were named, each once.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Away {
    /// When it was bidden to be back.
    due_us: u64,
    /// When it last tried.
    dialled_us: u64,
    /// Attempts that failed.
    failed: u32,
}

#[derive(Debug)]
struct Place {
    url: Url,
    handshake: Handshake,
}

/// Different places that are learned of; the gateway names 64 at most.
const PLACES_MAX: usize = 64;

#[derive(Deserialize)]
struct Reason<'a> {
    #[serde(borrow)]
    reconnect: Bidding<'a>,
}

/// What a client is bidden.
#[derive(Debug, Deserialize, PartialEq)]
struct Bidding<'a> {
    after_ms: u64,
    #[serde(default)]
    url: Option<&'a str>,
}

fn bidding(reason: &[u8]) -> Option<Bidding<'_>> {
    serde_json::from_slice::<Reason<'_>>(reason).ok().map(|reason| reason.reconnect)
}

/// Close code of a server that restarts (IANA registry of RFC 6455 close codes).
const RESTART: u16 = 1012;

/// Codes after which a client stays away, as the gateway's README has it.
const FOR_GOOD: std::ops::Range<u16> = 3_500..4_000;

impl Worker {
    /// The server has closed a connection in good order.
    pub(super) fn goodbye(&mut self, slot: u32, code: Option<u16>, reason: &[u8]) {
        let cause = code.map_or("close without a code".to_owned(), |code| format!("close {code}"));
        let obeys = self.policy == Policy::Obey && self.conn(slot).role == Role::Good;
        match code {
            Some(RESTART) if obeys => {
                let unbidden = UNBIDDEN_MAX.mul_f64(self.random.f64()).as_millis() as u64;
                let unbidden = Bidding { after_ms: unbidden, url: None };
                self.leave(slot, &bidding(reason).unwrap_or(unbidden), cause);
            }
            Some(code) if obeys && FOR_GOOD.contains(&code) => {
                self.tally.one(Count::Lost);
                self.close(slot);
                self.blame(cause);
            }
            _ => self.lose(slot, cause),
        }
    }

    /// Answers a close. Behind a proxy the other end may be gone already, and has said all that it
    /// had to say: whether it hears this makes no difference.
    pub(super) fn answer_goodbye(&mut self, slot: u32, payload: &[u8]) {
        let mask = self.random.u32(..).to_ne_bytes();
        let mut out = Vec::with_capacity(payload.len() + 14);
        frame::append(&mut out, Opcode::Close, payload, mask);
        let conn = self.conn(slot);
        let waits = conn.rest.as_ref().is_some_and(|rest| !rest.outbound.is_empty());
        if !waits && let Ok(written) = conn.write(&out) {
            self.tally.add(Count::BytesOut, written as u64);
        }
    }

    fn leave(&mut self, slot: u32, bidding: &Bidding<'_>, cause: String) {
        // Who is told again on the way back comes back once.
        if !self.farewells.away.contains_key(&slot) {
            self.tally.one(Count::Told);
        }
        self.close(slot);
        self.blame(cause);
        if let Some(text) = bidding.url {
            match self.place(text) {
                Ok(place) => drop(self.farewells.moved.insert(slot, place)),
                Err(why) => self.blame(format!("1012: {why}")),
            }
        }
        let due_us = self.now_us().saturating_add(bidding.after_ms.saturating_mul(1_000));
        self.farewells.away.insert(slot, Away { due_us, dialled_us: due_us, failed: 0 });
        let conn = self.conn(slot);
        conn.was_dropped = true;
        // The first attempt is bidden; what comes after it is our own affair.
        conn.tries = 1;
        self.dialer.again(slot, due_us);
    }

    /// The number of a place that clients are sent to.
    fn place(&mut self, text: &str) -> Result<usize, &'static str> {
        let known = self.farewells.places.iter().position(|place| place.url.text == text);
        if let Some(known) = known {
            return Ok(known);
        }
        if self.farewells.places.len() >= PLACES_MAX {
            return Err("more places than are kept");
        }
        let unusable = "a URL that cannot be used";
        let url = Url::parse(text).map_err(|_| unusable)?;
        if url.is_secure && self.tls.is_none() {
            self.tls = Some(super::tls::configuration().map_err(|_| unusable)?);
        }
        let key = random_key(&mut self.random);
        let handshake = Handshake::new(&url, &key, &self.setup.spec.headers);
        self.farewells.places.push(Place { url, handshake });
        Ok(self.farewells.places.len() - 1)
    }

    /// Where a client connects to.
    pub(super) fn url(&self, slot: u32) -> &Url {
        match self.farewells.of(slot) {
            Some(place) => &place.url,
            None => self.setup.spec.url(self.setup.first + slot),
        }
    }

    /// What a client says and expects at its handshake.
    pub(super) fn handshake(&self, slot: u32) -> &Handshake {
        match self.farewells.of(slot) {
            Some(place) => &place.handshake,
            None => self.own_handshake(slot),
        }
    }

    /// An attempt begins.
    pub(super) fn note_dial(&mut self, slot: u32, now_us: u64) {
        if let Some(away) = self.farewells.away.get_mut(&slot) {
            away.dialled_us = now_us;
        }
    }

    /// An attempt has failed: who was sent elsewhere goes back to its own list.
    pub(super) fn note_failure(&mut self, slot: u32) {
        self.farewells.moved.remove(&slot);
        if let Some(away) = self.farewells.away.get_mut(&slot) {
            away.failed += 1;
        }
    }

    /// A client is where it belongs again.
    pub(super) fn note_return(&mut self, slot: u32) {
        let Some(away) = self.farewells.away.remove(&slot) else { return };
        let now = self.now_us();
        self.harvest.returns.record(away.due_us, away.dialled_us, now);
        if away.failed > 0 {
            self.tally.one(Count::Retried);
        }
        if self.farewells.moved.contains_key(&slot) {
            self.tally.one(Count::Moved);
        }
    }
}

impl Farewells {
    /// The place that a client has moved to.
    fn of(&self, slot: u32) -> Option<&Place> {
        // Most have never seen a goodbye.
        if self.moved.is_empty() {
            return None;
        }
        self.moved.get(&slot).map(|place| &self.places[*place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read() {
        let whole = br#"{"reconnect":{"after_ms":7312,"url":"wss://b.example.org/acc"}}"#;
        let expected = Bidding { after_ms: 7_312, url: Some("wss://b.example.org/acc") };
        assert_eq!(bidding(whole), Some(expected));
        let short = bidding(br#"{"reconnect":{"after_ms":0}}"#);
        assert_eq!(short, Some(Bidding { after_ms: 0, url: None }));
        let others = [&b""[..], b"restart", b"{}", br#"{"reconnect":{"after_ms":-1}}"#, b"\xff"];
        for other in others {
            assert_eq!(bidding(other), None);
        }
    }
}
