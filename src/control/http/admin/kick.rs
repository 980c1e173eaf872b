//! `POST /admin/kick`: closes connections by order.

use super::orders::TARGET;
use super::{Given, Site};
use crate::control::cluster::Located;
use crate::control::http::answer::{not_taken, success};
use crate::id::{AppId, ConnId, UserId};
use crate::link::{Kick, Mail, Whom};
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// Orders the reactors to close with 3503 those that are meant; who counts them
/// are the reactors, under the cause `kicked`.
pub(super) async fn kick(State(site): State<Arc<Site>>, given: Given) -> Response {
    let (owner, whom) = match target(&given) {
        Ok(target) => target,
        Err(why) => return not_taken(&why),
    };
    let reason = given.find("reason").unwrap_or("closed by an operator").to_owned();
    tracing::info!(target: TARGET, ?whom, reason, "kick");
    let kick = Arc::new(Kick { whom, reason });
    let orders = site.hub.router.order(owner, || Mail::Kick(Arc::clone(&kick)));
    let mut data = json!({"orders": orders.taken, "refused": orders.refused});
    if let Whom::User { app, user } = &kick.whom {
        let nodes = elsewhere(&site, *app, user).await;
        data["here"] = is_here(&site, *app, user).into();
        data["elsewhere"] = nodes.into();
    }
    success(&data)
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
        ([None, None, Some(user)], app) => Ok((None, Whom::User { app, user: UserId::from(user) })),
        ([None, None, None], Some(app)) => Ok((None, Whom::App(app))),
        _ => Err("one of userID (with appID, or on any app), appID, address and conn is needed"
            .to_owned()),
    }
}

/// Whether the user was logged in here when this was asked; the order may be carried out by now.
fn is_here(site: &Site, app: Option<AppId>, user: &str) -> bool {
    apps(site, app).into_iter().any(|app| site.hub.directory.find(app, user).is_some())
}

/// The other nodes that hold the user. An order is for this node alone: they have to be told as well.
async fn elsewhere(site: &Site, app: Option<AppId>, user: &str) -> Vec<String> {
    let Some(cluster) = &site.cluster else { return Vec::new() };
    let mut nodes = Vec::new();
    for app in apps(site, app) {
        if let Located::At(node) = cluster.locate(app, user).await {
            nodes.push(node.to_string());
        }
    }
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

fn apps(site: &Site, app: Option<AppId>) -> Vec<AppId> {
    app.map_or_else(|| site.hub.directory.apps().collect(), |app| vec![app])
}
