//! `POST /admin/kick`: closes connections by order.

use super::audit::Subject;
use super::{Given, Site};
use crate::control::cluster::Located;
use crate::control::http::answer::{not_taken, success};
use crate::control::orders::kick_request;
use crate::hub::Orders;
use crate::id::{AppId, ConnId, UserId};
use crate::limits::USER_ID_BYTES_MAX;
use crate::link::{Kick, Mail, Whom};
use crate::websocket::close;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Orders the reactors of all nodes to close with 3503 those that are meant; who counts them
/// are the reactors, under the cause `kicked`.
pub(super) async fn kick(State(site): State<Arc<Site>>, given: Given) -> Response {
    let (owner, whom) = match target(&given) {
        Ok(target) => target,
        Err(why) => return not_taken(&why),
    };
    let reason = given.find("reason").unwrap_or("closed by an operator").to_owned();
    if reason.len() > close::REASON_BYTES_MAX {
        let (bytes, max) = (reason.len(), close::REASON_BYTES_MAX);
        return not_taken(&format!("reason has {bytes} bytes; a close frame carries {max}"));
    }
    let only_here = matches!(given.find("onlyHere"), Some("1" | "true"));
    let place = if only_here { "this node" } else { "all nodes" };
    let subject = Subject(format!("{whom} on {place}, reason {reason:?}"));
    // Before the order, which may be carried out before anybody could look.
    let places = match &whom {
        Whom::User { app, user } => Some(places(&site, *app, user).await),
        _ => None,
    };
    let kick = Arc::new(Kick { whom, reason });
    let orders = site.hub.router.order(owner, || Mail::Kick(Arc::clone(&kick)));
    let mut data = told(orders);
    if let Some((is_here, nodes)) = places {
        data["here"] = is_here.into();
        data["elsewhere"] = nodes.into();
    }
    if let (Some(cluster), Some(request), false) = (&site.cluster, kick_request(&kick), only_here) {
        let nodes = cluster.peers().kick(&request).await.into_iter().map(|(node, answer)| {
            let answer = answer.map_or_else(|error| json!({"error": error.to_string()}), told);
            (node.to_string(), answer)
        });
        data["nodes"] = nodes.collect::<Map<_, _>>().into();
    }
    subject.on(success(&data))
}

fn told(orders: Orders) -> Value {
    json!({"orders": orders.taken, "refused": orders.refused})
}

/// Who is meant, and the reactor that owns them if it is only one.
pub(super) fn target(given: &Given) -> Result<(Option<u16>, Whom), String> {
    let app = given.number("appID", u32::MAX.into())?.and_then(|app| u32::try_from(app).ok());
    let named = ["conn", "address", "userID"].map(|name| given.find(name));
    match (named, app.map(AppId)) {
        ([Some(conn), None, None], None) => {
            let ConnId { reactor, slot, serial } = conn.parse().map_err(|_| {
                format!("conn is {conn:?}, must be as logs show it, such as 0.17.4")
            })?;
            Ok((Some(reactor), Whom::Conn { slot, serial }))
        }
        ([None, Some(address), None], None) => {
            let network = address
                .parse()
                .map_err(|error| format!("address is {address:?}, which {error}"))?;
            Ok((None, Whom::Network(network)))
        }
        ([None, None, Some(user)], _) if user.len() > USER_ID_BYTES_MAX => {
            Err(format!("userID is longer than {USER_ID_BYTES_MAX} bytes"))
        }
        ([None, None, Some(user)], app) => Ok((None, Whom::User { app, user: UserId::from(user) })),
        ([None, None, None], Some(app)) => Ok((None, Whom::App(app))),
        _ => Err("one of userID (with appID, or on any app), appID, address and conn is needed"
            .to_owned()),
    }
}

/// Whether a user is on this node, and the other nodes that hold one of that name.
pub(super) async fn places(site: &Site, app: Option<AppId>, user: &str) -> (bool, Vec<String>) {
    let apps = app.map_or_else(|| site.hub.directory.apps().collect(), |app| vec![app]);
    let is_here = apps.iter().any(|app| site.hub.directory.find(*app, user).is_some());
    let mut nodes = Vec::new();
    if let Some(cluster) = &site.cluster {
        for app in apps {
            if let Located::At(node) = cluster.locate(app, user).await {
                nodes.push(node.to_string());
            }
        }
    }
    nodes.sort_unstable();
    nodes.dedup();
    (is_here, nodes)
}
