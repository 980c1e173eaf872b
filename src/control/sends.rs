//! Messages of clients to others: from the reactors into the delivery, and the replies back.
//!
//! Invariant: messages of one sender go one after the other, in their order.

use super::delivery::{Delivery, Message};
use super::listen::listen;
use crate::clock::FreshId;
use crate::command::{Code, push};
use crate::hub::Hub;
use crate::id::ConnId;
use crate::limits::{SEND_LANE_MAX, SEND_LANES};
use crate::link::{Mailbox, Waiting};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// Begins to deliver what comes into the box. Call it within the runtime.
///
/// # Errors
/// When the kernel refuses a thread.
pub(super) fn deliver(
    mailbox: Mailbox<Waiting>,
    delivery: Arc<Delivery>,
    hub: Arc<Hub>,
) -> io::Result<()> {
    let told = listen("sends", mailbox, SEND_LANE_MAX)?;
    let ids = Arc::new(FreshId::default());
    let lanes = (0..SEND_LANES).map(|_| {
        let (lane, waiting) = mpsc::channel(SEND_LANE_MAX);
        let (delivery, hub, ids) = (Arc::clone(&delivery), Arc::clone(&hub), Arc::clone(&ids));
        tokio::spawn(carry(waiting, delivery, hub, ids));
        lane
    });
    let lanes: Vec<_> = lanes.collect();
    tokio::spawn(sort(told, lanes, hub));
    Ok(())
}

/// Puts each message on the lane of its sender.
async fn sort(mut told: mpsc::Receiver<Waiting>, lanes: Vec<mpsc::Sender<Waiting>>, hub: Arc<Hub>) {
    while let Some(sending) = told.recv().await {
        let ConnId { reactor, slot, .. } = sending.conn;
        let lane = (usize::from(reactor) ^ slot as usize) % lanes.len();
        if let Err(full) = lanes[lane].try_send(sending) {
            let sending = full.into_inner();
            hub.router.metrics().shared.sends_refused.fetch_add(1, Ordering::Relaxed);
            reply(&hub, &sending, Code::Internal, "null");
        }
        tokio::task::consume_budget().await;
    }
}

/// Delivers one after the other, and replies to each sender.
async fn carry(
    mut waiting: mpsc::Receiver<Waiting>,
    delivery: Arc<Delivery>,
    hub: Arc<Hub>,
    ids: Arc<FreshId>,
) {
    while let Some(sending) = waiting.recv().await {
        let seq = ids.next().to_string();
        let (author, text) = (sending.from.id.as_str(), sending.text.as_str());
        let app = sending.from.app;
        let message = |user, from| Message { app, user, msg_id: "", seq: &seq, text, from };
        let sent = match &sending.to {
            Some(to) => delivery.to_user(message(to, author)).await,
            None => delivery.to_all(message(author, "")).await,
        };
        reply(&hub, &sending, Code::Ok, &sent.told().to_string());
        tokio::task::consume_budget().await;
    }
}

fn reply(hub: &Hub, sending: &Waiting, code: Code, data: &str) {
    // A sender whose reactor is overloaded hears nothing, which the router counts.
    let _counted = hub.router.answer(sending.conn, push::reply_to_send(&sending.seq, code, data));
}
