//! `GET /system/state`: the node in numbers and, for debugging, in names.

use super::Site;
use super::answer::{SUCCESS, append_string, streamed, success};
use super::form::Query;
use super::list::Walk;
use crate::host::kernel::Process;
use crate::host::sockets::Peers;
use crate::id::{AppId, UserKey};
use crate::limits::{HTTP_PIECE_BYTES, SOCKET_LINES_PER_PIECE};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

/// Answers with the numbers; with `isDebug=true` also with the address of
/// every client and the name of every user, made while the caller reads.
pub(super) async fn state(State(site): State<Arc<Site>>, Query(fields): Query) -> Response {
    let state = numbers(&site);
    if fields.get("isDebug") != "true" {
        return success(&state);
    }
    streamed(stream::unfold(Some(Telling::new(site, &state)), |telling| async {
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

/// An answer with names that is being written.
struct Telling {
    site: Arc<Site>,
    /// What comes before the first name; empty once it is written.
    head: Vec<u8>,
    /// True until a name is in the current list.
    is_first: bool,
    names: Names,
}

/// Whose names come next.
enum Names {
    Users { walk: Walk, app: AppId, apps: std::vec::IntoIter<AppId> },
    Clients(Peers),
    Nobody,
}

impl Telling {
    fn new(site: Arc<Site>, state: &Value) -> Self {
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
        Self { site, head, is_first: true, names: Names::Users { walk, app: AppId(0), apps } }
    }

    /// The next piece and, unless it is the last, what writes the others.
    async fn piece(mut self) -> (Vec<u8>, Option<Self>) {
        let mut out = std::mem::take(&mut self.head);
        // A caller that reads faster than the list is made must not keep the thread.
        tokio::task::yield_now().await;
        while out.len() < HTTP_PIECE_BYTES {
            self = match self.names {
                Names::Users { .. } => self.users(&mut out),
                Names::Clients(peers) => {
                    self.names = Names::Nobody;
                    self.clients(&mut out, peers).await
                }
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
            self.names = peers_or_nobody(Peers::of_port(self.site.websocket_addr.port()));
        }
        self
    }

    async fn clients(mut self, out: &mut Vec<u8>, mut peers: Peers) -> Self {
        let reading = tokio::task::spawn_blocking(move || {
            let found = peers.next(SOCKET_LINES_PER_PIECE);
            (found, peers)
        });
        // The task is not aborted, and reading does not panic.
        let Ok((found, peers)) = reading.await else { return self };
        let found: Vec<SocketAddr> = match found {
            Ok(Some(found)) => {
                self.names = Names::Clients(peers);
                found
            }
            Ok(None) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "the kernel's list of sockets ended early");
                Vec::new()
            }
        };
        for client in found {
            self.name(out, &client.to_string());
        }
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

fn peers_or_nobody(peers: std::io::Result<Peers>) -> Names {
    peers.map_or_else(
        |error| {
            tracing::warn!(%error, "the kernel's list of sockets cannot be read");
            Names::Nobody
        },
        Names::Clients,
    )
}
