//! `GET /admin/connections`: the connections of a user, an app, a network, or one of them.

use super::kick::{places, target};
use super::{Given, Site};
use crate::control::http::answer::{not_taken, refused, success};
use crate::limits::FOUND_MAX;
use crate::link::{Find, Happening, Line, Mail, Tap, Whom};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use crossbeam_channel::{Receiver, TryRecvError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::interval;

/// Answers with up to [`FOUND_MAX`] connections of this node. Reactors look through theirs a
/// bounded number in a turn; whichever has not finished in time is missing, and `partial` says so.
pub(super) async fn connections(State(site): State<Arc<Site>>, given: Given) -> Response {
    let (owner, whom) = match target(&given) {
        Ok(target) => target,
        Err(why) => return not_taken(&why),
    };
    // A search costs the reactors what a trace does at its beginning, so they share their places.
    let Ok(_place) = Arc::clone(&site.traces.places).try_acquire_owned() else {
        return refused(StatusCode::TOO_MANY_REQUESTS, "too many traces and searches at once");
    };
    let places = match &whom {
        Whom::User { app, user } => Some(places(&site, *app, user).await),
        _ => None,
    };
    let (tap, lines) = Tap::new(FOUND_MAX, 0);
    let find = Arc::new(Find { whom, tap });
    let orders = site.hub.router.order(owner, || Mail::Find(Arc::clone(&find)));
    let answering = Arc::downgrade(&find);
    drop(find);
    let (mut found, is_whole) = collect(&lines).await;
    let left_out = answering.upgrade().map_or(0, |find| {
        find.tap.close();
        find.tap.dropped()
    });
    found.sort_by_key(|line| (line.conn.reactor, line.conn.slot));
    let mut data = json!({
        "connections": found.iter().filter_map(told).collect::<Vec<_>>(),
        "partial": !is_whole || orders.refused > 0 || left_out > 0,
    });
    if let Some((_, nodes)) = places {
        data["elsewhere"] = nodes.into();
    }
    success(&data)
}

/// What has been found when all reactors have finished or the time is over, and whether it is all.
async fn collect(lines: &Receiver<Line>) -> (Vec<Line>, bool) {
    let mut found = Vec::new();
    let mut looks = interval(LOOK);
    for _ in 0..LOOKS {
        looks.tick().await;
        loop {
            match lines.try_recv() {
                Ok(line) => found.push(line),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return (found, true),
            }
            if found.len() >= FOUND_MAX {
                return (found, false);
            }
        }
    }
    (found, false)
}

/// How often it is looked for connections that were found: reactors cannot wake a task.
const LOOK: Duration = Duration::from_millis(20);

/// So often at most, which is two seconds.
const LOOKS: u32 = 100;

fn told(line: &Line) -> Option<Value> {
    let Happening::Begin { client, user, waiting_bytes } = &line.what else { return None };
    Some(json!({
        "conn": line.conn.to_string(),
        "appID": user.as_ref().map(|(app, _)| app.0),
        "userID": user.as_ref().map(|(_, user)| user.as_str()),
        "client": client.to_string(),
        "waitingBytes": waiting_bytes,
    }))
}
