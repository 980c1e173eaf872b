//! The flight recorder: connections that are watched, and what is told of them.
//!
//! A connection that nobody watches pays one look at a flag in its own cache line.

use super::Reactor;
use super::sweep::Sweep;
use crate::connection::Mark;
use crate::limits::TRACED_CONNECTIONS_MAX;
use crate::link::{Happening, Line, Trace, Whom};
use crate::metrics::Cause;
use crate::session::User;
use crate::websocket::message::Incoming;
use crate::websocket::sent;
use std::sync::Arc;

/// What is watched in this reactor.
#[derive(Debug, Default)]
pub(super) struct Watched {
    watches: Vec<Watch>,
    /// The connections that are watched for any of them.
    conns: Vec<(u32, u32)>,
}

/// A trace and the connections that are watched for it.
#[derive(Debug)]
struct Watch {
    trace: Arc<Trace>,
    conns: Vec<(u32, u32)>,
}

impl Watched {
    /// Whether there is any trace.
    pub(super) fn has_watches(&self) -> bool {
        !self.watches.is_empty()
    }
}

impl Reactor {
    /// Begins to watch: those who come from now on, and by a sweep those who are here.
    pub(super) fn begin_trace(&mut self, trace: Arc<Trace>) {
        self.forget_closed_traces();
        self.watched.watches.push(Watch { trace: Arc::clone(&trace), conns: Vec::new() });
        self.begin_sweep(Sweep::Trace(trace));
    }

    /// Nobody reads this one any more.
    pub(super) fn end_trace(&mut self, id: u64) {
        if let Some(watch) = self.watched.watches.iter().find(|watch| watch.trace.id == id) {
            watch.trace.tap.close();
        }
        self.forget_closed_traces();
    }

    fn forget_closed_traces(&mut self) {
        self.watched.watches.retain(|watch| !watch.trace.tap.is_closed());
        // The flags are set anew: a connection may be watched for several traces.
        let traced: Vec<(u32, u32)> =
            self.watched.watches.iter().flat_map(|watch| watch.conns.iter().copied()).collect();
        for (slot, serial) in std::mem::take(&mut self.watched.conns) {
            if let Some(conn) = self.conns.get(slot, serial) {
                conn.marks.set(Mark::Traced, traced.contains(&(slot, serial)));
            }
        }
        self.watched.conns = traced;
    }

    /// Watches the connection in `slot` for a trace that has begun.
    pub(super) fn watch(&mut self, slot: u32, trace: &Arc<Trace>) {
        let here = (slot, self.conns.serial(slot));
        let watch = self.watched.watches.iter_mut().find(|watch| Arc::ptr_eq(&watch.trace, trace));
        let Some(watch) = watch.filter(|watch| !watch.conns.contains(&here)) else { return };
        if watch.conns.len() >= TRACED_CONNECTIONS_MAX {
            return;
        }
        watch.conns.push(here);
        self.watched.conns.push(here);
        self.conns[slot].marks.set(Mark::Traced, true);
        trace.tap.tell(self.as_it_is(slot));
    }

    /// The connection in `slot` as it is now.
    pub(super) fn as_it_is(&self, slot: u32) -> Line {
        let user = self.conns[slot].user_key();
        let waiting_bytes = self.conns[slot].backlog_bytes();
        let what = Happening::Begin { client: self.client(slot), user, waiting_bytes };
        Line { at: self.now, conn: self.id(slot), what }
    }

    /// A connection has come: it is watched if its network is.
    pub(super) fn watch_arrival(&mut self, slot: u32) {
        self.watch_if(slot, |whom| matches!(whom, Whom::Network(_)));
    }

    /// A user has logged in: the connection is watched if the user is.
    pub(super) fn watch_login(&mut self, slot: u32, user: &User) {
        if self.conns[slot].marks.has(Mark::Traced) {
            self.tell(slot, |_| Happening::Login(user.app, user.id.clone()));
        }
        self.watch_if(slot, |whom| matches!(whom, Whom::User { .. } | Whom::App(_)));
    }

    fn watch_if(&mut self, slot: u32, of_kind: impl Fn(&Whom) -> bool) {
        let traces = self.watched.watches.iter().map(|watch| &watch.trace);
        let meant: Vec<Arc<Trace>> = traces
            .filter(|trace| of_kind(&trace.whom) && self.is_meant(slot, &trace.whom))
            .cloned()
            .collect();
        for trace in meant {
            self.watch(slot, &trace);
        }
    }

    /// The client has sent something.
    pub(super) fn trace_in(&self, slot: u32, incoming: &Incoming<'_>) {
        let reason;
        let (kind, payload) = match incoming {
            Incoming::Text(text) => ("text", text.as_bytes()),
            Incoming::Binary(bytes) => ("binary", *bytes),
            Incoming::Ping(bytes) => ("ping", *bytes),
            Incoming::Pong(bytes) => ("pong", *bytes),
            Incoming::Close(None) => ("close", &[][..]),
            Incoming::Close(Some((code, text))) => {
                reason = [&code.to_be_bytes()[..], text.as_bytes()].concat();
                ("close", &reason[..])
            }
        };
        self.tell(slot, |trace| Happening::In(trace.tap.show(kind, payload)));
    }

    /// These bytes were sent, or wait to be: whole frames, or the answer to a handshake.
    pub(super) fn trace_out(&self, slot: u32, bytes: &[u8]) {
        let waiting_bytes = self.conns[slot].backlog_bytes();
        for (kind, payload) in sent::frames(bytes) {
            self.tell(slot, |trace| {
                let frame = trace.tap.show(kind, payload);
                Happening::Out { frame, waiting_bytes }
            });
        }
    }

    /// Its end has begun.
    pub(super) fn trace_close(&mut self, slot: u32, cause: Cause) {
        let name = Cause::ALL[cause as usize].1;
        self.tell(slot, |_| Happening::Close(name));
        let here = (slot, self.conns.serial(slot));
        self.conns[slot].marks.set(Mark::Traced, false);
        self.watched.conns.retain(|traced| *traced != here);
        for watch in &mut self.watched.watches {
            watch.conns.retain(|watched| *watched != here);
        }
    }

    /// Tells those who watch the connection in `slot`.
    fn tell(&self, slot: u32, what: impl Fn(&Trace) -> Happening) {
        let here = (slot, self.conns.serial(slot));
        for watch in self.watched.watches.iter().filter(|watch| watch.conns.contains(&here)) {
            let what = what(&watch.trace);
            watch.trace.tap.tell(Line { at: self.now, conn: self.id(slot), what });
        }
    }
}
