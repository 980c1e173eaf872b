//! `POST /user/sendMessages`: many messages to single users in one request.

use super::Site;
use super::answer::{Refusal, not_taken, overloaded, success};
use super::body::{content_type, whole};
use crate::command::{Code, repair_surrogates};
use crate::control::delivery::{Message, Sent};
use crate::id::AppId;
use crate::limits::BATCH_MESSAGES_MAX;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// The body. Each message is read by itself, so that one that cannot be read costs no other.
#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
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
/// would, in their order; 503 if all were refused by nodes that are overloaded. Those to one user are sent in their order.
pub(super) async fn send_messages(
    State(site): State<Arc<Site>>,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = whole(request).await?;
    if !content_type(&parts).eq_ignore_ascii_case("application/json") {
        return Err(Refusal::NotJson);
    }
    // As JSON of clients is read: half an emoji and letters that are none become U+FFFD.
    let text = String::from_utf8_lossy(&body);
    let text = repair_surrogates(&text);
    // RFC 8259 §8.1: a reader may ignore a byte order mark, and some libraries write one.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let batch: Batch<'_> = match serde_json::from_str(text) {
        Ok(batch) => batch,
        Err(error) => return Ok(not_taken(&format!("the body is no list of messages: {error}"))),
    };
    if batch.messages.len() > BATCH_MESSAGES_MAX {
        let (count, max) = (batch.messages.len(), BATCH_MESSAGES_MAX);
        return Ok(not_taken(&format!("{count} messages in one request, {max} at most")));
    }
    let items: Vec<Result<Item<'_>, serde_json::Error>> =
        batch.messages.iter().map(|item| serde_json::from_str(item.get())).collect();
    let messages: Vec<Message<'_>> = items.iter().flatten().map(Item::message).collect();
    let sent = site.delivery.to_users(&messages).await;
    let is_refused = |sent: &Sent| matches!(sent, Sent::Overloaded(_));
    if !sent.is_empty() && sent.len() == items.len() && sent.iter().all(is_refused) {
        return Ok(overloaded("the node is overloaded, nobody got a message: try again"));
    }
    let mut sent = sent.into_iter();
    let results = items.iter().map(|item| match item {
        Ok(_) => sent.next().map_or(Value::Null, |sent| sent.told()),
        Err(error) => Sent::Invalid(Code::BadParameter, error.to_string().into()).told(),
    });
    let results: Vec<Value> = results.collect();
    Ok(success(&json!({"results": results})))
}

impl Item<'_> {
    fn message(&self) -> Message<'_> {
        let Self { app, user, msg_id, message } = self;
        Message { app: AppId(*app), user, msg_id, seq: msg_id, text: message, from: "" }
    }
}
