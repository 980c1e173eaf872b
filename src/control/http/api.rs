//! Questions about one user, and messages.

use super::Site;
use super::answer::{failure, of_code, success};
use super::form::{Fields, Form, Query};
use crate::command::Code;
use crate::control::cluster::{Cluster, Located};
use crate::control::delivery::{Message, Sent};
use crate::id::AppId;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// `GET /user/online`: is this user here, or on another node? An answer that
/// Redis had no part in says so.
pub(super) async fn online(State(site): State<Arc<Site>>, Query(fields): Query) -> Response {
    let (app, user) = (fields.app(), fields.get("userID"));
    if user.len() > site.hub.bounds.user_id_bytes() {
        site.metrics.shared.names_refused.fetch_add(1, Ordering::Relaxed);
        return failure(Code::BadUserId, site.hub.language);
    }
    let apps: Vec<AppId> = match app {
        ANY_APP => site.hub.directory.apps().collect(),
        app => vec![app],
    };
    let is_here = apps.iter().any(|app| site.hub.directory.find(*app, user).is_some());
    let elsewhere = match &site.cluster {
        Some(cluster) if !is_here => is_elsewhere(cluster, &apps, user).await,
        _ => Some(false),
    };
    let online = is_here || elsewhere == Some(true);
    let mut data = json!({"online": online, "userID": user});
    if elsewhere.is_none() {
        data["partial"] = true.into();
    }
    success(&data)
}

/// `None` when Redis cannot say.
async fn is_elsewhere(cluster: &Cluster, apps: &[AppId], user: &str) -> Option<bool> {
    let looks = apps.iter().map(|app| cluster.locate(*app, user));
    let found = futures_util::future::join_all(looks).await;
    if found.iter().any(|located| matches!(located, Located::At(_))) {
        return Some(true);
    }
    (!found.contains(&Located::Unknown)).then_some(false)
}

/// `POST /user/sendMessage`: to one user.
pub(super) async fn send_message(State(site): State<Arc<Site>>, Form(fields): Form) -> Response {
    let sent = match message(&fields) {
        Some(message) => site.delivery.to_user(message).await,
        None => Sent::without_message(),
    };
    told(&site, &sent)
}

/// `POST /user/sendMessageAll`: to all users of an app but the sender.
pub(super) async fn send_message_all(
    State(site): State<Arc<Site>>,
    Form(fields): Form,
) -> Response {
    let sent = match message(&fields) {
        Some(message) => site.delivery.to_all(message, Duration::ZERO).await,
        None => Sent::without_message(),
    };
    told(&site, &sent)
}

/// What became of a message; where it could not be sent to anybody, the code of the answer says so.
fn told(site: &Site, sent: &Sent) -> Response {
    match sent {
        Sent::Invalid(code, _) => of_code(*code, site.hub.language, &sent.told()),
        _ => success(&sent.told()),
    }
}

/// The app id that asks every app.
const ANY_APP: AppId = AppId(0);

/// `None` without a text: the form has no such field, or the body is no form.
fn message(fields: &Fields) -> Option<Message<'_>> {
    Some(Message {
        app: fields.app(),
        user: fields.get("userID"),
        msg_id: fields.get("msgID"),
        seq: fields.get("msgID"),
        text: fields.find("message")?,
        from: "",
    })
}
