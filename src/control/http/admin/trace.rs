//! `POST /admin/trace`: what happens to some connections, line by line, as it happens.

use super::audit::Subject;
use super::kick::target;
use super::{Given, Site};
use crate::control::audit::TARGET;
use crate::control::http::answer::{not_taken, refused};
use crate::hub::Router;
use crate::limits::{HTTP_PIECE_BYTES, TRACE_CONTENT_BYTES, TRACE_LINES_WAITING_MAX, TRACES_MAX};
use crate::link::{Happening, Line, Mail, Shown, Tap, Trace, Whom};
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use crossbeam_channel::Receiver;
use futures_util::stream;
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, interval};

/// The places for traces.
#[derive(Debug)]
pub(in crate::control) struct Traces {
    pub(super) places: Arc<Semaphore>,
    last: AtomicU64,
}

impl Default for Traces {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(TRACES_MAX)), last: AtomicU64::new(0) }
    }
}

/// Streams NDJSON until the caller goes, so many lines have been told, or the time is over.
pub(super) async fn trace(
    State(site): State<Arc<Site>>,
    Extension(policy): super::super::Ruled,
    given: Given,
) -> Response {
    let (target, bounds) = match (target(&given), Bounds::of(&given)) {
        (Ok(target), Ok(bounds)) => (target, bounds),
        (Err(why), _) | (_, Err(why)) => return not_taken(&why),
    };
    let Ok(place) = Arc::clone(&site.traces.places).try_acquire_owned() else {
        return refused(StatusCode::TOO_MANY_REQUESTS, "too many traces at once");
    };
    let subject = Subject(target.1.to_string());
    let content_bytes = if policy.config.admin.trace_content { TRACE_CONTENT_BYTES } else { 0 };
    let telling = Telling::begin(site, target, bounds, content_bytes, place);
    let lines = stream::unfold(Some(telling), |telling| async {
        let (piece, rest) = telling?.piece().await;
        Some((Ok::<_, Infallible>(Bytes::from(piece)), rest))
    });
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CACHE_CONTROL, "no-store")];
    subject.on((headers, Body::from_stream(lines)).into_response())
}

/// How long a trace may become.
struct Bounds {
    lines: u64,
    time: Duration,
}

impl Bounds {
    fn of(given: &Given) -> Result<Self, String> {
        let lines = given.number("limit", LINES_MAX)?.unwrap_or(LINES);
        let time = given.time("seconds", TIME_MAX)?.unwrap_or(TIME);
        Ok(Self { lines, time })
    }
}

const LINES: u64 = 10_000;
const LINES_MAX: u64 = 1_000_000;
const TIME: Duration = Duration::from_secs(60);
const TIME_MAX: Duration = Duration::from_secs(3_600);

/// How often it is looked for lines: reactors cannot wake a task.
const LOOK: Duration = Duration::from_millis(50);

/// A line at least so often, by which a caller who has gone is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A trace that is being told.
struct Telling {
    site: Arc<Site>,
    watch: Watch,
    lines: Receiver<Line>,
    bounds: Bounds,
    looks: Interval,
    began: Duration,
    told_at: Duration,
    told: u64,
}

/// Ends the trace in the reactors when it is dropped, however the stream ends.
struct Watch {
    trace: Arc<Trace>,
    owner: Option<u16>,
    router: Arc<Router>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.trace.tap.close();
        // A reactor that cannot take it forgets the closed trace at the next one.
        let _orders = self.router.order(self.owner, || Mail::EndTrace(self.trace.id));
        tracing::info!(target: TARGET, action = "end of trace", id = self.trace.id, "order");
    }
}

impl Telling {
    fn begin(
        site: Arc<Site>,
        (owner, whom): (Option<u16>, Whom),
        bounds: Bounds,
        content_bytes: usize,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let id = site.traces.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (tap, lines) = Tap::new(TRACE_LINES_WAITING_MAX, content_bytes);
        let trace = Arc::new(Trace { id, whom, tap });
        let router = Arc::clone(&site.hub.router);
        let watch = Watch { trace, owner, router, _place: place };
        watch.router.order(owner, || Mail::Trace(Arc::clone(&watch.trace)));
        let began = site.clock.now();
        Self { watch, lines, bounds, looks: interval(LOOK), began, told_at: began, told: 0, site }
    }

    /// The next lines and, unless they are the last, what tells the others.
    async fn piece(mut self) -> (Vec<u8>, Option<Self>) {
        let mut out = Vec::new();
        loop {
            self.looks.tick().await;
            while out.len() < HTTP_PIECE_BYTES
                && self.told < self.bounds.lines
                && let Ok(line) = self.lines.try_recv()
            {
                self.told += 1;
                append(&mut out, &told(&line, self.began));
            }
            let now = self.site.clock.now();
            if let Some(why) = self.end(now) {
                append(
                    &mut out,
                    &json!({"event": "end", "why": why, "lost": self.watch.trace.tap.dropped()}),
                );
                return (out, None);
            }
            if out.is_empty() && now >= self.told_at + SIGN_OF_LIFE {
                append(
                    &mut out,
                    &json!({"event": "alive", "lost": self.watch.trace.tap.dropped()}),
                );
            }
            if !out.is_empty() {
                self.told_at = now;
                return (out, Some(self));
            }
        }
    }

    fn end(&self, now: Duration) -> Option<&'static str> {
        if self.told >= self.bounds.lines {
            Some("limit")
        } else if now >= self.began + self.bounds.time {
            Some("seconds")
        } else if *self.site.ended.borrow() {
            Some("the node has stopped")
        } else {
            None
        }
    }
}

fn append(out: &mut Vec<u8>, line: &Value) {
    out.extend_from_slice(line.to_string().as_bytes());
    out.push(b'\n');
}

/// A line as the caller gets it.
fn told(line: &Line, began: Duration) -> Value {
    let ms = line.at.saturating_sub(began).as_micros() as f64 / 1e3;
    let mut told = json!({"ms": ms, "conn": line.conn.to_string()});
    match &line.what {
        Happening::Begin { client, user, waiting_bytes } => {
            told["event"] = "begin".into();
            told["client"] = client.to_string().into();
            told["waitingBytes"] = (*waiting_bytes).into();
            if let Some((app, user)) = user {
                told["appID"] = app.0.into();
                told["userID"] = user.as_str().into();
            }
        }
        Happening::Login(app, user) => {
            told["event"] = "login".into();
            told["appID"] = app.0.into();
            told["userID"] = user.as_str().into();
        }
        Happening::In(frame) => show(&mut told, "in", frame),
        Happening::Out { frame, waiting_bytes } => {
            show(&mut told, "out", frame);
            told["waitingBytes"] = (*waiting_bytes).into();
        }
        Happening::Close(cause) => {
            told["event"] = "close".into();
            told["cause"] = (*cause).into();
        }
    }
    told
}

fn show(told: &mut Value, event: &str, frame: &Shown) {
    let mut fields = Map::new();
    fields.insert("event".into(), event.into());
    fields.insert("kind".into(), frame.kind.into());
    fields.insert("bytes".into(), frame.bytes.into());
    if let Some(content) = &frame.content {
        fields.insert("content".into(), String::from_utf8_lossy(content).into());
    }
    if let Some(told) = told.as_object_mut() {
        told.append(&mut fields);
    }
}
