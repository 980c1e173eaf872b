//! Questions about one user, and messages.

use super::Site;
use super::answer::success;
use super::form::{Fields, Form, Query};
use crate::control::delivery::{Message, Sent};
use crate::id::AppId;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /user/online`: is this user here?
pub(super) async fn online(State(site): State<Arc<Site>>, Query(fields): Query) -> Response {
    let (app, user) = (fields.app(), fields.get("userID"));
    let directory = &site.hub.directory;
    let online = match app {
        ANY_APP => directory.apps().any(|app| directory.find(app, user).is_some()),
        app => directory.find(app, user).is_some(),
    };
    success(&json!({"online": online, "userID": user}))
}

/// `POST /user/sendMessage`: to one user.
pub(super) async fn send_message(State(site): State<Arc<Site>>, Form(fields): Form) -> Response {
    success(&told(&site.delivery.to_user(message(&fields))))
}

/// `POST /user/sendMessageAll`: to all users of an app but the sender.
pub(super) async fn send_message_all(
    State(site): State<Arc<Site>>,
    Form(fields): Form,
) -> Response {
    success(&told(&site.delivery.to_all(message(&fields))))
}

/// The app id that asks every app.
const ANY_APP: AppId = AppId(0);

fn message(fields: &Fields) -> Message<'_> {
    Message {
        app: fields.app(),
        user: fields.get("userID"),
        msg_id: fields.get("msgID"),
        text: fields.get("message"),
    }
}

const PARTLY: &str = "the node is overloaded, not everybody got the message";

fn told(sent: &Sent) -> Value {
    match sent {
        Sent::Duplicate => json!({}),
        Sent::Yes => json!({"sendResults": true}),
        Sent::Offline => json!({"sendResults": false}),
        Sent::Failed(why) => json!({"sendResults": false, "sendResultsErr": why}),
        Sent::Partly => json!({"sendResults": false, "sendResultsErr": PARTLY}),
    }
}
