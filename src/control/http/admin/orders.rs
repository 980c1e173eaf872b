//! Orders to the whole node: drain, reload.

use super::audit::Subject;
use super::{Given, Site};
use crate::control::http::answer::{not_taken, refused, success};
use crate::link::{Order, Progress, Stage, Wish};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use crossbeam_channel::{Receiver, Sender};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// `POST /admin/drain`: begins the end of this node, or changes how it goes on.
pub(super) async fn drain(State(site): State<Arc<Site>>, given: Given) -> Response {
    if matches!(given.find("cancel"), Some("1" | "true")) {
        return cancel(State(site)).await;
    }
    let wish = match wish(&given) {
        Ok(wish) => wish,
        Err(why) => return not_taken(&why),
    };
    let answer = match ask(&site, |answer| Order::Drain { wish, answer: Some(answer) }).await {
        Some(progress) => success(&told(&site, &progress)),
        None => busy(),
    };
    Subject(wish.to_string()).on(answer)
}

/// `DELETE /admin/drain`: takes it back, in its grace.
pub(super) async fn cancel(State(site): State<Arc<Site>>) -> Response {
    let answer = match ask(&site, |answer| Order::CancelDrain { answer: Some(answer) }).await {
        Some(true) => success(&told(&site, &Progress::default())),
        Some(false) => refused(StatusCode::CONFLICT, "there is no drain that could be taken back"),
        None => busy(),
    };
    Subject("take the drain back".to_owned()).on(answer)
}

/// `POST /admin/reload`: reads the configuration again.
pub(super) async fn reload(State(site): State<Arc<Site>>) -> Response {
    match ask(&site, |answer| Order::Reload { answer: Some(answer) }).await {
        Some(Ok(done)) => success(&json!({
            "changed": done.changed,
            "needsRestart": done.needs_restart,
            "notices": done.notices,
        })),
        Some(Err(problems)) => not_taken(&problems.join("\n")),
        None => busy(),
    }
}

fn wish(given: &Given) -> Result<Wish, String> {
    let rate = given.number("rate", u32::MAX.into())?;
    Ok(Wish {
        grace: given.time("grace", TIME_MAX)?,
        rate: rate.and_then(|rate| u32::try_from(rate).ok()),
        timeout: given.time("deadline", TIME_MAX)?,
    })
}

/// How a drain stands.
pub(super) fn told(site: &Site, progress: &Progress) -> Value {
    let stage = match progress.stage {
        Stage::Serving => "serving",
        Stage::Grace => "grace",
        Stage::Closing => "closing",
    };
    json!({
        "stage": stage,
        "total": progress.total,
        "told": progress.told,
        "perSecond": if progress.per_second.is_finite() { progress.per_second } else { 0.0 },
        "leftMs": u64::try_from(progress.left.as_millis()).unwrap_or(u64::MAX),
        "otherNodes": &*site.drain.refuges(),
    })
}

/// Gives an order to the node and waits for the answer; `None` if it has no time for it.
async fn ask<T: Send + 'static>(site: &Site, order: impl FnOnce(Sender<T>) -> Order) -> Option<T> {
    let (answer, told): (Sender<T>, Receiver<T>) = crossbeam_channel::bounded(1);
    site.orders.try_send(order(answer)).ok()?;
    // The thread that answers is none of this runtime.
    let waiting = tokio::task::spawn_blocking(move || told.recv_timeout(PATIENCE).ok());
    waiting.await.ok().flatten()
}

fn busy() -> Response {
    refused(StatusCode::SERVICE_UNAVAILABLE, "the node is busy with another order")
}

/// A reload with a reactor that does not take its mail lasts that long.
const PATIENCE: Duration = Duration::from_secs(10);

/// As in the configuration.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
