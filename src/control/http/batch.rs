//! `POST /user/sendMessages`: many messages to single users in one request.

use super::Site;
use super::answer::{Refusal, not_taken, success};
use super::body::{content_type, whole};
use crate::control::delivery::{Message, Sent};
use crate::id::AppId;
use crate::limits::BATCH_MESSAGES_MAX;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// The body.
#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    messages: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "appID")]
    app: u32,
    #[serde(rename = "userID", borrow)]
    user: Cow<'a, str>,
    #[serde(rename = "msgID", borrow, default)]
    msg_id: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

/// Sends each message as `sendMessage` would, and tells of each what that
/// would, in their order. Those to one user are sent in their order.
pub(super) async fn send_messages(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = whole(request).await?;
    if !content_type(&parts).eq_ignore_ascii_case("application/json") {
        return Err(Refusal::NotJson);
    }
    let batch: Batch<'_> = match serde_json::from_slice(&body) {
        Ok(batch) => batch,
        Err(error) => return Ok(not_taken(&format!("the body is no list of messages: {error}"))),
    };
    if batch.messages.len() > BATCH_MESSAGES_MAX {
        let (count, max) = (batch.messages.len(), BATCH_MESSAGES_MAX);
        return Ok(not_taken(&format!("{count} messages in one request, {max} at most")));
    }
    let messages: Vec<Message<'_>> = batch.messages.iter().map(Item::message).collect();
    let sent = site.delivery.to_users(&messages).await;
    let results: Vec<Value> = sent.iter().map(Sent::told).collect();
    Ok(success(&json!({"results": results})))
}

impl Item<'_> {
    fn message(&self) -> Message<'_> {
        let Self { app, user, msg_id, message } = self;
        Message { app: AppId(*app), user, msg_id, seq: msg_id, text: message, from: "" }
    }
}
