//! `GET /system/state`: the node in numbers and, for debugging, in names.

use super::Site;
use super::answer::{SUCCESS, append_string, overloaded, streamed, success};
use super::form::Query;
use super::list::Walk;
use crate::host::kernel::Process;
use crate::id::{AppId, UserKey};
use crate::limits::{CLIENTS_WAIT_MS, DEBUG_ANSWER_SECONDS, DEBUG_ANSWERS_MAX, HTTP_PIECE_BYTES};
use crate::link::ClientPage;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Answers with the numbers; with `isDebug=true` also with the address of
/// every client and the name of every user, made while the caller reads.
pub(super) async fn state(State(site): State<Arc<Site>>, Query(fields): Query) -> Response {
    let state = numbers(&site);
    if fields.get("isDebug") != "true" {
        return success(&state);
    }
    let Some(turn) = Questions::enter(&site.questions, site.clock.now()) else {
        return overloaded("other callers are being told already: try again");
    };
    streamed(stream::unfold(Some(Telling::new(site, &state, turn)), |telling| async {
        let (piece, rest) = telling?.piece().await;
        Some((Ok::<_, Infallible>(Bytes::from(piece)), rest))
    }))
}

/// The channels of the reference do not exist here: what a login or an end
/// waits for is a reactor's turn, and only orders wait in a queue.
fn numbers(site: &Site) -> Value {
    json!({
        "managerInfo": {
            "clientsLen": site.metrics.total(|block| &block.connections),
            "usersLen": site.hub.directory.users(),
            "chanRegisterLen": 0,
            "chanLoginLen": 0,
            "chanUnregisterLen": 0,
            "chanBroadcastLen": site.hub.router.depths().sum::<usize>(),
        },
        "numCPU": std::thread::available_parallelism().map_or(1, usize::from),
        "numGoroutine": Process::now().threads,
    })
}

/// The answers with names that are being made: each has reactors look through their connections,
/// so there are few at a time.
#[derive(Debug, Default)]
pub(in crate::control) struct Questions(Mutex<Vec<Duration>>);

/// One of them, as long as it lives, or until its time is over.
struct Turn {
    of: Arc<Questions>,
    until: Duration,
}

impl Questions {
    /// Begins another one, unless there are too many. One that nobody has read in time counts no
    /// more.
    fn enter(questions: &Arc<Self>, now: Duration) -> Option<Turn> {
        let mut ends = questions.lock();
        ends.retain(|until| now < *until);
        if ends.len() >= DEBUG_ANSWERS_MAX {
            return None;
        }
        let until = now + Duration::from_secs(DEBUG_ANSWER_SECONDS);
        ends.push(until);
        Some(Turn { of: Arc::clone(questions), until })
    }

    /// Nothing panics with the lock held.
    fn lock(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut ends = self.of.lock();
        if let Some(own) = ends.iter().position(|until| *until == self.until) {
            ends.swap_remove(own);
        }
    }
}

/// An answer with names that is being written.
struct Telling {
    site: Arc<Site>,
    turn: Turn,
    /// What comes before the first name; empty once it is written.
    head: Vec<u8>,
    /// True until a name is in the current list.
    is_first: bool,
    names: Names,
}

/// Whose names come next.
enum Names {
    Users {
        walk: Walk,
        app: AppId,
        apps: std::vec::IntoIter<AppId>,
    },
    /// Those of a reactor, from a slot on.
    Clients {
        reactor: usize,
        from: u32,
    },
    Nobody,
}

impl Telling {
    fn new(site: Arc<Site>, state: &Value, turn: Turn) -> Self {
        // The numbers without the braces that close managerInfo and the data.
        let (counts, cpu, threads) =
            (state["managerInfo"].to_string(), &state["numCPU"], &state["numGoroutine"]);
        let counts = counts.trim_end_matches('}');
        let data = format!(
            "{{\"numCPU\":{cpu},\"numGoroutine\":{threads},\"managerInfo\":{counts},\"users\":["
        );
        let head = [SUCCESS, data.as_bytes()].concat();
        let apps = site.hub.directory.apps().collect::<Vec<_>>().into_iter();
        // App 0 is no app: a walk over nobody, after which the first app comes.
        let walk = Walk::new(&site.hub.directory, AppId(0), 0, usize::MAX);
        Self { site, turn, head, is_first: true, names: Names::Users { walk, app: AppId(0), apps } }
    }

    /// The next piece and, unless it is the last, what writes the others.
    async fn piece(mut self) -> (Vec<u8>, Option<Self>) {
        let mut out = std::mem::take(&mut self.head);
        // A caller that reads faster than the list is made must not keep the thread.
        tokio::task::yield_now().await;
        if self.site.clock.now() >= self.turn.until {
            return (out, None);
        }
        while out.len() < HTTP_PIECE_BYTES {
            self = match self.names {
                Names::Users { .. } => self.users(&mut out),
                Names::Clients { reactor, from } => self.clients(&mut out, reactor, from).await,
                Names::Nobody => {
                    out.extend_from_slice(b"]}}}");
                    return (out, None);
                }
            }
        }
        (out, Some(self))
    }

    fn users(mut self, out: &mut Vec<u8>) -> Self {
        let Names::Users { walk, app, apps } = &mut self.names else { return self };
        if let Some(users) = walk.next() {
            let app = *app;
            for user in users {
                self.name(out, &UserKey { app, user }.to_string());
            }
        } else if let Some(next) = apps.next() {
            *walk = Walk::new(&self.site.hub.directory, next, 0, usize::MAX);
            *app = next;
        } else {
            out.extend_from_slice(b"],\"clients\":[");
            self.is_first = true;
            self.names = Names::Clients { reactor: 0, from: 0 };
        }
        self
    }

    /// The next clients of a reactor. One that is too busy to tell is passed over.
    async fn clients(mut self, out: &mut Vec<u8>, reactor: usize, from: u32) -> Self {
        let router = &self.site.hub.router;
        if reactor >= router.reactors() {
            self.names = Names::Nobody;
            return self;
        }
        let asked = router.ask_for_clients(reactor, from).ok();
        let told = tokio::task::spawn_blocking(move || {
            asked?.recv_timeout(Duration::from_millis(CLIENTS_WAIT_MS)).ok()
        });
        let ClientPage { clients, next } = told.await.ok().flatten().unwrap_or_else(|| {
            tracing::warn!(reactor, "a reactor did not tell its clients in time");
            ClientPage { clients: Vec::new(), next: None }
        });
        for client in clients {
            self.name(out, &client.to_string());
        }
        self.names = match next {
            Some(from) => Names::Clients { reactor, from },
            None => Names::Clients { reactor: reactor + 1, from: 0 },
        };
        self
    }

    fn name(&mut self, out: &mut Vec<u8>, name: &str) {
        if !self.is_first {
            out.push(b',');
        }
        self.is_first = false;
        append_string(out, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_told_at_a_time_and_none_for_ever() {
        let questions = Arc::<Questions>::default();
        let enter = |seconds| Questions::enter(&questions, Duration::from_secs(seconds));
        let mut turns: Vec<_> = (0..DEBUG_ANSWERS_MAX as u64).map(enter).collect();
        assert!(turns.iter().all(Option::is_some));
        assert!(enter(10).is_none());
        turns.pop();
        let next = enter(10);
        assert!(next.is_some() && enter(10).is_none());
        let late = enter(DEBUG_ANSWER_SECONDS);
        assert!(late.is_some(), "the first was not read in time");
        turns.clear();
        assert!(enter(DEBUG_ANSWER_SECONDS).is_none(), "its end frees no place of others");
    }
}
