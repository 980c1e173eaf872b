//! Messages of clients to others: from the reactors into the delivery, and the replies back.
//!
//! Invariant: messages of one sender go one after the other, in their order. A sender whose message
//! waits, for another node or for the admission of a broadcast, holds up no other sender.

use super::delivery::{Delivery, Message, Sent};
use super::listen::listen;
use super::tasks::Tasks;
use crate::clock::{Clock, FreshId};
use crate::command::{Code, push};
use crate::hub::Hub;
use crate::id::ConnId;
use crate::limits::{SEND_LANE_MAX, SEND_LANE_TOTAL_MAX, SEND_LANES};
use crate::link::{Mailbox, Waiting};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Begins to deliver what comes into the box. Call it within the runtime.
///
/// # Errors
/// When the kernel refuses a thread.
pub(super) fn deliver(
    mailbox: Mailbox<Waiting>,
    delivery: Arc<Delivery>,
    hub: Arc<Hub>,
    tasks: &Arc<Tasks>,
) -> io::Result<()> {
    let told = listen("sends", mailbox, SEND_LANE_MAX, tasks)?;
    let desk = Desk { delivery, hub, ids: Arc::default(), clock: Clock::start() };
    let lanes = (0..SEND_LANES).map(|_| {
        let (lane, waiting) = mpsc::channel(SEND_LANE_MAX);
        let (waiting, desk) = (Arc::new(Told::new(waiting)), desk.clone());
        tasks.start("messages of clients", move || {
            let (waiting, desk) = (Arc::clone(&waiting), desk.clone());
            async move { carry(&waiting, &desk).await }
        });
        lane
    });
    let lanes: Vec<_> = lanes.collect();
    let (told, lanes) = (Arc::new(Told::new(told)), Arc::<[_]>::from(lanes));
    tasks.start("lanes of clients", move || {
        let (told, lanes, desk) = (Arc::clone(&told), Arc::clone(&lanes), desk.clone());
        async move { sort(&told, &lanes, &desk).await }
    });
    Ok(())
}

/// What comes, for one task at a time: one that begins anew goes on with it.
type Told = tokio::sync::Mutex<mpsc::Receiver<Waiting>>;

/// Delivers messages and replies to their senders.
#[derive(Clone)]
struct Desk {
    delivery: Arc<Delivery>,
    hub: Arc<Hub>,
    ids: Arc<FreshId>,
    clock: Clock,
}

/// Puts each message on the lane of its sender.
async fn sort(told: &Told, lanes: &[mpsc::Sender<Waiting>], desk: &Desk) {
    let mut told = told.lock().await;
    while let Some(sending) = told.recv().await {
        let ConnId { reactor, slot, .. } = sending.conn;
        let lane = (usize::from(reactor) ^ slot as usize) % lanes.len();
        if let Err(full) = lanes[lane].try_send(sending) {
            desk.refuse(&full.into_inner());
        }
        tokio::task::consume_budget().await;
    }
}

/// The messages of one sender behind the one that is being delivered, and when they came.
type Behind = VecDeque<(Waiting, Duration)>;

/// Delivers one message of each sender at a time, and replies.
async fn carry(waiting: &Told, desk: &Desk) {
    let mut waiting = waiting.lock().await;
    let mut senders: HashMap<ConnId, Behind> = HashMap::new();
    let mut behind = 0;
    let mut under_way = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(conn) = under_way.next() => {
                let next = senders.get_mut(&conn).and_then(VecDeque::pop_front);
                match next {
                    Some((sending, since)) => {
                        behind -= 1;
                        under_way.push(desk.clone().deliver(sending, since));
                    }
                    None => drop(senders.remove(&conn)),
                }
            }
            sending = waiting.recv() => {
                let Some(sending) = sending else { return };
                let now = desk.clock.now();
                match senders.get_mut(&sending.conn) {
                    None => {
                        senders.insert(sending.conn, Behind::new());
                        under_way.push(desk.clone().deliver(sending, now));
                    }
                    Some(own) if own.len() < SEND_LANE_MAX && behind < SEND_LANE_TOTAL_MAX => {
                        behind += 1;
                        own.push_back((sending, now));
                    }
                    Some(_) => desk.refuse(&sending),
                }
            }
        }
        tokio::task::consume_budget().await;
    }
}

impl Desk {
    /// Delivers a message that came at the time `since`, and replies; returns whose it was.
    async fn deliver(self, sending: Waiting, since: Duration) -> ConnId {
        let seq = self.ids.next().to_string();
        let (author, text) = (sending.from.id.as_str(), sending.text.as_str());
        let app = sending.from.app;
        let message = |user, from| Message { app, user, msg_id: "", seq: &seq, text, from };
        let sent = match &sending.to {
            Some(to) => self.delivery.to_user(message(to, author)).await,
            None => {
                let waited = self.clock.now().saturating_sub(since);
                self.delivery.to_all(message(author, ""), waited).await
            }
        };
        let is_refused = sending.to.is_none() && matches!(sent, Sent::Overloaded(_));
        let code = if is_refused { Code::Internal } else { Code::Ok };
        self.reply(&sending, code, &sent.told().to_string());
        sending.conn
    }

    fn refuse(&self, sending: &Waiting) {
        self.hub.router.metrics().shared.sends_refused.fetch_add(1, Ordering::Relaxed);
        self.reply(sending, Code::Internal, "null");
    }

    fn reply(&self, sending: &Waiting, code: Code, data: &str) {
        let reply = push::reply_to_send(&sending.seq, code, self.hub.language, data);
        // A sender whose reactor is overloaded hears nothing, which the router counts.
        let _counted = self.hub.router.answer(sending.conn, reply);
    }
}
